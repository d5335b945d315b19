package http1_test

import (
	"errors"
	"fmt"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A request is taken off the beginning of what has been read, and written as it goes on.
func ExampleParser_Request() {
	buffer := []byte("PUT /cart/tea HTTP/1.1\r\nHost: shop.test\r\nX-User: 41\r\nContent-Length: 2\r\n\r\n11GET / HT")

	var p http1.Parser
	var r message.Request
	n, head, err := p.Request(buffer, &r)
	if err != nil {
		fmt.Println(err)
		return
	}
	user, _ := r.Fields.Get("x-user")
	fmt.Println(r.Method, r.Authority, r.Path, user)
	fmt.Println("the body:", int64(head.Body), "bytes")

	body := head.Decoder()
	data, taken, end, err := body.Next(buffer[n:])
	fmt.Printf("%q %v %v\n", data, end, err)

	n, _, err = p.Request(buffer[n+taken:], &r) // the next one is not all there
	fmt.Println(n, err)
	// Output:
	// PUT shop.test /cart/tea 41
	// the body: 2 bytes
	// "11" true <nil>
	// 0 <nil>
}

// What two programs may read in two ways is refused.
func ExampleError() {
	for _, text := range []string{
		"GET / HTTP/1.1\nHost: shop.test\n\n",
		"GET / HTTP/1.1\r\nHost: shop.test\r\nHost: other.test\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: gzip\r\n\r\n",
	} {
		var p http1.Parser
		_, _, err := p.Request([]byte(text), new(message.Request))
		var refused *http1.Error
		if errors.As(err, &refused) {
			fmt.Println(refused.Status, refused.Reason)
		}
	}
	// Output:
	// 400 a line ends with LF alone
	// 400 a Host that is no host, or more than one
	// 400 Content-Length beside Transfer-Encoding
	// 501 a transfer coding that is not chunked
}
