package cluster

import (
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/maglev-lb/maglev/internal/envoy"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// backends are servers that answer, fail, or hold, as the path says.
type backends struct {
	addresses []*net.TCPAddr
	arrivals  chan string

	mu    sync.Mutex
	order []string // who was asked since forget
	hold  chan struct{}
}

func newBackends(t *testing.T, n int) *backends {
	b := &backends{arrivals: make(chan string, 1000), hold: make(chan struct{})}
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.serve(w, r, i) })}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		b.addresses = append(b.addresses, l.Addr().(*net.TCPAddr))
	}
	return b
}

func (b *backends) serve(w http.ResponseWriter, r *http.Request, i int) {
	switch r.URL.Path {
	case "/check":
		switch i {
		case 6:
			w.WriteHeader(404)
		case 7:
			w.Header().Set("x-envoy-degraded", "true")
		}
		return
	case "/fail":
		w.WriteHeader(500)
	case "/hold":
		b.mu.Lock()
		hold := b.hold
		b.mu.Unlock()
		b.arrivals <- b.addresses[i].String()
		<-hold
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = append(b.order, b.addresses[i].String())
}

func (b *backends) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.order)
}

func (b *backends) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = nil
}

// next returns where the next request to be held has arrived.
func (b *backends) next(t *testing.T) string {
	select {
	case a := <-b.arrivals:
		return a
	case <-t.Context().Done():
		return "none"
	}
}

func (b *backends) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.hold)
	b.hold = make(chan struct{})
}

func (b *backends) priority(which ...int) config.PriorityLevel {
	return config.PriorityLevel{Localities: []config.Locality{b.locality("", 0, which...)}}
}

func (b *backends) locality(zone string, weight uint32, which ...int) config.Locality {
	l := config.Locality{Zone: zone, Weight: weight}
	for _, i := range which {
		l.Endpoints = append(l.Endpoints, config.Endpoint{
			Address: config.SocketAddress{Host: "127.0.0.1", Port: uint16(b.addresses[i].Port)}, Weight: 1,
		})
	}
	return l
}

// A liveProxy is an Envoy in front of clusters, which the header x-cluster chooses.
type liveProxy struct {
	address string
	client  *http.Client
}

func findEnvoy(t *testing.T) string {
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return binary
}

func startEnvoy(t *testing.T, binary string, clusters []*config.Cluster, retry object) *liveProxy {
	// The context of a test has ended when its cleanups run.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p, err := envoy.Start(ctx, binary, liveBootstrap(clusters, retry))
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		p.Close()
	})
	listeners, err := p.Listeners(t.Context())
	require.NoError(t, err)
	transport := &http.Transport{MaxIdleConnsPerHost: 200}
	t.Cleanup(transport.CloseIdleConnections)
	return &liveProxy{listeners["test"], &http.Client{Transport: transport}}
}

// ask sends a request and returns where it has gone.
func (p *liveProxy) ask(t *testing.T, cluster, key, path string) string {
	req, err := http.NewRequest(http.MethodGet, "http://"+p.address+path, nil)
	if !assert.NoError(t, err) {
		return ""
	}
	req.Header.Set("x-cluster", cluster)
	req.Header.Set("x-key", key)
	resp, err := p.client.Do(req)
	if !assert.NoError(t, err) {
		return ""
	}
	resp.Body.Close()
	if at := resp.Header.Get("x-upstream"); at != "" {
		return at
	}
	assert.Equal(t, 503, resp.StatusCode)
	return "none"
}

type object = map[string]any

func typed(message string) object { return object{"@type": "type.googleapis.com/envoy." + message} }

func liveBootstrap(clusters []*config.Cluster, retry object) object {
	hcm := typed("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")
	route := object{"cluster_header": "x-cluster", "hash_policy": []object{{"header": object{"header_name": "x-key"}}}}
	if retry != nil {
		route["retry_policy"] = retry
	}
	hcm["stat_prefix"] = "test"
	hcm["route_config"] = object{
		"response_headers_to_add": []object{{"header": object{"key": "x-upstream", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}},
		"virtual_hosts":           []object{{"name": "all", "domains": []string{"*"}, "routes": []object{{"match": object{"prefix": "/"}, "route": route}}}},
	}
	hcm["http_filters"] = []object{{"name": "router", "typed_config": typed("extensions.filters.http.router.v3.Router")}}
	all := make([]object, len(clusters))
	for i, c := range clusters {
		all[i] = liveConfig(c)
	}
	return object{"static_resources": object{
		"listeners": []object{{
			"name":          "test",
			"address":       object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
			"filter_chains": []object{{"filters": []object{{"name": "hcm", "typed_config": hcm}}}},
		}},
		"clusters": all,
	}}
}

// liveConfig is Envoy's configuration of a cluster.
func liveConfig(c *config.Cluster) object {
	var groups []object
	for p, level := range c.Priorities {
		for _, l := range level.Localities {
			var endpoints []object
			for _, e := range l.Endpoints {
				endpoint := object{
					"endpoint":              object{"address": object{"socket_address": object{"address": e.Address.Host, "port_value": e.Address.Port}}},
					"health_status":         [...]string{"UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "DEGRADED"}[e.Health],
					"load_balancing_weight": e.Weight,
				}
				if e.HashKey != "" {
					endpoint["metadata"] = object{"filter_metadata": object{"envoy.lb": object{"hash_key": e.HashKey}}}
				}
				endpoints = append(endpoints, endpoint)
			}
			group := object{"priority": p, "locality": object{"zone": l.Zone}, "lb_endpoints": endpoints}
			if l.Weight > 0 {
				group["load_balancing_weight"] = l.Weight
			}
			groups = append(groups, group)
		}
	}
	common := object{
		"healthy_panic_threshold": object{"value": c.PanicThreshold},
	}
	if c.LocalityWeights {
		common["locality_weighted_lb_config"] = object{}
	}
	if c.FailTrafficOnPanic {
		common["zone_aware_lb_config"] = object{"fail_traffic_on_panic": true}
	}
	if c.BalanceFactor > 0 {
		common["consistent_hashing_lb_config"] = object{"hash_balance_factor": c.BalanceFactor}
	}
	out := object{
		"name": c.Name, "type": "STATIC", "connect_timeout": "5s", "lb_policy": "MAGLEV",
		"maglev_lb_config": object{"table_size": c.Maglev.TableSize},
		"common_lb_config": common,
		"load_assignment": object{"cluster_name": c.Name, "endpoints": groups, "policy": object{
			"overprovisioning_factor": c.Overprovisioning, "weighted_priority_health": c.WeightedPriorityHealth,
		}},
	}
	for _, k := range c.HealthChecks {
		out["health_checks"] = []object{{
			"timeout": seconds(k.Timeout), "interval": seconds(k.Interval),
			"unhealthy_threshold": k.UnhealthyThreshold, "healthy_threshold": k.HealthyThreshold,
			"http_health_check": object{"path": k.HTTP.Path},
		}}
	}
	return out
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }
