package grpcbalancer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev/grpcbalancer"
)

func replaceFile(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".next", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".next", path))
}

// Calls follow a file, and a file that breaks harms none.
func TestFilesOverSockets(t *testing.T) {
	all := addrs(servers(t, 3))
	path := filepath.Join(t.TempDir(), "backends.yaml")
	c := dialTo(t, "maglev-file://"+filepath.ToSlash(path)+"?interval=100ms")
	_, err := c.call(grpcbalancer.WithHash(short(t), 1))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "grpcbalancer: file "+path)

	replaceFile(t, path, "- "+strings.Join(all[:2], "\n- "))
	_, err = c.call(grpcbalancer.WithHash(short(t), 1), grpc.WaitForReady(true))
	require.NoError(t, err)
	c.requirePlaces(t, all[:2])

	replaceFile(t, path, "- "+strings.Join(all[:2], "\n- ")+"\n- x\n")
	require.Never(t, func() bool {
		_, err := c.call(grpcbalancer.WithHash(short(t), 1))
		return err != nil
	}, time.Second, 50*time.Millisecond)
	c.requirePlaces(t, all[:2])

	replaceFile(t, path, "- "+all[2])
	require.Eventually(t, func() bool {
		got, err := c.call(grpcbalancer.WithHash(short(t), 1))
		return err == nil && got == all[2]
	}, 20*time.Second, 10*time.Millisecond)
}
