package refuse_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/internal/refuse"
)

func TestPort(t *testing.T) {
	port, err := refuse.Take()
	require.NoError(t, err)
	addr := port.Addr()

	_, err = net.Dial("tcp", addr)
	require.ErrorContains(t, err, "refused")
	_, err = net.Listen("tcp", addr)
	require.Error(t, err, "the port can be had by another")

	require.NoError(t, port.Close())
	_, err = net.Dial("tcp", addr)
	require.Error(t, err)
}
