package forwarding

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A Clock writes the time for the field date, once a second. The zero value is ready to use, by
// any number of goroutines.
type Clock struct{ last atomic.Pointer[second] }

type second struct {
	unix int64
	text string
}

// Date returns a time in the form of RFC 9110, section 5.6.7.
func (c *Clock) Date(now time.Time) string {
	unix := now.Unix()
	if s := c.last.Load(); s != nil && s.unix == unix {
		return s.text
	}
	s := &second{unix, now.UTC().Format(http.TimeFormat)}
	c.last.Store(s)
	return s.text
}
