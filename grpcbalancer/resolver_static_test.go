package grpcbalancer

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
	"google.golang.org/grpc/status"
)

// A recorder is a ClientConn that remembers what a resolver says.
type recorder struct {
	resolver.ClientConn
	states chan resolver.State
	errs   chan error
}

func newRecorder() *recorder {
	return &recorder{states: make(chan resolver.State, 100), errs: make(chan error, 100)}
}

func (r *recorder) UpdateState(s resolver.State) error {
	r.states <- s
	return nil
}

func (r *recorder) ReportError(err error) { r.errs <- err }

func (r *recorder) ParseServiceConfig(string) *serviceconfig.ParseResult { return nil }

// target is parsed as gRPC does it.
func target(t *testing.T, text string) resolver.Target {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return resolver.Target{URL: *u}
}

func build(t *testing.T, b resolver.Builder, text string) (*recorder, resolver.Resolver, error) {
	t.Helper()
	cc, to := newRecorder(), target(t, text)
	authority := b.(resolver.AuthorityOverrider).OverrideAuthority(to)
	r, err := b.Build(to, cc, resolver.BuildOptions{Authority: authority})
	if err == nil {
		t.Cleanup(r.Close)
	}
	return cc, r, err
}

func TestStaticTargets(t *testing.T) {
	one := Backend{Address: "10.0.0.1:443"}
	for text, want := range map[string][]Backend{
		"maglev:///10.0.0.1:443":                              {one},
		"maglev:10.0.0.1:443":                                 {one},
		"maglev://cache.example/10.0.0.1:443":                 {one},
		"MagLev:///10.0.0.1:0443":                             {one},
		"maglev:///10.0.0.1:443,b:2;weight=3;key=k;name=n.de": {one, {Address: "b:2", Weight: 3, Key: "k", ServerName: "n.de"}},
		"maglev:///10.0.0.1:443+[fd00:0::1]:443+C:9;weight=4294967295,[::1]:1": {
			{Address: "10.0.0.1:443", AdditionalAddresses: []string{"[fd00::1]:443", "c:9"}, Weight: 1<<32 - 1}, {Address: "[::1]:1"},
		},
		"maglev:10.0.0.1:443;key=a%2Cb,b:2;key=a%3Bb": {{Address: "10.0.0.1:443", Key: "a,b"}, {Address: "b:2", Key: "a;b"}},
		// Characters that make net/url's EscapedPath forget what was percent-encoded.
		"maglev:///10.0.0.1:443;key=é%2C|\"<,b:2;key=x y=%25": {{Address: "10.0.0.1:443", Key: `é,|"<`}, {Address: "b:2", Key: "x y=%"}},
		"maglev:///unix:/run/a%2Cb.sock,unix:rel.sock":        {{Address: "unix:/run/a,b.sock"}, {Address: "unix:rel.sock"}},
		"maglev:///unix:///run/a.sock":                        {{Address: "unix:/run/a.sock"}},
		"maglev:///[fe80::1%25eth0]:443":                      {{Address: "[fe80::1%eth0]:443"}},
	} {
		t.Run(text, func(t *testing.T) {
			cc, r, err := build(t, staticBuilder{}, text)
			require.NoError(t, err)
			checked, err := checkBackends(want, func(int) string { return "" })
			require.NoError(t, err)
			state := <-cc.states
			require.Equal(t, stateOf(checked, text == "maglev://cache.example/10.0.0.1:443"), state)
			require.Nil(t, state.ServiceConfig)
			r.ResolveNow(resolver.ResolveNowOptions{})
			require.Empty(t, cc.states)
		})
	}
}

