package http1

import "net/http"

// Reason returns the text that stands beside a status: it is of no consequence (RFC
// 9112, section 4), and this is what an Envoy writes.
func Reason(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Unknown"
}
