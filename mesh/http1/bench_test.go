package http1_test

import (
	"testing"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

var browser = []byte("GET /static/app.js?v=42 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")

func BenchmarkRequest(b *testing.B) {
	buf := make([]byte, len(browser))
	var p http1.Parser
	var r message.Request
	b.SetBytes(int64(len(browser)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, browser)
		if n, _, err := p.Request(buf, &r); n == 0 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	var p http1.Parser
	var r message.Request
	_, _, _ = p.Request(append([]byte(nil), browser...), &r)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = http1.AppendRequest(buf[:0], &r, http1.NoBody)
	}
}
