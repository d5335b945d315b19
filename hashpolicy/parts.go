package hashpolicy

import (
	"strings"

	"github.com/maglev-lb/maglev"
)

type queryParameter string

// QueryParameter hashes the first value of a parameter of the query: Envoy's
// query_parameter policy. Names and values are as they stand there, still encoded;
// only & separates. Of ?k, as of ?k=, the value is empty, and hashed.
func QueryParameter(name string) Policy { return Policy{kind: queryParameter(name)} }

func (q queryParameter) check() error {
	if q == "" || strings.ContainsAny(string(q), "&=#") {
		return wrong("QueryParameter: name", string(q), "a parameter's name as it stands in the query, without & = and #")
	}
	return nil
}

func (q queryParameter) hash(r Request, _ bool) (uint64, string, bool) {
	if q == "" {
		return 0, "", false
	}
	_, query, _ := r.Target()
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if name, value, _ := strings.Cut(pair, "="); name == string(q) {
			return maglev.XXHash(value, 0), "", true
		}
	}
	return 0, "", false
}

type wholePath struct{}

// Path hashes the path without its query. Envoy has no such policy. There, as
// here, Header(":path") hashes the path with its query, which is the same for
// requests that have none, and HeaderRewrite(":path", `\?.*`, "") is this.
func Path() Policy { return Policy{kind: wholePath{}} }

func (wholePath) check() error { return nil }

func (wholePath) hash(r Request, _ bool) (uint64, string, bool) {
	path, _, _ := r.Target()
	return maglev.XXHash(path, 0), "", path != ""
}

type pathPrefix int

// PathPrefix hashes the first segments of the path, 1 or more, or all of the path
// if it has no more: of /users/42/photos?size=2 and of /users/42/, PathPrefix(2)
// hashes /users/42. Envoy has no such policy; there as here,
// HeaderRewrite(":path", `^((?:/[^/?]*){1,2}).*`, `\1`) is this.
func PathPrefix(segments int) Policy { return Policy{kind: pathPrefix(segments)} }

func (n pathPrefix) check() error {
	if n < 1 {
		return wrong("PathPrefix: segments", int(n), "1 or more")
	}
	return nil
}

func (n pathPrefix) hash(r Request, _ bool) (uint64, string, bool) {
	path, _, _ := r.Target()
	if path == "" || n < 1 {
		return 0, "", false
	}
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if n--; n == 0 {
			path = path[:i]
		}
	}
	return maglev.XXHash(path, 0), "", true
}

type function struct {
	f func(r Request) (hash uint64, ok bool)
}

// Func hashes by a function of the caller's, which returns false for no hash. It
// is to be a pure function of the request, the same on all machines that are to
// agree, and safe to call from several goroutines. Envoy has no such policy.
//
// maglev.XXHash with seed 0 hashes a text as the other policies do; for keys that
// an adversary can choose there is maglev.SipHash. [NewName] makes the names to ask
// for, once, and [HTTPRequest] gives the http.Request.
func Func(f func(r Request) (hash uint64, ok bool)) Policy { return Policy{kind: function{f}} }

func (f function) check() error {
	if f.f == nil {
		return wrong("Func: f", nil, "a function")
	}
	return nil
}

func (f function) hash(r Request, _ bool) (uint64, string, bool) {
	if f.f == nil {
		return 0, "", false
	}
	hash, ok := f.f(r)
	return hash, "", ok
}
