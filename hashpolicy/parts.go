package hashpolicy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// SourceIP hashes the address that the request has come from, without its port, as
// text: Envoy's connection_properties with source_ip. A request that has not come
// by a connection, such as one that a client makes, gives no hash.
func SourceIP() Policy {
	return Policy{name: "SourceIP", hash: func(r Request) (uint64, bool, string) {
		addr, err := netip.ParseAddrPort(r.Remote())
		if err != nil {
			return 0, false, ""
		}
		var text [64]byte
		return xxhash.Sum64(addr.Addr().WithZone("").AppendTo(text[:0])), true, ""
	}}
}

// QueryParameter hashes the first value of a parameter of the query, as it stands
// there, still encoded: Envoy's query_parameter policy. Of ?k, as of ?k=, the value
// is empty, and hashed. Names are compared as they stand there too.
func QueryParameter(name string) Policy {
	if name == "" || strings.ContainsAny(name, "&=#") {
		return wrong("QueryParameter", "name", name, "a parameter's name as it stands in the query, without & = and #")
	}
	return of("QueryParameter", func(r Request) (string, bool) {
		_, query, _ := r.Target()
		for query != "" {
			var pair string
			pair, query, _ = strings.Cut(query, "&")
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value, true
			}
		}
		return "", false
	})
}

// Path hashes the path, without its query. Envoy has no such policy; there,
// Header(":path") hashes the path with its query, and a HeaderRewrite can cut that
// off.
func Path() Policy {
	return of("Path", func(r Request) (string, bool) {
		path, _, _ := r.Target()
		return path, path != ""
	})
}

// PathPrefix hashes the first segments of the path, or all of it if there are no
// more: of /users/42/photos, PathPrefix(2) hashes /users/42. Envoy has no such
// policy; there, a HeaderRewrite of :path does it.
func PathPrefix(segments int) Policy {
	if segments < 1 {
		return wrong("PathPrefix", "segments", fmt.Sprint(segments), "1 or more")
	}
	return of("PathPrefix", func(r Request) (string, bool) {
		path, _, _ := r.Target()
		end, left := 0, segments+1
		for ; end < len(path); end++ {
			if path[end] == '/' {
				if left--; left == 0 {
					break
				}
			}
		}
		return path[:end], path != ""
	})
}
