package hashpolicy_test

import (
	"fmt"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
)

// A call is a gRPC call: a pointer, so that no interface has to copy it. The
// metadata is of the type of google.golang.org/grpc/metadata.MD.
type call struct {
	method    string // /package.Service/Method
	authority string
	metadata  map[string][]string
}

func (c *call) Header(name hashpolicy.Name, i int) (value string, count int) {
	switch name.Lower() {
	case ":authority":
		return c.authority, 1
	case ":method":
		return "POST", 1
	}
	values := c.metadata[name.Lower()] // as MD has them
	if i < len(values) {
		value = values[i]
	}
	return value, len(values)
}

func (c *call) Target() (path, query string, hasQuery bool) { return c.method, "", false }

// A client's call has come by no connection.
func (c *call) Remote() string { return "" }
func (c *call) Local() string  { return "" }

// What else has headers can be a Request.
func ExampleRequest() {
	list := hashpolicy.List{hashpolicy.Header("X-User"), hashpolicy.Path()}
	hash, ok := list.Hash(&call{
		method:   "/shop.Cart/Add",
		metadata: map[string][]string{"x-user": {"user-42"}},
	})
	user, path := maglev.XXHash("user-42", 0), maglev.XXHash("/shop.Cart/Add", 0)
	fmt.Println(ok, hash == (user<<1|user>>63)^path)
	// Output: true true
}
