package cluster

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A Host is a backend of a cluster: an address that requests go to. Its fields do not change;
// any number of goroutines may use it. A host that has left its cluster stays valid for
// those who have it still, but its Pool is closed.
type Host struct {
	Hostname              string // "" if it has none
	Region, Zone, SubZone string
	Priority              int
	Weight                uint32 // 1 and above
	Config                *config.Endpoint
	Pool                  io.Closer // from [Options.NewPool]; nil without
	Stats                 HostStats

	cluster *Cluster
	address atomic.Pointer[message.Address]
	flags   atomic.Uint32
	up      atomic.Int64 // when it came or became healthy, as nanoseconds since cluster.epoch

	check   *check   // nil: it is not checked
	monitor *monitor // nil: no outlier detection
}

// Address returns where the host is. It changes for the one host of a LOGICAL_DNS cluster.
func (h *Host) Address() message.Address { return *h.address.Load() }

// Dial returns what net.Dial takes to connect to the host.
func (h *Host) Dial() (network, address string) { return dialOf(h.address.Load()) }

func dialOf(a *message.Address) (network, address string) {
	if !a.IP.IsValid() {
		return "unix", a.Text
	}
	return "tcp", a.Text
}

// Cluster returns the cluster that the host belongs to.
func (h *Host) Cluster() *Cluster { return h.cluster }

// Canary returns whether the host is one that is tried out.
func (h *Host) Canary() bool { return h.Config.Canary }

// Flags returns why the host is not healthy.
func (h *Host) Flags() Flags { return Flags(h.flags.Load()) }

// Flags are the reasons why a host is not healthy. 0 is healthy.
type Flags uint32

// The reasons there are, in Envoy's order.
const (
	FailedActiveCheck Flags = 1 << iota
	FailedOutlierCheck
	FailedByConfig // health_status UNHEALTHY or TIMEOUT
	DegradedByActiveCheck
	DegradedByConfig        // health_status DEGRADED
	PendingRemoval          // it has gone from the DNS, but active checks pass
	PendingActiveCheck      // not checked yet, and not counted until then
	ExcludedByImmediateFail // x-envoy-immediate-health-check-fail, not counted until a check passes
	ActiveCheckTimeout      // the last active check had no answer in time
	DrainingByConfig        // health_status DRAINING

	unhealthy = FailedActiveCheck | FailedOutlierCheck | FailedByConfig | DrainingByConfig
	degraded  = DegradedByActiveCheck | DegradedByConfig
	excluded  = PendingActiveCheck | ExcludedByImmediateFail | DrainingByConfig
)

// Healthy returns whether a host with these flags is healthy: neither unhealthy nor degraded.
func (f Flags) Healthy() bool { return f&(unhealthy|degraded) == 0 }

// Degraded returns whether it is used only if there are not enough healthy ones.
func (f Flags) Degraded() bool { return f&unhealthy == 0 && f&degraded != 0 }

func (f Flags) excluded() bool { return f&excluded != 0 }

var configured = [...]Flags{
	config.HealthUnknown: 0,
	config.Healthy:       0,
	config.Unhealthy:     FailedByConfig,
	config.Draining:      DrainingByConfig,
	config.Degraded:      DegradedByConfig,
}

// mark sets and clears flags. Cluster.mu is held.
func (h *Host) mark(set, clear Flags) (changed bool) {
	old := h.Flags()
	next := old&^clear | set
	h.flags.Store(uint32(next))
	if next.Healthy() && !old.Healthy() {
		h.up.Store(int64(time.Since(h.cluster.epoch)))
	}
	return next != old
}

// key returns what a Maglev table knows the host by.
func (h *Host) key() string {
	switch {
	case h.Config.HashKey != "":
		return h.Config.HashKey
	case h.cluster.Config.UseHostname:
		return h.Hostname
	}
	return h.address.Load().Text
}

// addressOf returns the address of an IP address and a port.
func addressOf(ip netip.Addr, port uint16) *message.Address {
	return &message.Address{Text: addressText(ip, port), IP: ip, Port: port}
}

// addressText returns an address as Envoy writes it, that is inet_ntop: unlike
// [netip.Addr.String] it has the last four bytes of ::1.2.3.4 in decimal.
func addressText(ip netip.Addr, port uint16) string {
	if b := ip.As16(); ip.Is6() && !ip.Is4In6() &&
		binary.BigEndian.Uint64(b[:]) == 0 && binary.BigEndian.Uint32(b[8:]) == 0 && binary.BigEndian.Uint16(b[12:]) != 0 {
		return fmt.Sprintf("[::%v]:%d", netip.AddrFrom4([4]byte(b[12:])), port)
	}
	return netip.AddrPortFrom(ip, port).String()
}

// isFixed returns whether an endpoint needs no resolver.
func isFixed(a *config.SocketAddress) bool {
	if a.Pipe != "" {
		return true
	}
	_, err := netip.ParseAddr(a.Host)
	return err == nil
}

// fixedAddress returns the address of an endpoint that needs no resolver, or nil.
func fixedAddress(a *config.SocketAddress) *message.Address {
	if a.Pipe != "" {
		return &message.Address{Text: a.Pipe}
	}
	ip, err := netip.ParseAddr(a.Host)
	if err != nil {
		return nil
	}
	return addressOf(ip, a.Port)
}

// keys returns the names of hosts for a table, which have to be unique. Where two have
// the same key, or one has none, each gets its place in the list behind it, which keyHash leaves
// out: so hosts of one key stand beside each other and have the same permutation, as in Envoy.
func keys(hosts []*Host) (names []string, hash maglev.Hash) {
	names = make([]string, len(hosts))
	seen := make(map[string]struct{}, len(hosts))
	for i, h := range hosts {
		names[i] = h.key()
		seen[names[i]] = struct{}{}
	}
	_, empty := seen[""]
	if len(seen) == len(hosts) && !empty {
		return names, nil
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s\x00%0*d", name, placeDigits, i)
	}
	return names, keyHash
}

const placeDigits = 10

func keyHash(name string, seed uint64) uint64 {
	return maglev.XXHash(name[:len(name)-placeDigits-1], seed)
}
