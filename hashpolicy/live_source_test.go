package hashpolicy_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/internal/envoy"
	"github.com/stretchr/testify/require"
)

// TestLiveForwardedSourceIP compares the texts of addresses that nobody can dial
// from. Envoy takes them from x-forwarded-for; here they are the Request's to say.
func TestLiveForwardedSourceIP(t *testing.T) {
	l := startEnvoy(t, []string{"127.0.0.1"}, []envoy.Route{{Name: "source", Policy: []object{sourceIP()}}})
	list := hashpolicy.List{hashpolicy.SourceIP()}
	for _, kind := range []struct {
		name string
		addr func(i int) netip.Addr
	}{
		{"IPv4", func(i int) netip.Addr {
			return netip.AddrFrom4([4]byte{byte(1 + i%200), byte(i >> 8), byte(i), byte(7 * i)})
		}},
		{"IPv6", func(i int) netip.Addr {
			a := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 14: byte(i >> 8), 15: byte(i)}
			a[4+i%10] = byte(i) // so that zeros are abbreviated at other places
			return netip.AddrFrom16(a)
		}},
		{"IPv6 without zeros", func(i int) netip.Addr {
			var a [16]byte
			for k := range a {
				a[k] = byte(1 + i%100*k + k)
			}
			return netip.AddrFrom16(a)
		}},
		{"IPv6, mostly zeros", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{14: byte(i >> 8), 15: byte(i)})
		}},
		{"IPv4-compatible IPv6", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{12: byte(i % 3), 13: byte(i), 14: byte(3 * i), 15: byte(5 * i)})
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			conn := l.dial(t, "", "127.0.0.1")
			defer conn.Close()
			for i := 1; i <= 300; i++ {
				addr := kind.addr(i)
				w := get("/", field{"x-forwarded-for", fmt.Sprintf("192.0.2.7, %s", addr)})
				got, _ := conn.send(t, w, "source")
				w.remote = netip.AddrPortFrom(addr, 80).String()
				hash, ok, _ := hashes(t, list, w)
				require.True(t, ok)
				require.Equal(t, got, l.backend(hash), "from %s", addr)
			}
		})
	}
}
