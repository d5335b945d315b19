// Package hashpolicy says what of a request is hashed, by the rules of Envoy's
// hash_policy: a request hashed here and one hashed by an Envoy with the same
// policies go to the same backend of the same Maglev table.
//
//	list := hashpolicy.List{
//		hashpolicy.Header("X-User").Terminal(), // if there is one, that is all
//		hashpolicy.Cookie("session"),
//		hashpolicy.SourceIP(),
//	}
//	hash, ok := list.Hash(hashpolicy.HTTP(req))
//
// # The rules
//
// Each policy of a list gives a hash, which is XXH64 of a text with seed 0, or none
// if the request does not have what it asks for. None is not 0: a request without
// any hash has no backend of its own, and Envoy sends it to a random one. The
// hashes there are become one in the order of the list,
//
//	hash = rotate_left(hash, 1) XOR next      at first 0
//
// so that two equal ones do not cancel each other out. A terminal policy ends
// the list if there is a hash by then, be it an earlier one. With the list above:
//
//	X-User: foo, any cookie     XXH64("foo") = 3728699739546630719, and no more
//	Cookie: session=foo         rotate_left(3728699739546630719, 1)
//	from 192.0.2.7:53124          XOR XXH64("192.0.2.7") = 13767847110184166193
//	neither, from 192.0.2.7     XXH64("192.0.2.7") = 15595747053989467983
//
// What is hashed is the request as it goes to the backend: Envoy hashes after its
// rewrites and changes of headers.
//
// # The types
//
// A [List] of [Policy] values is a configuration; [List.Validate] checks it and
// [List.Hash] applies it. A [Request] is how policies see a request: [HTTP] makes
// one of an http.Request, and whatever else has headers can be one, without
// copies. Nothing allocates unless a comment says so.
package hashpolicy

import (
	"errors"
	"fmt"
	"math/bits"
)

// ErrPolicy is in the chain of every error of this package: a policy, or a name
// given to [NewName], is not usable.
var ErrPolicy = errors.New("policy not usable")

// A List is what of a request is hashed, and in which order: the hash_policy of an
// Envoy route. The empty List gives no request a hash. It is safe for use by any
// number of goroutines as long as nobody changes it.
type List []Policy

// Hash returns the hash of a request, and false if no policy gives it one; then
// the hash is 0.
//
// A [GeneratedCookie] is hashed as if it were set. Where it can be, use
// [List.HashAndCookies]. Policies that [List.Validate] refuses give no hash.
func (l List) Hash(r Request) (hash uint64, ok bool) {
	hash, ok, _ = l.apply(r, false)
	return hash, ok
}

// HashAndCookies is [List.Hash] for callers who can add to the response: cookies
// are the values of Set-Cookie headers, nil unless the request lacks a cookie of
// [GeneratedCookie].
func (l List) HashAndCookies(r Request) (hash uint64, ok bool, cookies []string) {
	return l.apply(r, true)
}

func (l List) apply(r Request, set bool) (hash uint64, ok bool, cookies []string) {
	for i := range l {
		p := &l[i]
		if p.kind == nil {
			continue
		}
		if next, cookie, has := p.kind.hash(r, set); has {
			hash, ok = bits.RotateLeft64(hash, 1)^next, true
			if cookie != "" && set {
				cookies = append(cookies, cookie)
			}
		}
		if p.terminal && ok {
			break
		}
	}
	return hash, ok, cookies
}

// Validate returns an error if a policy is not usable: the zero Policy, or one
// made of a name, pattern or number that cannot be. It names each of them with
// its index, field and value, and wraps [ErrPolicy]. Call it when a configuration
// is read.
func (l List) Validate() error {
	var all []error
	for i := range l {
		if err := l[i].check(); err != nil {
			all = append(all, fmt.Errorf("hashpolicy: List[%d]: %w", i, err))
		}
	}
	return errors.Join(all...)
}

// A Policy makes a hash of one part of a request. Policies come from the functions
// of this package; the zero Policy is not usable.
//
// A Policy does not change, may be copied, and is safe for use by any number of
// goroutines.
type Policy struct {
	kind     kind
	terminal bool
}

// A kind is one of the ways to make a hash.
type kind interface {
	// hash returns false if the request does not have what is hashed. set says
	// that a cookie, in the form of Set-Cookie, would be heeded.
	hash(r Request, set bool) (hash uint64, cookie string, ok bool)

	// check returns an error made by wrong if the policy is not usable.
	check() error
}

// Terminal returns the policy as a terminal one, Envoy's field of that name: a
// [List] ends with it if there is a hash by then, its own or an earlier one.
func (p Policy) Terminal() Policy {
	p.terminal = true
	return p
}

func (p *Policy) check() error {
	if p.kind == nil {
		return fmt.Errorf("the zero Policy: %w: use what a function of this package returns", ErrPolicy)
	}
	return p.kind.check()
}

// wrong returns an error that names a function's or a struct's field, its value,
// and what is allowed.
func wrong(field string, value any, allowed string) error {
	if s, ok := value.(string); ok {
		value = fmt.Sprintf("%q", s)
	}
	return fmt.Errorf("%s %v: %w: it must be %s", field, value, ErrPolicy, allowed)
}
