// Package refuse has addresses that refuse connections, for tests and examples.
//
// The port of a listener that has been closed is free: whoever listens next, in
// this program or another, may be given it, and then it refuses nobody. The ports
// here are taken for as long as it matters.
package refuse

import (
	"errors"
	"fmt"
	"net"
)

// A Port is a TCP port on loopback to which nobody can connect. It belongs to one
// end of a connection of its own, so no listener can be given it.
type Port struct {
	listener net.Listener
	conn     net.Conn
}

// Take takes a port, until it is closed.
func Take() (*Port, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("refuse: taking a port: %w", err)
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		_ = listener.Close() // the error is the one of Dial
		return nil, fmt.Errorf("refuse: taking a port: %w", err)
	}
	return &Port{listener: listener, conn: conn}, nil
}

// Addr returns the address, as host:port.
func (p *Port) Addr() string { return p.conn.LocalAddr().String() }

// Close gives the port back.
func (p *Port) Close() error { return errors.Join(p.conn.Close(), p.listener.Close()) }
