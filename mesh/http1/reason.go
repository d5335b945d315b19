package http1

import "net/http"

// Reason returns the text that stands beside a status: it is of no consequence (RFC
// 9112, section 4), and this is what an Envoy writes.
func Reason(status int) string {
	switch status {
	case 413:
		return "Payload Too Large"
	case 414:
		return "URI Too Long"
	case 416:
		return "Range Not Satisfiable"
	case 418, 451:
		return "Unknown"
	case 599:
		return "Last Unassigned Server Error Code"
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Unknown"
}
