package grpcbalancer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver/ringhash"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/internal/refuse"
)

// A snapshot says where keys go, and they do.
func TestDebug(t *testing.T) {
	port, err := refuse.Take()
	require.NoError(t, err)
	defer port.Close()
	eps := endpoints(append(addrs(servers(t, 4)), port.Addr())...)
	eps[0] = weight.Set(ringhash.SetHashKey(eps[0], "a"), weight.EndpointInfo{Weight: 3})
	c := dial(t, byUser, eps)
	require.Empty(t, grpcbalancer.Debug(c.ClientConn), "nothing has been asked for yet")

	for i := range 100 { // until all endpoints have had a call
		_, err := c.call(grpcbalancer.WithKey(short(t), strconv.Itoa(i)))
		require.NoError(t, err)
	}
	var s *grpcbalancer.Snapshot
	require.Eventually(t, func() bool {
		s = snapshot(t, c)
		return endpointOf(t, s, port.Addr()).State == "TRANSIENT_FAILURE"
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, "READY", s.State)
	require.Equal(t, c.CanonicalTarget(), s.Target)
	require.Equal(t, "x-user", s.Config.RequestHashHeader)
	require.Len(t, s.Endpoints, 5)
	require.Contains(t, endpointOf(t, s, port.Addr()).Error, "refused")
	require.InDelta(t, 65537*3/7, endpointOf(t, s, "a").Slots, 2)
	require.Equal(t, []string{eps[0].Addresses[0].Addr}, endpointOf(t, s, "a").Addresses)
	for i := range 200 {
		key := "user-" + strconv.Itoa(i)
		got, err := c.call(grpcbalancer.WithKey(short(t), key))
		require.NoError(t, err)
		require.Equal(t, []string{got}, s.Where(key).Addresses, key)
		require.Len(t, s.Candidates(maglev.XXHash(key, 0)), 5)
	}

	c.set(endpoints())
	s = snapshot(t, c)
	require.Equal(t, "TRANSIENT_FAILURE", s.State)
	require.Contains(t, s.Error, "no endpoints")
	require.Zero(t, s.Where("user-42"))

	require.NoError(t, c.Close())
	require.Empty(t, grpcbalancer.Debug(c.ClientConn))
}

func snapshot(t *testing.T, c *client) *grpcbalancer.Snapshot {
	t.Helper()
	all := grpcbalancer.Debug(c.ClientConn)
	require.Len(t, all, 1)
	return all[0]
}

func endpointOf(t *testing.T, s *grpcbalancer.Snapshot, key string) grpcbalancer.EndpointSnapshot {
	t.Helper()
	for _, e := range s.Endpoints {
		if e.Key == key {
			return e
		}
	}
	require.Fail(t, "no endpoint has the key "+key)
	return grpcbalancer.EndpointSnapshot{}
}

func TestDebugHandler(t *testing.T) {
	c := dial(t, byUser, endpoints(addrs(servers(t, 3))...))
	_, err := c.call(grpcbalancer.WithKey(short(t), "user-42"))
	require.NoError(t, err)

	type answer struct {
		Error    string
		Policies []struct {
			grpcbalancer.Snapshot
			Lookup *struct {
				Hash       string
				GoesTo     string `json:"goes_to"`
				Candidates []string
			}
		}
	}
	get := func(method, query string) (a answer, status int) {
		w := httptest.NewRecorder()
		grpcbalancer.DebugHandler().ServeHTTP(w, httptest.NewRequest(method, "/?"+query, nil))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a), w.Body.String())
		return a, w.Code
	}
	target := url.Values{"target": {c.CanonicalTarget()}}.Encode()
	for query, hash := range map[string]string{
		target + "&key=user-42": fmt.Sprintf("0x%016x", maglev.XXHash("user-42", 0)),
		target + "&hash=0x1f":   "0x000000000000001f",
		target + "&hash=31":     "0x000000000000001f",
	} {
		a, status := get("GET", query)
		require.Equal(t, http.StatusOK, status, query)
		require.Len(t, a.Policies, 1)
		p := a.Policies[0]
		require.Equal(t, hash, p.Lookup.Hash, query)
		require.Len(t, p.Lookup.Candidates, 3)
		require.Equal(t, p.Lookup.Candidates[0], p.Lookup.GoesTo)
		require.Equal(t, snapshot(t, c).Endpoints, p.Endpoints)
	}
	a, _ := get("GET", "target=dns:///another")
	require.Empty(t, a.Policies)
	a, _ = get("GET", "")
	require.NotEmpty(t, a.Policies)

	for query, want := range map[string]string{
		"keys=1":       `parameter "keys": it must be target, key or hash`,
		"key=a&key=b":  "key: it must be given once, not 2 times",
		"key=a&hash=1": "key and hash: one of them must be given, not both",
		"hash=-1":      `hash "-1": it must be a number`,
		"hash=":        `hash "": it must be a number`,
		"key=%zz":      "query: invalid URL escape",
	} {
		a, status := get("GET", query)
		require.Equal(t, http.StatusBadRequest, status, query)
		require.Contains(t, a.Error, want)
	}
	_, status := get("POST", "")
	require.Equal(t, http.StatusMethodNotAllowed, status)
}
