package format

import (
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// grpcNames are the statuses of gRPC by number, as CAMEL_STRING and SNAKE_STRING have them.
var grpcNames = [...]struct{ camel, snake string }{
	{"OK", "OK"},
	{"Canceled", "CANCELLED"},
	{"Unknown", "UNKNOWN"},
	{"InvalidArgument", "INVALID_ARGUMENT"},
	{"DeadlineExceeded", "DEADLINE_EXCEEDED"},
	{"NotFound", "NOT_FOUND"},
	{"AlreadyExists", "ALREADY_EXISTS"},
	{"PermissionDenied", "PERMISSION_DENIED"},
	{"ResourceExhausted", "RESOURCE_EXHAUSTED"},
	{"FailedPrecondition", "FAILED_PRECONDITION"},
	{"Aborted", "ABORTED"},
	{"OutOfRange", "OUT_OF_RANGE"},
	{"Unimplemented", "UNIMPLEMENTED"},
	{"Internal", "INTERNAL"},
	{"Unavailable", "UNAVAILABLE"},
	{"DataLoss", "DATA_LOSS"},
	{"Unauthenticated", "UNAUTHENTICATED"},
}

// grpcStatusValue is %GRPC_STATUS(CAMEL_STRING|SNAKE_STRING|NUMBER)%.
func grpcStatusValue(param string) (value, error) {
	if err := oneOf("GRPC_STATUS", param, "CAMEL_STRING", "SNAKE_STRING", "NUMBER"); err != nil {
		return value{}, err
	}
	if param == "NUMBER" {
		return number(grpcStatus), nil
	}
	snake := param == "SNAKE_STRING"
	return written(func(b []byte, ex *message.Exchange) ([]byte, bool) {
		status, ok := grpcStatus(ex)
		switch {
		case !ok:
			return b, false
		case status < 0 || status >= int64(len(grpcNames)):
			return strconv.AppendInt(b, status, 10), true
		case snake:
			return append(b, grpcNames[status].snake...), true
		}
		return append(b, grpcNames[status].camel...), true
	}), nil
}

// grpcStatus returns how a call of gRPC ended: by its trailers, else by its headers, else
// by the status of HTTP. It is -1 for what is no number, and false for a request that is
// no call.
func grpcStatus(ex *message.Exchange) (int64, bool) {
	kind, _ := ex.Request.Fields.Get("content-type")
	if after, ok := strings.CutPrefix(kind, "application/grpc"); !ok || ex.Request.Method == "CONNECT" || after != "" && after[0] != '+' {
		return 0, false
	}
	s, _ := ex.Response.Trailers.Get("grpc-status")
	if s == "" {
		s, _ = ex.Response.Fields.Get("grpc-status")
	}
	if s != "" {
		n, err := strconv.ParseUint(s, 10, 62)
		if err != nil {
			return -1, true
		}
		return int64(n), true
	}
	switch ex.Response.Status {
	case 0:
		return 0, false
	case 400:
		return 13, true
	case 401:
		return 16, true
	case 403:
		return 7, true
	case 404:
		return 12, true
	case 429, 502, 503, 504:
		return 14, true
	}
	return 2, true
}
