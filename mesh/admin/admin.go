// Package admin is the administration's HTTP server: what Envoy shows at its admin address.
//
// It only looks: everything it shows comes from the functions of a [Source], so it depends on
// nothing that runs. What Envoy's has and this one has not is answered 404 with a list of
// what there is, as Envoy answers an unknown path.
package admin

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/listener"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// A Source is what the server shows. Its functions are called from any goroutine. One that is
// nil has nothing to show; the commands of a nil hook are not there.
type Source struct {
	Version     string    // of the program
	Concurrency int       // how many processors it uses
	Started     time.Time // when the program did
	NodeID      string    // node.id of the configuration
	NodeCluster string    // node.cluster

	Stats       *stats.Store // must not be nil; server.* is added to it
	State       func() State // nil: always Live
	Connections func() int64 // open ones of all listeners
	Clusters    func() []ClusterStatus
	Listeners   func() []ListenerStatus
	// ConfigDump returns the bootstrap in JSON with Envoy's field names (config.Bootstrap.Dump).
	ConfigDump func() []byte

	// FailHealthChecks makes the health_check filter answer 503, or not any more; State is to
	// say Draining meanwhile.
	FailHealthChecks func(fail bool)
	// Quit ends the program. It is called after the answer was given.
	Quit func()
}

// A State is the state of the program, of envoy.admin.v3.ServerInfo.State.
type State uint8

// The states there are, with Envoy's numbers.
const (
	Live            State = iota
	Draining              // health checks are failed
	PreInitializing       // the configuration is read
	Initializing          // clusters are not all there yet, or listeners do not all serve yet
)

// String returns Envoy's name of the state.
func (s State) String() string {
	switch s {
	case Live:
		return "LIVE"
	case Draining:
		return "DRAINING"
	case PreInitializing:
		return "PRE_INITIALIZING"
	case Initializing:
		return "INITIALIZING"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

func (s *Source) state() State {
	if s.State == nil {
		return Live
	}
	return s.State()
}

// A Server serves HTTP at the admin address.
type Server struct {
	http     http.Server
	listener net.Listener
	done     chan struct{}
}

// Start listens on an address and serves until Close.
func Start(address config.SocketAddress, source *Source) (*Server, error) {
	l, err := listen(address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	s := &Server{
		listener: l,
		done:     make(chan struct{}),
		http: http.Server{
			Handler: New(source),
			// Nobody may keep a connection by being slow. An answer of 100,000 statistics
			// has time for a slow line.
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      time.Minute,
			IdleTimeout:       5 * time.Minute,
			MaxHeaderBytes:    60 << 10,
		},
	}
	go func() {
		defer close(s.done)
		s.http.Serve(l) // returns when it is closed
	}()
	return s, nil
}

func listen(address config.SocketAddress) (net.Listener, error) {
	if address.Pipe == "" {
		return net.Listen("tcp", addressText(address))
	}
	if err := listener.RemoveLeft(address.Pipe); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", address.Pipe)
	if err == nil && address.Mode != 0 && address.Pipe[0] != '@' {
		if err = os.Chmod(address.Pipe, os.FileMode(address.Mode)); err != nil {
			l.Close()
		}
	}
	return l, err
}

// Addr returns where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops it at once: answers under way are cut off.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}
