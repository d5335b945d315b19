package proxy

import (
	"net"
	"runtime"
	"time"

	"github.com/maglev-lb/maglev/mesh/admin"
	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
)

// source is what the admin server shows.
func (p *Proxy) source(b *config.Bootstrap) *admin.Source {
	return &admin.Source{
		Version:     Version,
		Concurrency: runtime.GOMAXPROCS(0),
		Started:     time.Now(),
		NodeID:      b.NodeID,
		NodeCluster: b.NodeCluster,
		Stats:       p.stats,
		State:       p.State,
		Connections: p.connections,
		Clusters:    p.clusterStatus,
		Listeners:   p.listenerStatus,
		ConfigDump:  b.Dump,
		FailHealthChecks: func(fail bool) {
			p.failing.Store(fail)
		},
		Quit: func() { p.quitOnce.Do(func() { close(p.quit) }) },
	}
}

// Version is that of the program.
const Version = "0.1.0"

// State returns what the proxy is doing.
func (p *Proxy) State() admin.State {
	if p.failing.Load() {
		return admin.Draining
	}
	return admin.State(p.state.Load())
}

func (p *Proxy) listenerStatus() (all []admin.ListenerStatus) {
	if p.State() != admin.Live {
		return nil
	}
	for _, l := range p.listeners {
		s := admin.ListenerStatus{Name: l.Name(), Address: l.Config().Address}
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			s.Address.Port = uint16(tcp.Port)
		}
		all = append(all, s)
	}
	return all
}

func (p *Proxy) clusterStatus() (all []admin.ClusterStatus) {
	for _, c := range p.clusters.All() {
		all = append(all, statusOf(c.Status()))
	}
	return all
}

func statusOf(c cluster.Status) admin.ClusterStatus {
	s := admin.ClusterStatus{Name: c.Name, StatName: c.StatName, Breakers: c.Breakers, Outlier: (*admin.OutlierStatus)(c.Outlier)}
	for _, h := range c.Hosts {
		n := &h.Stats
		address := h.Address()
		socket := config.SocketAddress{Pipe: address.Text}
		if address.IP.IsValid() {
			socket = config.SocketAddress{Host: address.IP.String(), Port: address.Port}
		}
		s.Hosts = append(s.Hosts, admin.HostStatus{
			Address:  socket,
			Hostname: h.Hostname,
			Region:   h.Region, Zone: h.Zone, SubZone: h.SubZone,
			Weight:   h.Weight,
			Priority: uint32(h.Priority),
			Canary:   h.Canary(),
			Health:   admin.HealthFlags(h.Flags),

			ConnectionsActive: n.ActiveConnections.Value(),
			ConnectionsFailed: int64(n.ConnectFail.Value()),
			ConnectionsTotal:  int64(n.Connections.Value()),
			RequestsActive:    n.ActiveRequests.Value(),
			RequestsPending:   n.PendingRequests.Value(),
			RequestsFailed:    int64(n.Failed.Value()),
			RequestsSucceeded: int64(n.Succeeded.Value()),
			RequestsTimedOut:  int64(n.TimedOut.Value()),
			RequestsTotal:     int64(n.Requests.Value()),

			SuccessRate: h.SuccessRate, LocalSuccessRate: h.LocalSuccessRate,
		})
	}
	return s
}
