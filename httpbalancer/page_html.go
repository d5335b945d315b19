package httpbalancer

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
		"count": count[int], "counter": count[uint64], "weight": count[uint32], "percent": percent, "clock": clock,
	}).Parse(pageHTML))

	// pagePolicy lets a browser use the page's own style sheet and its forms, and
	// nothing else.
	pagePolicy = "default-src 'none'; style-src '" + styleHash() + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

func styleHash() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// A view is a report as the page shows it.
type view struct {
	report
	CSS     template.CSS
	Asked   inquiry
	Error   string // about what was asked
	InSet   []backendReport
	Gone    []backendReport // left the set, with requests in flight
	NotWell []int           // of those in the set that are not ready, if it is easy to overlook them
	Checked bool
	Bounded int // Options.Balancer.BalanceFactor

	widest float64 // share, which the longest bar stands for
}

func writeHTML(to *bytes.Buffer, t *Transport, asked inquiry, wrong error) error {
	v := view{CSS: template.CSS(pageCSS), Asked: asked, Checked: t.opts.Check != nil, Bounded: t.opts.Balancer.BalanceFactor}
	if wrong != nil {
		v.Error = wrong.Error()
		v.Asked.refresh = 0
		asked.field = "" // there is nothing to look up
	}
	v.report = t.report(asked)
	for _, b := range v.Backends {
		if b.Left {
			v.Gone = append(v.Gone, b)
			continue
		}
		const manyRows = 20
		if b.State != "ready" && len(v.Backends) > manyRows {
			v.NotWell = append(v.NotWell, len(v.InSet))
		}
		v.InSet = append(v.InSet, b)
		v.widest = max(v.widest, b.SlotShare, b.WeightShare)
	}
	var page bytes.Buffer
	err := pageTemplate.Execute(&page, &v)
	to.Write(bytes.ToValidUTF8(page.Bytes(), []byte("\ufffd"))) // as names and keys need not be
	return err
}

// Summary says how many backends there are, in which states.
func (v *view) Summary() string {
	counts := make(map[string]int)
	for _, b := range v.InSet {
		counts[b.State]++
	}
	noun := "backends"
	if len(v.InSet) == 1 {
		noun = "backend"
	}
	var states []string
	for _, state := range []string{"ready", "warming", "unhealthy", "draining"} {
		if n := counts[state]; n > 0 {
			states = append(states, count(n)+" "+state)
		}
	}
	s := count(len(v.InSet)) + " " + noun
	if len(states) > 0 {
		s += ": " + strings.Join(states, ", ")
	}
	return s
}

// Refresh returns after how many seconds the page loads itself again, 0 for never.
func (v *view) Refresh() int { return v.Asked.refresh }

// JSONLink returns the address of the same as JSON, relative to the page's.
func (v *view) JSONLink() string { return v.link("json", 0) }

// RefreshLink returns the address of the page that loads itself again, or that does
// not if this one does.
func (v *view) RefreshLink() string {
	if v.Asked.refresh > 0 {
		return v.link("", 0)
	}
	return v.link("", 5)
}

func (v *view) link(format string, refresh int) string {
	query := make(url.Values)
	if v.Asked.field != "" && v.Error == "" {
		query.Set(v.Asked.field, v.Asked.text)
	}
	if format != "" {
		query.Set("format", format)
	}
	if refresh > 0 {
		query.Set("refresh", strconv.Itoa(refresh))
	}
	return "?" + query.Encode()
}

// Given returns what the input field of a parameter is to show.
func (v *view) Given(field string) string {
	if v.Asked.field == field {
		return v.Asked.text
	}
	return ""
}

// IsWrong returns whether the error is about what a field shows.
func (v *view) IsWrong(field string) bool { return v.Error != "" && v.Asked.field == field }

// Bar returns how long the bar of a share is, in percent of the longest.
func (v *view) Bar(share float64) string {
	if v.widest == 0 {
		return "0"
	}
	return strconv.FormatFloat(100*share/v.widest, 'f', 1, 64)
}

// Means says what a state means for a backend's keys.
func (v *view) Means(state string) string {
	switch {
	case state == "warming":
		return "in slow start: it gets some of its keys"
	case state == "full":
		return "at its bound: it gets no more at present"
	case state == "draining":
		return "it gets no new keys"
	case state == "unhealthy" && v.Panic:
		return "it gets its keys all the same: panic"
	case state == "unhealthy" && v.Unhealthy == "rebuild":
		return "its keys go elsewhere: the table is built without it"
	case state == "unhealthy":
		return "its keys go to their next candidates"
	}
	return ""
}

// Shown returns the candidates to show: the first ten, and whichever is picked.
func (v *view) Shown() []rankedCandidate {
	const enough = 10
	reasons := make(map[string]*string, len(v.InSet))
	for i := range v.InSet {
		reasons[v.InSet[i].Name] = v.InSet[i].Reason
	}
	var shown []rankedCandidate
	for i, c := range v.Lookup.Candidates {
		if i < enough || c.Picked {
			shown = append(shown, rankedCandidate{c, i + 1, reasons[c.Name]})
		}
	}
	return shown
}

// Unshown returns how many candidates there are beside those.
func (v *view) Unshown() int { return len(v.Lookup.Candidates) - len(v.Shown()) }

// A rankedCandidate is a candidate, its place from 1, and why it is not healthy.
type rankedCandidate struct {
	candidateReport
	Rank   int
	Reason *string
}

// Why says why the one that is picked is.
func (l *lookupReport) Why() string {
	switch first := l.Candidates[0]; {
	case first.Picked:
		return ", the first candidate"
	case first.State == "warming":
		return ": the first candidate is in slow start and does not take this key yet; such a key stays where it was, if it can"
	case first.State == "full":
		return ": the first candidate is at its bound"
	default:
		return ": the first candidate is " + first.State
	}
}

// Decimal returns the hash as Envoy writes it.
func (l *lookupReport) Decimal() string { return strconv.FormatUint(l.hash, 10) }

// MovedShare returns how much of the table has moved when it was built.
func (v *view) MovedShare() float64 {
	return finite(float64(v.LastTable.Moved) / float64(v.Slots))
}

// TookText returns how long the table took.
func (r *tableReport) TookText() string {
	took := time.Duration(r.Took * float64(time.Second))
	if took < time.Second {
		return fmt.Sprintf("%.2f\u00a0ms", float64(took)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f\u00a0s", took.Seconds())
}

// Beyond returns how many slots have moved though they need not have.
func (r *tableReport) Beyond() int { return r.Moved - r.Ideal }

// Ago says how long ago a time was, or how far ahead it is.
func (v *view) Ago(t *time.Time) string {
	d := v.Time.Sub(*t)
	switch {
	case d < 0:
		return "in " + length(-d)
	case d < time.Second:
		return "just now"
	}
	return length(d) + " ago"
}

// length writes a duration in its largest unit, rounded down.
func length(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d\u00a0s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d\u00a0min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d\u00a0h", int(d.Hours()))
	}
	return fmt.Sprintf("%d\u00a0days", int(d.Hours()/24))
}

// clock is a template function: a time as HTML, exact and for people.
func clock(t time.Time) template.HTML {
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339Nano) + `">` + t.Format("2006-01-02 15:04:05") + ` UTC</time>`)
}

// percent writes a share with two decimals.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 2, 64) + "\u00a0%" }

// count writes a number with commas between thousands.
func count[N int | uint32 | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
