package hashpolicy_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
)

// request is what the examples hash.
func request() *http.Request {
	req, err := http.NewRequest("GET", "http://shop.test/users/42/photos?size=2&sort=new", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.RemoteAddr = "192.0.2.7:53124"
	req.Header.Set("X-User", "user-42")
	req.Header.Set("X-Email", "alice@example.test")
	req.Header.Set("Cookie", "theme=dark; session=a81f")
	return req
}

// show prints whether a list hashes the request as it hashes a text alone.
func show(list hashpolicy.List, as string) {
	hash, ok := list.Hash(hashpolicy.HTTP(request()))
	fmt.Println(ok, hash == maglev.XXHash(as, 0))
}

// From a request to a backend.
func Example() {
	list := hashpolicy.List{
		hashpolicy.Header("X-User").Terminal(), // if there is one, that is all
		hashpolicy.Cookie("session"),
		hashpolicy.SourceIP(),
	}
	if err := list.Validate(); err != nil {
		log.Fatal(err)
	}
	table, err := maglev.New([]maglev.Backend{
		{Name: "10.0.0.1:8080"}, {Name: "10.0.0.2:8080"}, {Name: "10.0.0.3:8080"},
	}, maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	hash, ok := list.Hash(hashpolicy.HTTP(request()))
	if !ok {
		log.Fatal("nothing to hash: any backend will do")
	}
	fmt.Println(table.Backend(table.Lookup(hash)).Name)
	// Output: 10.0.0.3:8080
}

func ExampleHeader() {
	show(hashpolicy.List{hashpolicy.Header("X-User")}, "user-42")
	show(hashpolicy.List{hashpolicy.Header(":path")}, "/users/42/photos?size=2&sort=new")
	show(hashpolicy.List{hashpolicy.Header("Host")}, "shop.test")
	// Output:
	// true true
	// true true
	// true true
}

// All users of a domain go together.
func ExampleHeaderRewrite() {
	show(hashpolicy.List{hashpolicy.HeaderRewrite("X-Email", `^.*@(.*)$`, `\1`)}, "example.test")
	// Output: true true
}

func ExampleCookie() {
	show(hashpolicy.List{hashpolicy.Cookie("session")}, "a81f")
	// Output: true true
}

// A client without the cookie gets one, and comes back to the same backend with
// it.
func ExampleGeneratedCookie() {
	list := hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{
		Name:       "lb",
		TTL:        time.Hour,
		Path:       "/",
		Attributes: []hashpolicy.Attribute{{Name: "SameSite", Value: "Lax"}},
	})}
	req := request()
	hash, _, cookies := list.HashAndCookies(hashpolicy.HTTP(req))
	for _, cookie := range cookies {
		fmt.Println("Set-Cookie:", cookie)
	}

	req.Header.Set("Cookie", `lb="3dc9acdea0b72904"`)
	again, _, cookies := list.HashAndCookies(hashpolicy.HTTP(req))
	fmt.Println(again == hash, cookies)
	// Output:
	// Set-Cookie: lb="3dc9acdea0b72904"; Max-Age=3600; Path=/; SameSite=Lax; HttpOnly
	// true []
}

func ExampleSourceIP() {
	show(hashpolicy.List{hashpolicy.SourceIP()}, "192.0.2.7")
	// Output: true true
}

func ExampleQueryParameter() {
	show(hashpolicy.List{hashpolicy.QueryParameter("sort")}, "new")
	// Output: true true
}

func ExamplePath() {
	show(hashpolicy.List{hashpolicy.Path()}, "/users/42/photos")
	// Output: true true
}

// All that is below /users/42 goes together.
func ExamplePathPrefix() {
	show(hashpolicy.List{hashpolicy.PathPrefix(2)}, "/users/42")
	// Output: true true
}

// Where clients choose the key, a secret hash keeps them from choosing the backend.
func ExampleFunc() {
	hash := maglev.SipHash([16]byte([]byte("sixteen secrets!")))
	user, err := hashpolicy.NewName("X-User")
	if err != nil {
		log.Fatal(err)
	}
	list := hashpolicy.List{hashpolicy.Func(func(r hashpolicy.Request) (uint64, bool) {
		value, count := r.Header(user, 0)
		return hash(value, 0), count == 1
	})}
	got, ok := list.Hash(hashpolicy.HTTP(request()))
	fmt.Println(ok, got == hash("user-42", 0))
	// Output: true true
}

func ExamplePolicy_Terminal() {
	list := hashpolicy.List{
		hashpolicy.Header("X-Tenant").Terminal(), // not there, so the list goes on
		hashpolicy.Header("X-User").Terminal(),
		hashpolicy.SourceIP(), // not asked
	}
	show(list, "user-42")
	// Output: true true
}

func ExampleList_Validate() {
	err := hashpolicy.List{
		hashpolicy.Header("X-User"),
		hashpolicy.HeaderRewrite("X-Email", "(", ""),
		hashpolicy.PathPrefix(0),
	}.Validate()
	fmt.Println(errors.Is(err, hashpolicy.ErrPolicy))
	fmt.Println(err)
	// Output:
	// true
	// hashpolicy: List[1]: HeaderRewrite: pattern "(": policy not usable: it must be a regular expression (error parsing regexp: missing closing ): `(`)
	// hashpolicy: List[2]: PathPrefix: segments 0: policy not usable: it must be 1 or more
}
