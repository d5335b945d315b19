package http1

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/message"
)

// pair returns both ends of a TCP connection over the loopback interface.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func connPair(t *testing.T) (*Conn, net.Conn) {
	near, far := pair(t)
	return NewConn(near), far
}

func TestConnFillsWhatTheParserWants(t *testing.T) {
	conn, far := connPair(t)
	long := strings.Repeat("x", 3*bufferSize)
	go io.WriteString(far, "GET /"+long+" HTTP/1.1\r\nHost: a\r\n\r\nrest")
	var r message.Request
	for {
		n, _, err := conn.Parser.Request(conn.Buffered(), &r)
		require.NoError(t, err)
		if n > 0 {
			conn.Take(n)
			break
		}
		require.NoError(t, conn.Fill(time.Time{}))
	}
	assert.Equal(t, "/"+long, r.Path)
	for len(conn.Buffered()) < len("rest") {
		require.NoError(t, conn.Fill(time.Time{}))
	}
	assert.Equal(t, "rest", string(conn.Buffered()))
}

func TestConnHoldsABufferOnlyWhileThereIsSomethingInIt(t *testing.T) {
	conn, far := connPair(t)
	assert.Equal(t, os.ErrDeadlineExceeded, conn.Fill(time.Now().Add(time.Millisecond)))
	assert.Nil(t, conn.buf)
	_, err := far.Write([]byte("ab"))
	require.NoError(t, err)
	require.NoError(t, conn.Fill(time.Time{}))
	assert.NotNil(t, conn.buf)
	conn.Take(1)
	conn.Rest()
	assert.Equal(t, "b", string(conn.Buffered()))
	conn.Take(1)
	conn.Rest()
	assert.Nil(t, conn.buf)
}

func TestConnTellsTheEnd(t *testing.T) {
	conn, far := connPair(t)
	require.NoError(t, far.Close())
	assert.Equal(t, io.EOF, conn.Fill(time.Time{}))
}

// A deadline that has been set for one wait must not end a later one that has another.
func TestConnDeadlinesAreThoseOfTheWait(t *testing.T) {
	conn, far := connPair(t)
	assert.Equal(t, os.ErrDeadlineExceeded, conn.Fill(time.Now().Add(time.Millisecond)))
	for _, until := range []time.Time{{}, time.Now().Add(time.Hour)} {
		go far.Write([]byte("a"))
		require.NoError(t, conn.Fill(until))
		conn.Take(1)
		assert.Equal(t, os.ErrDeadlineExceeded, conn.Fill(time.Now().Add(time.Millisecond)))
	}
}

func TestKickInterruptsOneFill(t *testing.T) {
	conn, far := connPair(t)
	t.Run("under way", func(t *testing.T) {
		got := make(chan error)
		go func() { got <- conn.Fill(time.Now().Add(time.Hour)) }()
		conn.Kick()
		assert.Equal(t, ErrKicked, <-got)
	})
	t.Run("to come", func(t *testing.T) {
		conn.Kick()
		assert.Equal(t, ErrKicked, conn.Fill(time.Time{}))
	})
	t.Run("taken back", func(t *testing.T) {
		conn.Kick()
		conn.Unkick()
		_, err := far.Write([]byte("a"))
		require.NoError(t, err)
		require.NoError(t, conn.Fill(time.Time{}))
	})
}

func TestPollSeesWhatIsThere(t *testing.T) {
	conn, far := connPair(t)
	assert.True(t, conn.Poll())
	assert.Empty(t, conn.Buffered())
	_, err := far.Write([]byte("abc"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return conn.Poll() && len(conn.Buffered()) == 3 }, time.Minute, time.Millisecond)
	require.NoError(t, far.Close())
	require.Eventually(t, func() bool { return !conn.Poll() }, time.Minute, time.Millisecond)
	assert.Equal(t, "abc", string(conn.Buffered()))
}

// What a client pipelines while nobody reads does not make the buffer grow.
func TestPollIsBounded(t *testing.T) {
	conn, far := connPair(t)
	go far.Write(make([]byte, 4*bufferSize))
	require.Eventually(t, func() bool { return conn.Poll() && len(conn.Buffered()) == bufferSize }, time.Minute, time.Millisecond)
	assert.True(t, conn.Poll())
	assert.Len(t, conn.Buffered(), bufferSize)
}

func TestWriteUntilGivesUpOnOneWhoDoesNotRead(t *testing.T) {
	conn, _ := connPair(t)
	err := conn.WriteUntil(make([]byte, 64<<20), 10*time.Millisecond)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestSplice(t *testing.T) {
	from, source := connPair(t)
	to, sink := connPair(t)
	const n = 3*spliceStep + 5
	sent := bytes.Repeat([]byte("0123456"), n/7+1)[:n]
	go source.Write(sent)
	got := make(chan []byte)
	go func() {
		b := make([]byte, n)
		io.ReadFull(sink, b)
		got <- b
	}()
	require.True(t, to.CanSplice(from))
	var told int64
	moved, err := to.Splice(from, n, func(k int64) error { told += k; return nil })
	require.NoError(t, err)
	assert.EqualValues(t, n, moved)
	assert.EqualValues(t, n, told)
	assert.True(t, bytes.Equal(sent, <-got))

	t.Run("cut off", func(t *testing.T) {
		go func() {
			source.Write(sent[:100])
			source.Close()
		}()
		go io.Copy(io.Discard, sink)
		moved, err := to.Splice(from, n, func(int64) error { return nil })
		assert.Equal(t, io.EOF, err)
		assert.EqualValues(t, 100, moved)
	})
}

func TestSpliceIsInterrupted(t *testing.T) {
	from, _ := connPair(t)
	to, _ := connPair(t)
	from.Kick()
	_, err := to.Splice(from, 10, func(int64) error { return nil })
	assert.Equal(t, ErrKicked, err)
}

// What is on its way when the sink pauses for long is not lost.
func TestSpliceWaitsForTheSink(t *testing.T) {
	defer func(d time.Duration) { spliceWait = d }(spliceWait)
	spliceWait = time.Millisecond
	from, source := connPair(t)
	to, sink := connPair(t)
	const n = 32 << 20 // more than both sockets hold
	sent := bytes.Repeat([]byte("0123456"), n/7+1)[:n]
	go source.Write(sent)
	got := make(chan []byte)
	pauses := 0
	moved, err := to.Splice(from, n, func(k int64) error {
		if k > 0 {
			return nil
		}
		if pauses++; pauses == 3 {
			go func() {
				b := make([]byte, n)
				io.ReadFull(sink, b)
				got <- b
			}()
		}
		return nil
	})
	require.NoError(t, err)
	assert.EqualValues(t, n, moved)
	assert.True(t, bytes.Equal(sent, <-got))
}

func TestHungUp(t *testing.T) {
	conn, far := connPair(t)
	_, err := far.Write(make([]byte, 100))
	require.NoError(t, err)
	assert.False(t, conn.HungUp())
	require.NoError(t, far.Close())
	require.Eventually(t, conn.HungUp, time.Minute, time.Millisecond)
}
