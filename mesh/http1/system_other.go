//go:build !linux

package http1

import "errors"

const canSplice = false

type pipe struct{ held int64 }

var errNoSplice = errors.New("http1: this system cannot splice")

func getPipe() (*pipe, error)                      { return nil, errNoSplice }
func (p *pipe) put()                               {}
func (p *pipe) from(uintptr, int64) (int64, error) { return 0, errNoSplice }
func (p *pipe) to(uintptr, int64) (int64, error)   { return 0, errNoSplice }

// HungUp returns whether the peer has closed its side of the connection, where the system tells. Here it
// does not.
func (c *Conn) HungUp() bool { return false }
