package hashpolicy

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/maglev-lb/maglev"
)

type header struct {
	function string // that has made it
	given    string // name
	name     Name
	rewrite  *rewrite // nil for none
	err      error
}

// Header hashes a header: Envoy's header policy. Several values are sorted by
// their bytes and hashed one after another, XXH64 with the hash so far as its
// seed, so that their order is of no consequence but how often one comes is. An
// empty value is hashed; only a header that is absent gives no hash. Names are
// compared without case.
//
// The pseudo-headers ":path" (with its query), ":authority", ":method" and ":scheme"
// are headers too, and "Host" is ":authority".
//
// Headers that Envoy itself looks at, such as Accept, Authorization and
// X-Forwarded-For, are one value to it in however many lines they come: it joins
// the lines that are not empty with commas, in their order. So does this policy.
//
// More than eight values allocate.
func Header(name string) Policy {
	return Policy{kind: newHeader("Header", name)}
}

// HeaderRewrite is [Header] with Envoy's regex_rewrite: in each value, before it is
// hashed, all matches of the pattern are replaced by the substitution. In that,
// \1 to \9 stand for what these groups have matched, \0 for the whole match and
// \\ for a backslash. A value without a match is hashed as it is.
//
// The pattern is of RE2's syntax, as package regexp has it, without \C. It is
// matched byte by byte, as in Envoy: é in it matches é in a value, but . matches
// only one of the two bytes of é, and so does [é]. Envoy refuses some patterns that
// are taken here: an empty one, \x{100} and above, and, unless its
// re2.max_program_size.error_level says otherwise, those of which RE2 makes more
// than 100 instructions. A rewrite allocates.
func HeaderRewrite(name, pattern, substitution string) Policy {
	h := newHeader("HeaderRewrite", name)
	h.rewrite, h.err = newRewrite(pattern, substitution)
	return Policy{kind: h}
}

func newHeader(function, name string) *header {
	return &header{function: function, given: name, name: nameOf(name)}
}

func (h *header) check() error {
	if h.name.lower == "" {
		return wrong(h.function+": name", h.given, nameAllowed+`, or ":path"`)
	}
	return h.err
}

func (h *header) hash(r Request, _ bool) (uint64, string, bool) {
	if h.err != nil {
		return 0, "", false
	}
	if h.name.lower == ":path" {
		hash, ok := h.path(r)
		return hash, "", ok
	}
	value, count := r.Header(h.name, 0)
	switch {
	case count <= 0:
		return 0, "", false
	case count == 1:
		return maglev.XXHash(h.rewrite.of(value), 0), "", true
	}
	if h.name.joins && h.rewrite == nil {
		return hashJoined(r, h.name, value, count), "", true
	}
	var few [8]string
	values := append(few[:0], value)
	for i := 1; i < count; i++ {
		value, _ = r.Header(h.name, i)
		values = append(values, value)
	}
	if h.name.joins {
		values = slices.DeleteFunc(values, func(value string) bool { return value == "" })
		return maglev.XXHash(h.rewrite.of(strings.Join(values, ",")), 0), "", true
	}
	for i := range values {
		values[i] = h.rewrite.of(values[i])
	}
	slices.Sort(values)
	hash := uint64(0)
	for _, value := range values {
		hash = maglev.XXHash(value, hash)
	}
	return hash, "", true
}

// path hashes the path with its query, without putting them together.
func (h *header) path(r Request) (uint64, bool) {
	path, query, hasQuery := r.Target()
	switch {
	case path == "":
		return 0, false
	case h.rewrite != nil:
		if hasQuery {
			path += "?" + query
		}
		return maglev.XXHash(h.rewrite.of(path), 0), true
	case !hasQuery:
		return maglev.XXHash(path, 0), true
	}
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(path) // never fails
	_, _ = d.WriteString("?")
	_, _ = d.WriteString(query)
	return d.Sum64(), true
}

// hashJoined hashes the lines of a header as if they were one, without putting
// them together. Envoy drops empty lines, with their commas.
func hashJoined(r Request, name Name, first string, count int) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(first) // never fails
	empty := first == ""
	for i := 1; i < count; i++ {
		value, _ := r.Header(name, i)
		if value == "" {
			continue
		}
		if !empty {
			_, _ = d.WriteString(",")
		}
		_, _ = d.WriteString(value)
		empty = false
	}
	return d.Sum64()
}
