package format

import (
	"bytes"
	"strconv"
	"time"
)

// append appends a time as the layout has it.
func (l layout) append(b []byte, t time.Time) []byte {
	// Most layouts have all of these, and each costs as much as all three.
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	for i := range l {
		c := &l[i]
		switch c.kind {
		case 0:
			b = append(b, c.text...)
		case 'Y':
			b = c.appendNumber(b, year, 1, '0')
		case 'm':
			b = c.appendNumber(b, int(month), 2, '0')
		case 'd':
			b = c.appendNumber(b, day, 2, '0')
		case 'H':
			b = c.appendNumber(b, hour, 2, '0')
		case 'M':
			b = c.appendNumber(b, minute, 2, '0')
		case 'S':
			b = c.appendNumber(b, second, 2, '0')
		default:
			b = c.append(b, t)
		}
	}
	return b
}

// append appends what is asked for less often.
func (c *conversion) append(b []byte, t time.Time) []byte {
	switch c.kind {
	case secondsKind:
		b = appendTwo(b, t.Second())
		if c.digits == 0 || c.digits == allDigits && t.Nanosecond() == 0 {
			return b
		}
		return appendFraction(append(b, '.'), t.Nanosecond(), c.digits)
	case fractionKind:
		return appendFraction(b, t.Nanosecond(), c.digits)
	case epochKind:
		return c.appendNumber(b, int(t.Unix()), 1, '0')
	case colonKind:
		return appendZone(b, t, c.digits)
	case 'e':
		return c.appendNumber(b, t.Day(), 2, ' ')
	case 'k':
		return c.appendNumber(b, t.Hour(), 2, ' ')
	case 'l':
		return c.appendNumber(b, hour12(t), 2, ' ')
	case 'I':
		return c.appendNumber(b, hour12(t), 2, '0')
	case 'y':
		return c.appendNumber(b, t.Year()%100, 2, '0')
	case 'C':
		return c.appendNumber(b, t.Year()/100, 2, '0')
	case 'j':
		return c.appendNumber(b, t.YearDay(), 3, '0')
	case 'u':
		return c.appendNumber(b, (int(t.Weekday())+6)%7+1, 1, '0')
	case 'w':
		return c.appendNumber(b, int(t.Weekday()), 1, '0')
	case 'U': // the week, weeks beginning on Sunday
		return c.appendNumber(b, (t.YearDay()+6-int(t.Weekday()))/7, 2, '0')
	case 'W': // on Monday
		return c.appendNumber(b, (t.YearDay()+6-(int(t.Weekday())+6)%7)/7, 2, '0')
	case 'V':
		_, week := t.ISOWeek()
		return c.appendNumber(b, week, 2, '0')
	case 'G':
		year, _ := t.ISOWeek()
		return c.appendNumber(b, year, 1, '0')
	case 'g':
		year, _ := t.ISOWeek()
		return c.appendNumber(b, year%100, 2, '0')
	}
	return c.appendText(b, t)
}

// appendText appends what is a text to strftime: blanks fill its width.
func (c *conversion) appendText(b []byte, t time.Time) []byte {
	start := len(b)
	upper, lower := c.upper || c.swap, false
	switch c.kind {
	case 'a':
		b = t.AppendFormat(b, "Mon")
	case 'A':
		b = t.AppendFormat(b, "Monday")
	case 'b', 'h':
		b = t.AppendFormat(b, "Jan")
	case 'B':
		b = t.AppendFormat(b, "January")
	case 'c':
		b = t.AppendFormat(b, "Mon Jan _2 15:04:05 2006")
	case 'D', 'x':
		b = t.AppendFormat(b, "01/02/06")
	case 'F':
		b = t.AppendFormat(b, "2006-01-02")
	case 'r':
		b = t.AppendFormat(b, "03:04:05 PM")
	case 'R':
		b = t.AppendFormat(b, "15:04")
	case 'T', 'X':
		b = t.AppendFormat(b, "15:04:05")
	case 'p':
		b = t.AppendFormat(b, "PM")
		upper, lower = c.upper, c.swap
	case 'P':
		b = t.AppendFormat(b, "pm")
	case 'z':
		b = t.AppendFormat(b, "-0700")
	case 'Z':
		name, _ := t.Zone()
		b = append(b, name...)
		upper, lower = c.upper, c.swap
	case 't':
		b = append(b, '\t')
	case asIsKind:
		b = append(b, '%')
	case unknownKind:
		b = append(b, c.text...)
		upper = false
	}
	for i := start; i < len(b); i++ {
		switch ch := b[i]; {
		case lower && 'A' <= ch && ch <= 'Z':
			b[i] = ch - 'A' + 'a'
		case upper && 'a' <= ch && ch <= 'z':
			b[i] = ch - 'a' + 'A'
		}
	}
	fill := byte(' ')
	if c.flag == '0' {
		fill = '0'
	}
	return c.fillTo(b, start, c.width, fill)
}

// appendNumber appends a number of so many digits at least.
func (c *conversion) appendNumber(b []byte, n, digits int, fill byte) []byte {
	if c.flag == 0 && c.width == 0 && digits == 2 && fill == '0' && n >= 0 && n < 100 {
		return appendTwo(b, n)
	}
	start := len(b)
	b = strconv.AppendInt(b, int64(n), 10)
	switch c.flag {
	case '_':
		fill = ' '
	case '0':
		fill = '0'
	}
	return c.fillTo(b, start, max(digits, c.width), fill)
}

// fillTo fills what was appended up to a width, from the left.
func (c *conversion) fillTo(b []byte, start, width int, fill byte) []byte {
	missing := width - (len(b) - start)
	if missing <= 0 || c.flag == '-' {
		return b
	}
	for range missing {
		b = append(b, fill)
	}
	copy(b[start+missing:], b[start:len(b)-missing])
	for i := range missing {
		b[start+i] = fill
	}
	return b
}

// appendFraction appends the first digits of a fraction of a second, or all but the
// trailing zeros.
func appendFraction(b []byte, nanoseconds, digits int) []byte {
	var all [9]byte
	for i := len(all) - 1; i >= 0; i-- {
		all[i] = byte('0' + nanoseconds%10)
		nanoseconds /= 10
	}
	if digits == allDigits {
		digits = len(bytes.TrimRight(all[:], "0"))
		if digits == 0 {
			digits = 1
		}
	}
	b = append(b, all[:min(digits, len(all))]...)
	for range digits - len(all) {
		b = append(b, '0')
	}
	return b
}

// appendZone appends the distance from UTC with colons: "+01:00" for one, "+01:00:00" for
// two, and for three what is not zero of it.
func appendZone(b []byte, t time.Time, colons int) []byte {
	_, seconds := t.Zone()
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	b = append(b, sign)
	b = appendTwo(b, seconds/3600)
	minutes, seconds := seconds/60%60, seconds%60
	if colons < 3 || minutes != 0 || seconds != 0 {
		b = appendTwo(append(b, ':'), minutes)
	}
	if colons == 2 || colons == 3 && seconds != 0 {
		b = appendTwo(append(b, ':'), seconds)
	}
	return b
}

func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10%10), byte('0'+n%10)) }

func hour12(t time.Time) int { return (t.Hour()+11)%12 + 1 }
