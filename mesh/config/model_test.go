package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/stretchr/testify/require"
)

func load(t *testing.T, name string) *config.Bootstrap {
	b, err := config.Load(filepath.Join("testdata", name))
	require.NoError(t, err)
	requireComplete(t, b)
	return b
}

func TestPaper(t *testing.T) {
	require.Nil(t, load(t, "paper/listener.yaml").Listeners[0].Chain.HTTP, "it closes connections")

	routes := load(t, "paper/routes.yaml").Listeners[0].Chain.HTTP.Routes
	require.Equal(t, []string{"test.ioe.io", "qa.ioe.io"}, routes.VirtualHosts[1].Domains)

	direct := load(t, "paper/direct_response.yaml").Listeners[0].Chain.HTTP.Routes.VirtualHosts[0].Routes[0]
	require.Equal(t, "/*", *direct.Match.Prefix)
	require.Equal(t, "vav", direct.Direct.Body)

	cluster := load(t, "paper/cluster.yaml").Clusters[0]
	require.Equal(t, config.MaglevPolicy, cluster.Policy)
	require.EqualValues(t, 69997, cluster.Maglev.TableSize)
}

// What a configuration says, and what it leaves to be understood.
func TestShop(t *testing.T) {
	b := load(t, "shop.yaml")
	require.Equal(t, "shop-edge-1", b.NodeID)
	require.EqualValues(t, 9901, b.Admin.Address.Port)
	edge := b.Listeners[0]
	require.EqualValues(t, 32768, edge.ConnectionBufferLimit)
	require.EqualValues(t, 10000, edge.Chain.ConnectionLimit.Max)
	require.Equal(t, "@shop-inner", b.Listeners[1].Address.Pipe)

	h := edge.Chain.HTTP
	require.Equal(t, "shop", h.ServerName)
	require.Equal(t, config.RedirectEscapedSlashes, h.EscapedSlashes)
	require.Equal(t, 10*time.Minute, h.IdleTimeout)
	require.Equal(t, time.Minute, h.StreamIdleTimeout)
	require.Zero(t, h.RequestTimeout)
	require.True(t, h.GenerateRequestID)
	require.EqualValues(t, 80, h.MaxHeaders)
	require.Equal(t, []config.Upgrade{{Type: "websocket"}}, h.Upgrades)
	require.Len(t, h.Filters, 2)
	require.Equal(t, map[string]float64{"shop": 25}, h.Filters[0].(*config.HealthCheckFilter).MinHealthy)
	require.Equal(t, "/dev/stderr", h.AccessLogs[1].Path)

	shop := h.Routes.VirtualHosts[0]
	require.Equal(t, config.Retry5xx|config.RetryReset|config.RetryConnectFailure|config.RetryStatusCodes, shop.Retry.On)
	require.Equal(t, 50*time.Millisecond, shop.Retry.BaseInterval)
	require.True(t, shop.Retry.PreviousHosts)
	require.EqualValues(t, 3, shop.Retry.HostAttempts)

	cart := shop.Routes[0]
	require.Len(t, cart.Forward.Hash, 3)
	require.NotNil(t, cart.RateLimit)
	require.EqualValues(t, 10, cart.RateLimit.Bucket.TokensPerFill)
	require.Equal(t, config.Fraction{Numerator: 1, Denominator: 100}, cart.Forward.Mirrors[0].Fraction)
	api := shop.Routes[1]
	require.EqualValues(t, 100, api.Forward.Weighted.Total)
	require.True(t, api.Match.Regex.MatchString("/api/v1/x"))
	require.False(t, api.Match.Regex.MatchString("x/api/v1/x"), "all of the path has to match")
	require.Equal(t, 15*time.Second, api.Forward.Timeout)
	require.Equal(t, config.Fraction{Numerator: 5, Denominator: 100}, *shop.Routes[2].Match.Fraction, "from the runtime")
	require.Equal(t, 308, shop.Routes[4].Redirect.Status)
	require.Equal(t, config.HighPriority, shop.Routes[5].Forward.Priority)

	c := b.Clusters[0]
	require.Equal(t, 250*time.Millisecond, c.ConnectTimeout)
	require.EqualValues(t, 20, c.PanicThreshold)
	require.EqualValues(t, 150, c.BalanceFactor)
	require.True(t, c.LocalityWeights)
	require.Len(t, c.Priorities, 2)
	require.Equal(t, "cart-1", c.Priorities[0].Localities[0].Endpoints[0].HashKey)
	require.Equal(t, config.Degraded, c.Priorities[0].Localities[0].Endpoints[1].Health)
	require.EqualValues(t, 8001, c.Priorities[0].Localities[0].Endpoints[1].HealthCheckPort)
	require.EqualValues(t, 200, c.Breakers[0].Connections)
	require.EqualValues(t, 1024, c.Breakers[1].Connections)
	require.Equal(t, &config.RetryBudget{Percent: 25, Min: 5}, c.Breakers[1].Budget)
	require.EqualValues(t, 20, c.PerHostConnections)
	require.Equal(t, []config.Range{{Start: 200, End: 300}}, c.HealthChecks[0].HTTP.Expected)
	require.Equal(t, 300*time.Second, c.Outlier.MaxEjection)

	dns := b.Clusters[1]
	require.Equal(t, config.LeastRequest, dns.Policy)
	require.EqualValues(t, 3, dns.LeastRequestChoices)
	require.Equal(t, &config.SlowStart{Window: 30 * time.Second, Aggression: 1, MinPercent: 20}, dns.SlowStart)
	require.Equal(t, config.DNSV4Only, dns.DNS.Family)
	require.EqualValues(t, 1000, dns.MaxRequestsPerConnection)
	require.Equal(t, &config.Keepalive{Probes: 3, Time: 30 * time.Second, Interval: 5 * time.Second}, dns.TCPKeepalive)

	canary := b.Clusters[2]
	require.Equal(t, config.MaglevPolicy, canary.Policy)
	require.True(t, canary.UseHostname)
	require.EqualValues(t, 1031, canary.Maglev.TableSize)

	shadow := b.Clusters[3]
	require.Equal(t, config.ProxyProtocolV2, shadow.ProxyProtocol)
	require.Equal(t, "PING", string(shadow.HealthChecks[0].TCP.Send))
}

