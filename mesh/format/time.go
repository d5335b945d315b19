package format

import (
	"time"

	"github.com/maglev-lb/maglev/mesh/message"
)

// What %START_TIME% and %START_TIME_LOCAL% give without a format.
const (
	defaultTime      = "%Y-%m-%dT%H:%M:%E3SZ"
	defaultTimeLocal = "%Y-%m-%dT%H:%M:%E3S%z"
)

func startTime(ex *message.Exchange) time.Time      { return ex.Start.UTC() }
func startTimeLocal(ex *message.Exchange) time.Time { return ex.Start.Local() }
func emitTime(*message.Exchange) time.Time          { return time.Now().UTC() }
func emitTimeLocal(*message.Exchange) time.Time     { return time.Now() }

// timeValue makes operators such as %START_TIME(%Y-%m-%d)%.
func timeValue(of func(*message.Exchange) time.Time, byDefault string) func(string) (value, error) {
	return func(param string) (value, error) {
		if param == "" {
			param = byDefault
		}
		layout, err := parseLayout(param)
		if err != nil {
			return value{}, err
		}
		return written(func(b []byte, ex *message.Exchange) ([]byte, bool) {
			return layout.append(b, of(ex)), true
		}), nil
	}
}
