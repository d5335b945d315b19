package grpcbalancer_test

import (
	"fmt"
	"net/netip"
	"testing"

	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
	"github.com/maglev-lb/maglev/internal/envoy"
)

// One control plane gives one cluster to an Envoy and to a gRPC client. Its list of
// policies has Envoy's own Maglev, which gRPC does not know, and this one, which Envoy
// does not know. Both send a key to the same backend.
func TestLiveAgreementByXDS(t *testing.T) {
	binary := findEnvoy(t)
	const n = 10
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = serveBoth(t)
	}
	members := func(key, weighted bool) []xdsserver.Endpoint {
		all := make([]xdsserver.Endpoint, n)
		for i := range all {
			all[i].Addrs = []string{addrs[i]}
			if key && i%2 == 0 {
				all[i].HashKey = fmt.Sprint("cache-", i)
			}
			if weighted {
				all[i].Weight = uint32(i + 1)
			}
		}
		return all
	}
	keyed := members(true, true)
	for name, localities := range map[string][]xdsserver.Locality{
		"equal":      {{Endpoints: members(false, false)}},
		"weighted":   {{Endpoints: members(false, true)}},
		"hash keys":  {{Endpoints: keyed}},
		"localities": {{Endpoints: keyed[:3], Weight: 3}, {Endpoints: keyed[3:], Weight: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			ours, err := xdsserver.TypedStruct("maglev", `{}`)
			require.NoError(t, err)
			native := new(maglevv3.Maglev)
			if len(localities) > 1 {
				native.LocalityWeightedLbConfig = new(commonv3.LocalityLbConfig_LocalityWeightedLbConfig)
			}
			control, client := dialXDS(t, xdsserver.Config{
				Hash:     hash(xdsserver.Header("x-user")),
				Clusters: []xdsserver.Cluster{{Name: "fleet", Localities: localities, Policies: []proto.Message{native, ours}}},
			})
			proxy, err := envoy.Start(t.Context(), binary, xdsProxy(netip.MustParseAddrPort(control.Addr())))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, proxy.Close()) })
			listeners, err := proxy.Listeners(t.Context())
			require.NoError(t, err)

			grpcDirectly := grpcSender(client.ClientConn)
			grpcThrough, httpThrough := through(t, listeners[xdsserver.ProxyListener])
			met := make(map[string]bool)
			for i := range 1000 {
				user := fmt.Sprint("user-", i)
				want := grpcThrough(t, user)
				require.Equal(t, want, httpThrough(t, user), "HTTP through Envoy, %s", user)
				require.Equal(t, want, grpcDirectly(t, user), "gRPC with the policy, %s", user)
				met[want] = true
			}
			// The least share is 1 of 55, or 3/5 * 1/6: missed with odds of 10^-8.
			require.Len(t, met, n)
			require.Empty(t, control.Rejections())
		})
	}
}

// xdsProxy is the bootstrap of a proxy that has all else from a control plane.
func xdsProxy(control netip.AddrPort) map[string]any {
	type object = map[string]any
	fromControl := object{"ads": object{}, "resource_api_version": "V3"}
	return object{
		"node": object{"id": "proxy", "cluster": "test"},
		"dynamic_resources": object{
			"lds_config": fromControl,
			"cds_config": fromControl,
			"ads_config": object{
				"api_type":              "GRPC",
				"transport_api_version": "V3",
				"grpc_services":         []object{{"envoy_grpc": object{"cluster_name": "control"}}},
			},
		},
		"static_resources": object{"clusters": []object{withHTTP2(object{
			"name": "control", "type": "STATIC", "connect_timeout": "5s",
			"load_assignment": object{"cluster_name": "control", "endpoints": []object{{"lb_endpoints": []object{{"endpoint": socket(control)}}}}},
		})}},
	}
}
