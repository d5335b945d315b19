package health

import (
	"fmt"
	"time"
)

// A Status is what a [Monitor] knows of a backend at one moment, for a page to
// show.
type Status struct {
	Name    string
	Healthy bool   // the verdict
	Reason  string // why it is not healthy, "" if it is

	LastCheck  time.Time // when the last active check ended; zero if none has
	CheckError error     // its error, nil if it passed

	EjectedUntil time.Time // when the ejection ends; zero if it is not ejected
	Ejections    int       // how often it has been ejected since it came

	// How many errors there were in a row. A counter that has come to its
	// threshold begins anew.
	Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal int

	// SetterError is that of the Setter when it was told the last verdict. As
	// long as it is not nil, the Setter may go by another verdict.
	SetterError error
}

// Status returns the state of every backend, in the order of the last Update.
func (m *Monitor) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Status, 0, len(m.order))
	for _, b := range m.order {
		s := Status{
			Name:        b.name,
			Healthy:     b.healthy(),
			Reason:      m.reason(b),
			LastCheck:   b.lastCheck,
			CheckError:  b.lastError,
			Ejections:   b.ejections,
			SetterError: b.refused,
		}
		if b.ejection != nil {
			s.EjectedUntil = b.ejection.until
		}
		s.Consecutive5xx, s.ConsecutiveGateway, s.ConsecutiveLocal = unpack(b.counts.word.Load())
		all = append(all, s)
	}
	return all
}

func (m *Monitor) reason(b *Backend) (reason string) {
	switch {
	case b.down && b.lastError != nil:
		reason = fmt.Sprintf("check failed: %v", b.lastError)
	case b.down:
		reason = fmt.Sprintf("check failed, and has passed %d of %d times since", b.passes, m.check.HealthyThreshold)
	}
	if b.ejection != nil {
		if reason != "" {
			reason += "; "
		}
		reason += "ejected: " + b.ejection.why
	}
	return reason
}
