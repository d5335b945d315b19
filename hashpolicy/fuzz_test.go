package hashpolicy_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"sort"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/stretchr/testify/require"
)

// A slow is a policy as one would write it who need not care what it costs. It
// returns the texts whose chain is the hash, none for no hash.
type slow func(w *wire, name string) []string

func slowValues(w *wire, name string) (values []string) {
	for _, f := range w.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, strings.Trim(f.value, " \t\r\n"))
		}
	}
	return values
}

// slowJoined is slowValues with the one header joined that is, without empty lines.
func slowJoined(w *wire, name string) []string {
	values := slowValues(w, name)
	if strings.ToLower(name) != "accept" || len(values) == 0 {
		return values
	}
	joined := ""
	for _, value := range values {
		if joined != "" && value != "" {
			joined += ","
		}
		joined += value
	}
	return []string{joined}
}

func slowHeader(w *wire, name string) []string {
	values := slowJoined(w, name)
	sort.Strings(values)
	return values
}

// slowRewrite puts digits into brackets, byte by byte, and doubles every a.
func slowRewrite(w *wire, name string) []string {
	values := slowJoined(w, name)
	for i, value := range values {
		var b []byte
		for _, c := range []byte(value) {
			switch {
			case '0' <= c && c <= '9':
				b = append(b, '[', c, ']')
			case c == 'a' || c == 0xe9:
				b = append(b, '[', c, c, ']')
			default:
				b = append(b, c)
			}
		}
		values[i] = string(b)
	}
	sort.Strings(values)
	return values
}

func slowCookie(w *wire, name string) []string {
	for _, line := range slowValues(w, "cookie") {
		for _, pair := range strings.Split(line, ";") {
			parts := strings.SplitN(pair, "=", 2)
			if len(parts) < 2 || strings.TrimLeft(parts[0], " ") != name {
				continue
			}
			value := parts[1]
			if len(value) > 1 && strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
				value = value[1 : len(value)-1]
			}
			if value == "" {
				return nil
			}
			return []string{value}
		}
	}
	return nil
}

func slowQuery(w *wire, name string) []string {
	parts := strings.SplitN(w.target, "?", 2)
	if len(parts) < 2 || parts[1] == "" {
		return nil
	}
	for _, pair := range strings.Split(parts[1], "&") {
		if pair == name {
			return []string{""}
		}
		if strings.HasPrefix(pair, name+"=") {
			return []string{pair[len(name)+1:]}
		}
	}
	return nil
}

func slowPath(w *wire, _ string) []string {
	if path := strings.Split(w.target, "?")[0]; path != "" {
		return []string{path}
	}
	return nil
}

func slowTarget(w *wire, name string) []string {
	if slowPath(w, name) == nil {
		return nil
	}
	return []string{w.target}
}

func slowPrefix(w *wire, name string) []string {
	if slowPath(w, name) == nil {
		return nil
	}
	path := slowPath(w, name)[0]
	segments := strings.Split(path[1:], "/")
	return []string{path[:1] + strings.Join(segments[:min(2, len(segments))], "/")}
}

func slowSource(w *wire, _ string) []string {
	addr, err := netip.ParseAddrPort(w.remote)
	if err != nil {
		return nil
	}
	return []string{addr.Addr().Unmap().String()}
}

