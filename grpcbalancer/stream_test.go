package grpcbalancer_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer/ringhash"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/maglev-lb/maglev/grpcbalancer"
)

// echo has a server answer streams, by sending back what comes.
func echo() grpc.ServerOption {
	return grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		for {
			var m healthpb.HealthCheckRequest
			if err := stream.RecvMsg(&m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := stream.SendMsg(&m); err != nil {
				return err
			}
		}
	})
}

// A stream is a call to a server with echo.
type stream struct {
	grpc.ClientStream
	sent int
}

func openStream(t testing.TB, c *client, k *key) *stream {
	t.Helper()
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	cs, err := c.NewStream(k.in(short(t)), desc, "/test.Echo/Talk")
	require.NoError(t, err)
	s := &stream{ClientStream: cs}
	s.echo(t)
	return s
}

func (s *stream) echo(t testing.TB) {
	t.Helper()
	s.sent++
	sent := &healthpb.HealthCheckRequest{Service: fmt.Sprint("message ", s.sent)}
	require.NoError(t, s.SendMsg(sent))
	var got healthpb.HealthCheckRequest
	require.NoError(t, s.RecvMsg(&got))
	require.Equal(t, sent.Service, got.Service)
}

func (s *stream) peer(t testing.TB) string {
	t.Helper()
	p, ok := peer.FromContext(s.Context())
	require.True(t, ok)
	return p.Addr.String()
}

func (s *stream) end(t testing.TB) {
	t.Helper()
	require.NoError(t, s.CloseSend())
	require.Equal(t, io.EOF, s.RecvMsg(new(healthpb.HealthCheckRequest)))
}

// A stream stays on its connection, whatever the set becomes: other weights, other hash
// keys, more endpoints, another order, and also without its own endpoint. For what
// pick_first does with a connection that is no longer wanted is to drain it: it takes
// no new calls and is closed when its last one ends. So it is with ring_hash, whose
// children are the same.
func TestStreamsStay(t *testing.T) {
	fleet := servers(t, 5, echo())
	names := addrs(fleet)
	for _, policy := range []string{grpcbalancer.Name, ringhash.Name} {
		t.Run(policy, func(t *testing.T) {
			config := fmt.Sprintf(`{"loadBalancingConfig":[{%q:%s}]}`, policy, `{"requestHashHeader":"x-user"}`)
			c := dialService(t, config, endpoints(names...))
			k := &key{name: "user-42"}
			s := openStream(t, c, k)
			i := slices.Index(names, s.peer(t))
			own := fleet[i]
			accepted := own.conns()
			require.Equal(t, 1, own.openConns())

			r := rand.New(rand.NewPCG(1, 2))
			for range 100 {
				eps := endpoints(names...)
				for j := range eps {
					eps[j] = withWeight(eps[j], r.Uint32N(10))
					eps[j] = withKey(eps[j], fmt.Sprint("key-", r.IntN(1000)))
				}
				r.Shuffle(len(eps), func(x, y int) { eps[x], eps[y] = eps[y], eps[x] })
				c.set(eps)
				s.echo(t)
			}
			require.Equal(t, accepted, own.conns(), "connections of the stream's backend")
			require.Equal(t, 1, own.openConns())

			others := endpoints(slices.Concat(names[:i], names[i+1:])...)
			for range 10 {
				c.set(others)
				s.echo(t)
				got, err := c.callKey(short(t), k)
				require.NoError(t, err)
				require.NotEqual(t, own.addr, got)
			}
			require.Equal(t, 1, own.openConns(), "it has a stream")

			// Back in the set, the backend gets a new connection.
			c.set(endpoints(own.addr))
			got, err := c.callKey(short(t), k)
			require.NoError(t, err)
			require.Equal(t, own.addr, got)
			require.Equal(t, accepted+1, own.conns())
			s.echo(t)
			require.Equal(t, 2, own.openConns())
			s.end(t)
			require.Eventually(t, func() bool { return own.openConns() == 1 }, 20*time.Second, time.Millisecond)
			require.NoError(t, c.Close())
			require.Eventually(t, func() bool { return own.openConns() == 0 }, 20*time.Second, time.Millisecond)
		})
	}
}
