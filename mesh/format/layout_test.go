package format_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/maglev-lb/maglev/mesh/message"
)

// TestStartTime has what TestRecorded does not: times whose parts have other lengths, and
// zones. That time has a Sunday, the first week, one digit, and no fraction.
func TestStartTime(t *testing.T) {
	ex := &message.Exchange{Start: time.Date(2023, 1, 1, 0, 5, 9, 0, time.UTC)}
	for layout, want := range map[string]string{
		"%d %e %_d %-d %3e":                      "01  1  1 1   1",
		"%H %k %_H %-M %I %l %p %P %^P %#p":      "00  0  0 5 12 12 AM am AM am",
		"%a %A %b %B %^a %#b":                    "Sun Sunday Jan January SUN JAN",
		"%u %w %U %W %V %G %g %j %C %y":          "7 0 01 00 52 2022 22 001 20 23",
		"%c|%x|%X|%D|%F|%T|%R|%r":                "Sun Jan  1 00:05:09 2023|01/01/23|00:05:09|01/01/23|2023-01-01|00:05:09|00:05|12:05:09 AM",
		"%E*S %E3S %E*f %E0S %S.%3f %f %E20f":    "09 09.000 0 09 09.000 000000000 00000000000000000000",
		"%s %%s %%%s %5a %05a %-5a|%10T|%3%|%5q": "1672531509 %1672531509 %1672531509   Sun 00Sun Sun|  00:05:09|  %|  %5q",
		"%E4Y %ET %Ey %EC %Od %OH":               "2023 T 23 20 01 00",
		"%Q %E %O %: %Ed %E5 %Of %E#S":           "%Q %E %O %: %Ed %E5 %Of %E#S",
		"%200d":                                  "%200d",
	} {
		if layout == "%200d" {
			assert.Len(t, string(parse(t, "%START_TIME("+layout+")%").Append(nil, ex, "-")), 100, "widths are bounded")
			continue
		}
		assert.Equal(t, want, string(parse(t, "%START_TIME("+layout+")%").Append(nil, ex, "-")), layout)
	}
}

func TestLocalTime(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	for zone, want := range map[*time.Location]string{
		time.FixedZone("CET", 3600):  "2026-11-27T11:32:03.811+0100 CET +01:00 +01:00:00 +01",
		time.FixedZone("IST", 19800): "2026-11-27T16:02:03.811+0530 IST +05:30 +05:30:00 +05:30",
		time.FixedZone("OLD", -4521): "2026-11-27T09:16:42.811-0115 OLD -01:15 -01:15:21 -01:15:21",
	} {
		time.Local = zone
		assert.Equal(t, want, string(parse(t, "%START_TIME_LOCAL% %START_TIME_LOCAL(%Z %Ez %E*z %:::z)%").Append(nil, get(), "-")))
	}
	time.Local = time.FixedZone("CET", 3600)
	assert.Equal(t, "UTC +0000", string(parse(t, "%START_TIME(%Z %z)%").Append(nil, get(), "-")))
	assert.Regexp(t, `^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 20\S+\+0100 \d{10}$`,
		string(parse(t, "%EMIT_TIME% %EMIT_TIME_LOCAL% %EMIT_TIME(%s)%").Append(nil, get(), "-")))
}