// FuzzHash builds a list of policies, one for each byte of kinds, and compares it
// with slow ones, over lines of the wire and over an http.Request.
func FuzzHash(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, "X-User", "/a/b?k=v", "x-user: a\nX-User: 9\ncookie: X-User=\"v\"; b", "192.0.2.7:53124")
	f.Add([]byte{4, 5, 6, 7, 0x80}, "k", "//a/b/c?&k&k=1", "k: \xe9a1\nk: \xff", "[::ffff:1.2.3.4]:5")
	f.Add([]byte{0x82, 2, 3, 0x87, 1}, "accept", "/?accept", "accept: 1\nAccept: \ncookie: accept=;accept=1", "[fe80::1%a]:1")
	f.Add([]byte{0, 1}, "accept", "/", "accept:\nAccept: a1\naccept:\naccept: b\naccept:", "")
	f.Add([]byte{7, 0x80, 7}, "", "0", "0", "[1::]:0")
	f.Add([]byte{1, 1, 0}, "a", "*", strings.Repeat("A: 1\nb: 2\na:\n", 9), "@")
	f.Fuzz(func(t *testing.T, kinds []byte, name, target, lines, remote string) {
		w := &wire{target: target, host: "example.test", remote: remote}
		header := make(http.Header)
		for _, line := range strings.Split(lines, "\n") {
			key, value, _ := strings.Cut(line, ":")
			if _, err := hashpolicy.NewName(key); err != nil {
				continue // cannot be on a wire
			}
			value = strings.Trim(value, " \t\r\n")
			w.fields = append(w.fields, field{key, value})
			header.Add(key, value)
		}
		var list hashpolicy.List
		var want uint64
		wantOK, ended := false, false
		for _, kind := range kinds {
			var p hashpolicy.Policy
			var reference slow
			switch kind & 7 {
			case 0:
				p, reference = hashpolicy.Header(name), slowHeader
			case 1:
				p, reference = hashpolicy.HeaderRewrite(name, `(?:(a|\xe9)|[0-9])`, `[\1\0]`), slowRewrite
			case 2:
				p, reference = hashpolicy.Cookie(name), slowCookie
			case 3:
				p, reference = hashpolicy.QueryParameter(name), slowQuery
			case 4:
				p, reference = hashpolicy.Path(), slowPath
			case 5:
				p, reference = hashpolicy.PathPrefix(2), slowPrefix
			case 6:
				p, reference = hashpolicy.Header(":path"), slowTarget
			case 7:
				p, reference = hashpolicy.SourceIP(), slowSource
			}
			if kind&0x80 != 0 {
				p = p.Terminal()
			}
			list = append(list, p)
			if ended {
				continue
			}
			if (hashpolicy.List{p}).Validate() == nil { // the others give no hash
				if texts := reference(w, name); texts != nil {
					want, wantOK = want<<1|want>>63, true
					want ^= chain(texts...)
				}
			}
			ended = kind&0x80 != 0 && wantOK
		}
		if skipped(name, remote) {
			_, _ = list.Hash(w) // no panic
			return
		}
		got, ok := list.Hash(w)
		require.Equal(t, wantOK, ok)
		require.Equal(t, want, got)

		u, err := url.ParseRequestURI(target)
		if err != nil || u.RequestURI() != target || u.Host != "" {
			return // net/http writes another target
		}
		got, ok = list.Hash(hashpolicy.HTTP(&http.Request{URL: u, Header: header, RemoteAddr: remote, Host: w.host}))
		require.Equal(t, wantOK, ok)
		require.Equal(t, want, got)
	})
}

// skipped reports where the slow ones are too plain: pseudo-headers, names that
// lower case changes by more than ASCII, headers joined other than accept, and
// addresses that are not as netip has them.
func skipped(name, remote string) bool {
	n, err := hashpolicy.NewName(name)
	if err == nil {
		switch lines := (&wire{fields: []field{{name, "a"}, {name, "b"}}}); {
		case strings.HasPrefix(n.Lower(), ":"):
			return true
		case n.Lower() != "accept" && n.Lower() != "cookie":
			hash, _ := hashpolicy.List{hashpolicy.Header(name)}.Hash(lines)
			if hash == text("a,b") {
				return true
			}
		}
	}
	if name == ":path" {
		return true
	}
	addr, err := netip.ParseAddrPort(remote)
	if strings.Contains(addr.Addr().Zone(), "]") {
		return true // no interface's name; netip looks for the last bracket
	}
	return err != nil && remote != "" || err == nil && addr.Addr().Is6() && strings.HasPrefix(addr.Addr().String(), "::")
}
