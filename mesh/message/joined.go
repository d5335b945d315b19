package message

// JoinedInRequest returns whether all lines of a request header of that name, in lower case, are
// one: "accept: a" and "accept: b" are "accept: a,b" from where they are read. Envoy has a slot
// of its own for each header that its code asks for, and a slot holds one value; lines of
// other headers stay as they are. The list was found out from Envoy 1.40.0 by adding each of
// some 130 known names twice.
func JoinedInRequest(name string) bool { return joinedInRequest[name] }

// JoinedInResponse is JoinedInRequest for answers, where other names are joined.
func JoinedInResponse(name string) bool { return joinedInResponse[name] }

// Join makes one field of those that have the same name, for all names that joined says.
// Their values are joined by commas, without the empty ones, and the first keeps its place.
func (f *Fields) Join(joined func(name string) bool) {
	all := *f
	for i := 1; i < len(all); i++ {
		for j := range i {
			if all[i].Name == all[j].Name && joined(all[i].Name) {
				all[j].Value = joinValues(all[j].Value, all[i].Value)
				copy(all[i:], all[i+1:])
				all[len(all)-1] = Field{}
				all = all[:len(all)-1]
				i--
				break
			}
		}
	}
	*f = all
}

// AddJoined is Add, but where joined says so and there is a field of that name, the value is
// appended to that of the first one, after a comma.
func (f *Fields) AddJoined(name, value string, joined bool) {
	if joined {
		for i := range *f {
			if (*f)[i].Name == name {
				(*f)[i].Value = joinValues((*f)[i].Value, value)
				return
			}
		}
	}
	f.Add(name, value)
}

func joinValues(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "," + b
}

var (
	joinedInRequest  = set(joinedInBoth, joinedInRequestOnly)
	joinedInResponse = set(joinedInBoth, joinedInResponseOnly)
)

var joinedInBoth = []string{
	"cache-control",
	"connection",
	"content-encoding",
	"content-length",
	"content-type",
	"keep-alive",
	"proxy-connection",
	"proxy-status",
	"transfer-encoding",
	"upgrade",
	"via",
	"x-envoy-attempt-count",
	"x-envoy-decorator-operation",
	"x-request-id",
}

var joinedInRequestOnly = []string{
	"accept",
	"accept-encoding",
	"access-control-request-headers",
	"access-control-request-method",
	"access-control-request-private-network",
	"authentication",
	"authorization",
	"cdn-loop",
	"expect",
	"grpc-accept-encoding",
	"grpc-timeout",
	"if-match",
	"if-modified-since",
	"if-none-match",
	"if-range",
	"if-unmodified-since",
	"origin",
	"pragma",
	"referer",
	"te",
	"user-agent",
	"x-client-trace-id",
	"x-envoy-downstream-service-cluster",
	"x-envoy-downstream-service-node",
	"x-envoy-expected-rq-timeout-ms",
	"x-envoy-external-address",
	"x-envoy-force-trace",
	"x-envoy-internal",
	"x-envoy-ip-tags",
	"x-envoy-is-timeout-retry",
	"x-envoy-original-host",
	"x-envoy-original-path",
	"x-envoy-original-url",
	"x-envoy-upstream-alt-stat-name",
	"x-envoy-upstream-rq-timeout-ms",
	"x-forwarded-client-cert",
	"x-forwarded-for",
	"x-forwarded-host",
	"x-forwarded-port",
	"x-forwarded-proto",
}

var joinedInResponseOnly = []string{
	"access-control-allow-credentials",
	"access-control-allow-headers",
	"access-control-allow-methods",
	"access-control-allow-origin",
	"access-control-allow-private-network",
	"access-control-expose-headers",
	"access-control-max-age",
	"age",
	"date",
	"etag",
	"expires",
	"grpc-message",
	"grpc-status",
	"last-modified",
	"location",
	"server",
	"vary",
	"x-envoy-degraded",
	"x-envoy-immediate-health-check-fail",
	"x-envoy-ratelimited",
	"x-envoy-upstream-canary",
	"x-envoy-upstream-healthchecked-cluster",
	"x-envoy-upstream-service-time",
}

func set(lists ...[]string) map[string]bool {
	names := map[string]bool{}
	for _, list := range lists {
		for _, name := range list {
			names[name] = true
		}
	}
	return names
}
