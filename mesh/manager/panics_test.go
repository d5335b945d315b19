package manager

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// A panic amid a request ends its connection, and is told and counted.
func TestPanicEndsTheConnectionAlone(t *testing.T) {
	var log bytes.Buffer
	store := stats.NewStore()
	m := &Manager{ // without routes and all that
		config:         new(config.HTTP),
		counts:         stats.Group[counts](store.HTTP("x")),
		listenerCounts: stats.Group[listenerCounts](store.Listener("x").HTTP("x")),
		logger:         slog.New(slog.NewTextHandler(&log, nil)),
	}
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		m.Serve(near, message.Connection{})
	}()
	_, err := io.WriteString(far, "GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	require.NoError(t, err)
	_, err = far.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)
	<-served
	assert.Contains(t, log.String(), "panic")
	assert.EqualValues(t, 1, m.counts.OwnReset.Value())
	assert.Zero(t, m.Active())
	assert.Zero(t, m.counts.ActiveConnections.Value())
}
