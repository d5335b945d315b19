package grpcbalancer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
)

// The hash of a call is the first that there is: of its context, its header, its route.
func TestWhichHashACallHas(t *testing.T) {
	key, err := routeKey()
	require.NoError(t, err)
	plain := context.Background()
	route := context.WithValue(plain, key, uint64(3))
	header := metadata.AppendToOutgoingContext(route, "x-user", "user-42")

	byUser, none := &Config{RequestHashHeader: "x-user"}, &Config{}
	for name, c := range map[string]struct {
		config *Config
		ctx    context.Context
		want   uint64
		found  bool
	}{
		"nothing":                      {none, plain, 0, false},
		"nothing, by header":           {byUser, plain, 0, false},
		"route":                        {none, route, 3, true},
		"route, by header":             {byUser, route, 3, true},
		"header":                       {byUser, header, hashOf("user-42"), true},
		"header that is not asked for": {none, header, 3, true},
		"context":                      {byUser, WithHash(header, 1), 1, true},
		"key of the context":           {byUser, WithKey(header, "user-41"), hashOf("user-41"), true},
	} {
		h := newHasher(c.config)
		hash, found := h.hash(c.ctx)
		require.Equal(t, c.found, found, name)
		require.Equal(t, c.want, hash, name)
	}
}