func TestBadStaticTargets(t *testing.T) {
	for text, want := range map[string]string{
		"maglev:///":                        "target: it lists no backends; it must be such as maglev:///10.0.0.1:443,10.0.0.2:443",
		"maglev:":                           "target: it lists no backends",
		"maglev://10.0.0.1:443":             `"10.0.0.1:443" is taken for the name of the channel, write maglev:/// with three slashes`,
		"maglev:///a:1,":                    `target: backend 2 (): address "": backend not usable: it must be a host and a port`,
		"maglev:///a:1,b":                   `backend 2 (b): address "b": backend not usable: it must be a host and a port`,
		"maglev:///:443":                    `address ":443": backend not usable: its host must be an IP address`,
		"maglev:///a:0":                     `address "a:0": backend not usable: its port must be a number from 1 to 65535`,
		"maglev:///a:65536":                 `its port must be a number from 1 to 65535`,
		"maglev:///a:https":                 `its port must be a number from 1 to 65535`,
		"maglev:///::1:443":                 `with IPv6 addresses in brackets`,
		"maglev:///[10.0.0.1]:443":          `its host must be an IP address, with IPv6 addresses in brackets`,
		"maglev:///a:1, b:2":                `backend 2 ( b:2): address " b:2"`,
		"maglev:///bücher.de:1":             `international names begin with "xn--"`,
		"maglev:///unix:":                   `address "unix:": backend not usable: it must have the path of a unix socket`,
		"maglev:///[fe80::1%25a%20b]:443":   `address "[fe80::1%a b]:443": backend not usable: its host must be`,
		"maglev:///a:1+b":                   `address "b": backend not usable: it must be a host and a port`,
		"maglev:///a:1;weight=0":            `weight "0": backend not usable: it must be a whole number from 1 to 4294967295; to give a backend no calls, leave it out`,
		"maglev:///a:1;weight=4294967296":   `weight "4294967296": backend not usable`,
		"maglev:///a:1;weight=-1":           `weight "-1": backend not usable`,
		"maglev:///a:1;wieght=2":            `parameter "wieght=2": backend not usable: its name must be weight, key or name`,
		"maglev:///a:1;weight=1;weight=2":   `parameter "weight=2": backend not usable: there is one of that name before it`,
		"maglev:///a:1;weight":              `parameter "weight": backend not usable: it must be a name, an equals sign and a value`,
		"maglev:///a:1;key=":                `parameter "key=": backend not usable`,
		"maglev:///a:1;":                    "it ends in a semicolon",
		"maglev:///a:1;;key=b":              `parameter "": backend not usable`,
		"maglev:///a:1;name=a%20b":          `server name "a b": backend not usable: it must be a name or an IP address`,
		"maglev:///a:1;name=a:b":            `server name "a:b": backend not usable`,
		"maglev:///a:1,b:1,A:1":             `backend 3 (A:1): address "a:1": backend not usable: it is one of backend 1 (a:1) too; list it once, with the sum of the weights`,
		"maglev:///a:1+A:1":                 `address "a:1": backend not usable: it is listed twice`,
		"maglev:///a:1;key=k,b:1;key=k":     `backend 2 (b:1;key=k): key "k": backend not usable: it is that of backend 1 (a:1;key=k) too`,
		"maglev:///a:1;key=b:1,b:1":         `backend 2 (b:1): key "b:1": backend not usable: it is that of backend 1`,
		"maglev:a:1;key=%zz":                `key "%zz": backend not usable: a percent sign must be followed by two hexadecimal digits`,
		"maglev:%zz":                        `address "%zz": backend not usable: a percent sign`,
		"maglev:///a:1?weight=2":            `target: "?weight=2": it has no parameters after a question mark; those of a backend follow semicolons`,
		"maglev:///a:1;key=#7":              `target: "#7": it must not have a fragment; write %23 for a number sign`,
		"maglev://me@cache.example/a:1,b:2": `target: it must not have a user`,
	} {
		t.Run(text, func(t *testing.T) {
			cc, _, err := build(t, staticBuilder{}, text)
			require.ErrorContains(t, err, want)
			require.Regexp(t, "^grpcbalancer: target: ", err.Error())
			require.Empty(t, cc.states)
		})
	}
}

// A call says what is wrong with the target.
func TestABadTargetFailsCalls(t *testing.T) {
	cc, err := grpc.NewClient("maglev:///10.0.0.1:443,10.0.0.2:70000", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"maglev":{}}]}`))
	require.NoError(t, err)
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(cc).Check(WithKey(ctx, "user-42"), new(healthpb.HealthCheckRequest))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, `grpcbalancer: target: backend 2 (10.0.0.2:70000): address "10.0.0.2:70000": backend not usable: its port must be`)
}

func TestServerNames(t *testing.T) {
	names := func(text string, authority string) (all []string) {
		cc := newRecorder()
		_, err := staticBuilder{}.Build(target(t, text), cc, resolver.BuildOptions{Authority: authority})
		require.NoError(t, err)
		for _, e := range (<-cc.states).Endpoints {
			for _, a := range e.Addresses {
				all = append(all, a.ServerName)
			}
		}
		return all
	}
	const list = "/10.0.0.1:1+[fe80::1%25eth0]:2,b:3;name=n:9,unix:/run/s"
	for target, want := range map[string]string{
		"maglev://" + list:              nameless,
		"maglev://cache.example" + list: "cache.example",
		"maglev://[fd00::1]:443" + list: "[fd00::1]:443",
		"maglev://b%C3%BCcher" + list:   "b%C3%BCcher",
	} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		require.Equal(t, want, staticBuilder{}.OverrideAuthority(resolver.Target{URL: *u}))
	}
	require.Equal(t, []string{"10.0.0.1:1", "[fe80::1]:2", "n:9", "localhost"}, names("maglev://"+list, nameless))
	require.Equal(t, []string{"", "", "n:9", ""}, names("maglev://cache.example"+list, "cache.example"))
	// An option or the credentials have another name.
	require.Equal(t, []string{"", "", "n:9", ""}, names("maglev://"+list, "other.example"))
}

// Whatever a target or a file has, it is refused or it is a set that can be written again:
// as a target it gives the same.
func FuzzBackends(f *testing.F) {
	f.Add("10.0.0.1:443,b:2;weight=3;key=a%2Cb;name=n.de:1")
	f.Add("[fe80::1%25eth0]:443+unix:/run/a%2Cb,[::1]:1;key=%00")
	f.Add(`{"backends":[{"address":"a:1","weight":2,"key":"k"},"b:1;name=c"]}`)
	f.Add("- a:1\n- {address: b:1, additionalAddresses: [c:1], weight: 3}\n")
	f.Fuzz(func(t *testing.T, text string) {
		var all [][]Backend
		if u, err := url.Parse("maglev:///" + text); err == nil {
			if backends, err := parseTarget(*u); err == nil {
				all = append(all, backends)
			}
		}
		for _, format := range formats {
			if backends, err := parseFile([]byte(text), format); err == nil {
				all = append(all, backends)
			}
		}
		for _, backends := range all {
			stateOf(backends, false)
			var list []string
			for _, b := range backends {
				var addresses []string
				for _, a := range b.all() {
					addresses = append(addresses, escape(a))
				}
				one := strings.Join(addresses, "+") + ";weight=" + strconv.FormatUint(uint64(b.Weight), 10) + ";key=" + escape(b.Key)
				if b.ServerName != "" {
					one += ";name=" + escape(b.ServerName)
				}
				list = append(list, one)
			}
			u, err := url.Parse("maglev:///" + strings.Join(list, ","))
			require.NoError(t, err)
			again, err := parseTarget(*u)
			require.NoError(t, err)
			require.Equal(t, backends, again)
		}
	})
}

func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