func TestLogFilters(t *testing.T) {
	logs := load(t, "shop.yaml").Listeners[0].Chain.HTTP.AccessLogs
	ex := &message.Exchange{Response: message.Response{Status: 200}}
	require.False(t, logs[0].Filter(ex))
	ex.Response.Status = 500
	require.True(t, logs[0].Filter(ex))
	ex.Response.Status = 200
	ex.Points.End = time.Second
	require.True(t, logs[0].Filter(ex))
	ex.Points.End = 0
	ex.Flags = message.UpstreamOverflow
	require.True(t, logs[0].Filter(ex))

	// A quarter of a percent: of 100,000 about 250, with a standard deviation of 16.
	count := 0
	for range 100_000 {
		if logs[1].Filter(ex) {
			count++
		}
	}
	require.InDelta(t, 250, count, 8*16)
}

func TestDump(t *testing.T) {
	var dump map[string]any
	require.NoError(t, json.Unmarshal(load(t, "shop.yaml").Dump(), &dump))
	clusters := dump["static_resources"].(map[string]any)["clusters"].([]any)
	require.Equal(t, "cart", clusters[0].(map[string]any)["name"])
	listener := dump["static_resources"].(map[string]any)["listeners"].([]any)[1].(map[string]any)
	filter := listener["filter_chains"].([]any)[0].(map[string]any)["filters"].([]any)[0].(map[string]any)
	require.Equal(t, "inner", filter["typed_config"].(map[string]any)["stat_prefix"])
	require.JSONEq(t, "{}", string(new(config.Bootstrap).Dump()))
}

func TestLoad(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)

	// JSON is YAML, but a file of that name has to be JSON.
	file := filepath.Join(t.TempDir(), "envoy.json")
	require.NoError(t, os.WriteFile(file, []byte("{\"node\":\n {\"id\": \"a\"}}"), 0o600))
	b, err := config.Load(file)
	require.NoError(t, err)
	require.Equal(t, "a", b.NodeID)
	_, err = config.Parse("envoy.json", []byte("{\"node\":\n {\"id\": a}}"))
	require.EqualError(t, err, "envoy.json:2:9: not JSON: invalid character 'a' looking for beginning of value")
}
