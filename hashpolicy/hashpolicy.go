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
// Every policy of a list gives a hash, XXH64 with seed 0 of some text, or none, if
// the request lacks what is asked for. None is not 0: a request without any hash
// has no backend of its own. The hashes are combined in the order of the list:
//
//	hash = rotate_left(hash, 1) XOR next      from 0, next by next
//
// so that the same policy twice does not cancel itself out. A terminal policy ends
// the list if by then there is a hash, its own or an earlier one. With
// X-User: foo, the list above gives XXH64("foo"), 3728699739546630719.
//
// An Envoy hashes a request as it is sent upstream, after rewrites and changes of
// headers.
package hashpolicy

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/maglev-lb/maglev"
)

// ErrPolicy: a policy is not usable. The errors of [List.Validate] wrap it; their
// text begins with "hashpolicy: " and names the policy, the value and what is
// allowed.
var ErrPolicy = errors.New("policy not usable")

// A List is a hash_policy: policies, and the order in which they are combined. The
// nil List hashes nothing. It may be used by any number of goroutines, as long as
// nobody changes it.
type List []Policy

// Hash returns the hash of a request, and false if no policy gives it one. What
// a generated cookie would be is hashed, and the cookie itself lost; use
// [List.HashAndCookies] to set it. A policy that is not valid gives no hash.
//
// It does not allocate, unless a header is rewritten or has more than eight values,
// a cookie is generated, or a function of the user's does.
func (l List) Hash(r Request) (hash uint64, ok bool) {
	hash, ok, _ = l.HashAndCookies(r)
	return hash, ok
}

// HashAndCookies is [List.Hash], and returns the values of the Set-Cookie headers
// that the response is to have: nil, unless a cookie was missing and is to be
// generated, see [GeneratedCookie].
func (l List) HashAndCookies(r Request) (hash uint64, ok bool, cookies []string) {
	for i := range l {
		p := &l[i]
		if p.hash == nil {
			continue
		}
		next, has, cookie := p.hash(r)
		if has {
			hash, ok = bits.RotateLeft64(hash, 1)^next, true
		}
		if cookie != "" {
			cookies = append(cookies, cookie)
		}
		if ok && p.terminal {
			break
		}
	}
	return hash, ok, cookies
}

// Validate returns an error, which wraps [ErrPolicy], if a policy is not usable: the
// zero Policy, and what was made of a name or pattern that cannot be. Call it when
// the configuration is read.
func (l List) Validate() error {
	for i := range l {
		if err := l[i].validate(); err != nil {
			return fmt.Errorf("hashpolicy: policy [%d], %w", i, err)
		}
	}
	return nil
}

// A Policy hashes one part of a request. The functions of this package return
// them; the zero Policy is not valid.
type Policy struct {
	name     string // of the function
	hash     func(r Request) (hash uint64, ok bool, cookie string)
	terminal bool
	err      error
}

// Terminal returns the policy as a terminal one: the policies after it are not
// asked if there is a hash by then.
func (p Policy) Terminal() Policy {
	p.terminal = true
	return p
}

func (p *Policy) validate() error {
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	if p.hash == nil {
		return fmt.Errorf("the zero Policy: %w: use one of the functions that return a Policy", ErrPolicy)
	}
	return nil
}

// wrong returns a policy that is not valid.
func wrong(name, field string, value any, allowed string) Policy {
	return Policy{name: name, err: fmt.Errorf("%s %q: %w: it must be %s", field, value, ErrPolicy, allowed)}
}

// of returns a policy that hashes the text it finds.
func of(name string, text func(r Request) (text string, ok bool)) Policy {
	return Policy{name: name, hash: func(r Request) (uint64, bool, string) {
		s, ok := text(r)
		if !ok {
			return 0, false, ""
		}
		return maglev.XXHash(s, 0), true, ""
	}}
}

// Func is a policy of the user's: any function of the request. It must be pure, as
// all who are to agree have to compute the same, and safe for concurrent use.
// Envoy has no such policy.
func Func(hash func(r Request) (hash uint64, ok bool)) Policy {
	if hash == nil {
		return wrong("Func", "function", "nil", "not nil")
	}
	return Policy{name: "Func", hash: func(r Request) (uint64, bool, string) {
		h, ok := hash(r)
		return h, ok, ""
	}}
}
