package lookup

import (
	"flag"
	"fmt"
)

// Settings are what the command lines of these examples have in common.
type Settings struct{ Keys, Requests, Servers int }

// What each flag takes. One server is killed, so one more has to be there; and
// the program should end within seconds, or at least minutes.
const (
	minServers, maxServers   = 2, 64
	maxKeys                  = 100_000
	minRequests, maxRequests = 100, 1_000_000
)

// Flags defines a flag for each setting, with its usual value.
func (s *Settings) Flags(flags *flag.FlagSet) {
	flags.IntVar(&s.Keys, "keys", 1000, fmt.Sprintf("how many keys there are, from the number of servers to %d", maxKeys))
	flags.IntVar(&s.Requests, "requests", 3000, fmt.Sprintf("how many requests are measured at a time, from %d to %d", minRequests, maxRequests))
	flags.IntVar(&s.Servers, "servers", 8, fmt.Sprintf("how many servers there are, from %d to %d", minServers, maxServers))
}

// Check returns an error if a setting is out of its range.
func (s *Settings) Check() error {
	switch {
	case s.Servers < minServers || s.Servers > maxServers:
		return fmt.Errorf("-servers %d: it must be from %d to %d", s.Servers, minServers, maxServers)
	case s.Keys < s.Servers || s.Keys > maxKeys:
		return fmt.Errorf("-keys %d: it must be from %d, the number of servers, to %d", s.Keys, s.Servers, maxKeys)
	case s.Requests < minRequests || s.Requests > maxRequests:
		return fmt.Errorf("-requests %d: it must be from %d to %d", s.Requests, minRequests, maxRequests)
	}
	return nil
}

// Capacity is how many keys a server's cache holds: its share of them, and a
// quarter more, as shares are not quite even.
func (s *Settings) Capacity() int { return (s.Keys*5 + s.Servers*4 - 1) / (s.Servers * 4) }

// Popular returns how many of the keys are among the most popular ones that fit into
// one cache.
func (s *Settings) Popular(keys []string) int {
	n := 0
	for _, key := range keys {
		if key < KeyOf(s.Capacity()) {
			n++
		}
	}
	return n
}
