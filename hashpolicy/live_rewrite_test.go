package hashpolicy_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/internal/envoy"
	"github.com/stretchr/testify/require"
)

// Package regexp, on bytes, and Envoy agree about random patterns, substitutions
// and values. MAGLEV_ENVOY_SEED is the seed of a run to repeat; else it is random.
func TestLiveRandomRewrites(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("MAGLEV_ENVOY_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "MAGLEV_ENVOY_SEED")
	}
	t.Logf("to repeat this run: MAGLEV_ENVOY_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var routes []envoy.Route
	var lists []hashpolicy.List
	for len(lists) < 200 {
		pattern, substitution := randomPattern(r, 3), randomSubstitution(r)
		list := hashpolicy.List{hashpolicy.HeaderRewrite("x-user", pattern, substitution)}
		if list.Validate() != nil {
			continue // a group that is not there, or too many repetitions
		}
		lists = append(lists, list)
		routes = append(routes, envoy.Route{Name: fmt.Sprint(len(routes)), Policy: []object{rewrite("x-user", pattern, substitution)}})
	}
	l := startEnvoy(t, []string{"127.0.0.1"}, routes)
	conn := l.dial(t, "", "127.0.0.1")
	defer conn.Close()
	for i, list := range lists {
		for range 20 {
			var value strings.Builder
			for range r.IntN(12) {
				value.WriteString(choose(r, "a", "b", "A", "0", "-", " ", "_", "é", "\xff", "k"))
			}
			w := get("/", field{"x-user", strings.TrimSpace(value.String())})
			got, _ := conn.send(t, w, routes[i].Name)
			hash, ok, _ := hashes(t, list, w)
			require.True(t, ok)
			require.Equal(t, got, l.backend(hash), "%v of %q", routes[i].Policy, w)
		}
	}
}

func choose(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func randomPattern(r *rand.Rand, depth int) string {
	if depth == 0 {
		return choose(r, "a", "b", "é", ".", "[ab]", "[^a]", `\d`, `\w`, `\W`, `\s`, "[[:alpha:]]", `\xff`, "k", "-", "^", "$", `\b`, `\B`, `\pL`, `(?i:É)`, `\D`)
	}
	sub := func() string { return randomPattern(r, depth-1) }
	switch r.IntN(6) {
	case 0:
		return sub() + sub()
	case 1:
		return "(?:" + sub() + "|" + sub() + ")"
	case 2:
		return "(" + sub() + ")"
	case 3:
		return "(?:" + sub() + ")" + choose(r, "*", "+", "?", "{2}", "{1,3}") + choose(r, "", "?")
	case 4:
		return choose(r, "(?i)", "(?s)", "(?U)", "(?m)") + sub()
	}
	return sub()
}

func randomSubstitution(r *rand.Rand) string {
	var s strings.Builder
	for range r.IntN(4) {
		s.WriteString(choose(r, `\0`, `\1`, `\2`, `\\`, "$1", "x", "é"))
	}
	return s.String()
}
