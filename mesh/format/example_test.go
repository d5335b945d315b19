package format_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A line of an access log.
func Example() {
	f, err := format.Parse("%REQ(:METHOD)% %REQ(:PATH)% %REQ(X-USER)% -> %RESPONSE_CODE% %RESPONSE_FLAGS% by %UPSTREAM_HOST%")
	if err != nil {
		log.Fatal(err)
	}
	ex := message.Exchange{
		Request: message.Request{
			Method: "GET", Path: "/cart/",
			Fields: message.Fields{{Name: "x-user", Value: "41"}},
		},
		Response: message.Response{Status: 503},
		Flags:    message.NoHealthyUpstream,
	}
	const absent = "-" // for what has no value
	fmt.Printf("%s\n", f.Append(nil, &ex, absent))
	// Output:
	// GET /cart/ 41 -> 503 UH by -
}

// A format that is wrong is refused, and so is one that is not supported.
func ExampleParse_errors() {
	for _, text := range []string{"%REQ(:METHOD)", "%DURATIONS%", "%DYNAMIC_METADATA(a:b)%"} {
		_, err := format.Parse(text)
		fmt.Println(errors.Is(err, format.ErrSyntax), errors.Is(err, format.ErrUnsupported), err)
	}
	// Output:
	// true false format: byte 0: invalid format: %REQ( has to be followed by ")%" or, with a length, by "):123%", on the same line
	// true false format: byte 0, %DURATIONS%: invalid format: there is no operator DURATIONS
	// false true format: byte 0, %DYNAMIC_METADATA(a:b)%: unsupported: no filter sets metadata
}

// An object whose strings are formats.
func ExampleParseJSON() {
	j, err := format.ParseJSON(map[string]any{
		"status": "%RESPONSE_CODE%",
		"path":   "%REQ(:PATH)%",
		"by":     map[string]any{"host": "%UPSTREAM_HOST%"},
	}, false)
	if err != nil {
		log.Fatal(err)
	}
	ex := message.Exchange{Request: message.Request{Path: "/cart/"}, Response: message.Response{Status: 200}}
	fmt.Printf("%s", j.Append(nil, &ex))
	// Output:
	// {"by":{"host":null},"path":"/cart/","status":200}
}
