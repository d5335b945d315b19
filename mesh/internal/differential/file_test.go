package differential

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// A file is a topic of the corpus.
type file struct {
	path   string
	head   string // all before the first case: comments and the configuration
	config string // the configuration alone
	cases  []*exchange
}

// An exchange is a case: what is sent and answered, and what is to come of it.
type exchange struct {
	name     string
	line     int
	input    string // all before the recording, as it stands in the file
	listener string // "" for the first one
	from     string // the client's address, "" for any
	steps    []step
	answers  map[string][]answer // by backend
	anyOf    bool                // backends are not told apart
	shuffled bool                // nor is the order in which they get requests
	whole    bool                // only requests that a backend received whole count
	hold     bool                // another connection of a client is open the while

	envoy  string // the recording; "" if there is none
	ours   string // what meshproxy does instead, "" if it does the same
	reason string // why
}

// A step is something that the client does.
type step struct {
	send  []byte
	do    string // "await", "pause", "half-close", "hang-up", "reconnect"; "" if it sends
	pause time.Duration
}

// An answer is what a backend does for a request.
type answer struct {
	early bool
	acts  []act
}

// An act is a part of an answer.
type act struct {
	send  []byte
	do    string // "pause", "close", "reset", "stall"; "" if it sends
	pause time.Duration
}

var (
	sendLine   = regexp.MustCompile(`^>(\|)?(?: (.*))?$`)
	answerLine = regexp.MustCompile(`^([a-z0-9]+)<(\|)?(?: (.*))?$`)
	order      = regexp.MustCompile(`^@([a-z0-9-]+)(?: (.*))?$`)
)

// readFile reads a file of the corpus.
func readFile(path string) (*file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path}
	var current *exchange
	part := &f.head
	names := make(map[string]bool)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "=== "); ok {
			if names[name] {
				return nil, fmt.Errorf("%s:%d: %q is there twice", path, n, name)
			}
			names[name] = true
			current = &exchange{name: name, line: n, answers: make(map[string][]answer)}
			f.cases = append(f.cases, current)
			part = &current.input
		} else if current != nil && line == "--- envoy" {
			part = &current.envoy
			continue
		} else if reason, ok := strings.CutPrefix(line, "--- meshproxy: "); ok && current != nil {
			part, current.reason = &current.ours, reason
			continue
		} else if part != &f.head && line != "" && part == &current.input {
			if err := current.parse(line); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, n, err)
			}
		}
		if part == &f.head || line != "" {
			*part += line + "\n"
		}
	}
	f.config = f.head
	return f, nil
}

// parse takes a line of what a case does.
func (x *exchange) parse(line string) error {
	if strings.HasPrefix(line, "#") {
		return nil
	}
	if m := sendLine.FindStringSubmatch(line); m != nil {
		b, err := lineBytes(m[1], m[2])
		x.steps = append(x.steps, step{send: b})
		return err
	}
	if m := answerLine.FindStringSubmatch(line); m != nil {
		b, err := lineBytes(m[2], m[3])
		last := x.lastAnswer(m[1])
		last.acts = append(last.acts, act{send: b})
		return err
	}
	m := order.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%q is not understood", line)
	}
	switch word, rest := m[1], m[2]; word {
	case "to":
		x.listener = rest
	case "from":
		x.from = rest
	case "any":
		x.anyOf = true
	case "unordered":
		x.shuffled = true
	case "hold":
		x.hold = true
	case "whole":
		x.whole = true
	case "await", "half-close", "hang-up", "reconnect":
		x.steps = append(x.steps, step{do: word})
	case "pause":
		d, err := time.ParseDuration(rest)
		x.steps = append(x.steps, step{do: word, pause: d})
		return err
	default:
		return x.parseAct(word, rest)
	}
	return nil
}

// parseAct takes an order to a backend.
func (x *exchange) parseAct(backend, rest string) error {
	last := x.lastAnswer(backend)
	word, argument, _ := strings.Cut(rest, " ")
	switch word {
	case "next":
		x.answers[backend] = append(x.answers[backend], answer{})
	case "early":
		last.early = true
	case "close", "reset", "stall":
		last.acts = append(last.acts, act{do: word})
	case "pause":
		d, err := time.ParseDuration(argument)
		last.acts = append(last.acts, act{do: word, pause: d})
		return err
	default:
		return fmt.Errorf("@%s %s is not understood", backend, rest)
	}
	return nil
}

func (x *exchange) lastAnswer(backend string) *answer {
	if len(x.answers[backend]) == 0 {
		x.answers[backend] = []answer{{}}
	}
	return &x.answers[backend][len(x.answers[backend])-1]
}

func lineBytes(raw, text string) ([]byte, error) {
	b, err := unescape(text)
	if raw == "" {
		b = append(b, "\r\n"...)
	}
	return b, err
}

// write writes the file with the recordings that it has.
func (f *file) write() error {
	var out strings.Builder
	out.WriteString(strings.TrimRight(f.head, "\n") + "\n")
	for _, x := range f.cases {
		out.WriteString("\n" + x.input)
		if x.envoy != "" {
			out.WriteString("--- envoy\n" + x.envoy)
		}
		if x.reason != "" {
			out.WriteString("--- meshproxy: " + x.reason + "\n" + x.ours)
		}
	}
	return os.WriteFile(f.path, []byte(out.String()), 0o644)
}

// methods returns the methods of the requests that a case sends, as far as they can be told.
func (x *exchange) methods() []string {
	var out []string
	for i := range x.steps {
		for line := range strings.Lines(string(x.steps[i].send)) {
			method, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
			if ok && strings.Contains(rest, "HTTP/1.") && method == strings.ToUpper(method) {
				out = append(out, method)
			}
		}
	}
	return out
}
