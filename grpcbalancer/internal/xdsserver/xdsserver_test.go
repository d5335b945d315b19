package xdsserver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

func TestSetRefusesWhatIsWrong(t *testing.T) {
	s, err := xdsserver.Start()
	require.NoError(t, err)
	defer s.Close()
	for want, clusters := range map[string][]xdsserver.Cluster{
		"xdsserver: no clusters":                                               nil,
		`xdsserver: cluster "x": an endpoint has no address`:                   {{Name: "x", Localities: []xdsserver.Locality{{Endpoints: make([]xdsserver.Endpoint, 1)}}}},
		`xdsserver: cluster "y": address "127.0.0.1": `:                        {{Name: "x"}, {Name: "y", Localities: xdsserver.OneLocality("127.0.0.1")}},
		`xdsserver: cluster "x": address ":80": no host; it must be host:port`: {{Name: "x", DNS: ":80"}},
		`xdsserver: cluster "x": address "localhost:http": the port must be`:   {{Name: "x", DNS: "localhost:http"}},
	} {
		require.ErrorContains(t, s.Set(xdsserver.Config{Clusters: clusters}), want)
	}
	_, err = xdsserver.TypedStruct("maglev", "{")
	require.ErrorContains(t, err, "xdsserver: config of maglev: ")
}
