package lookup

import (
	"fmt"
	"math/rand/v2"
)

// KeyOf names the key of a popularity, 0 the most popular.
func KeyOf(rank int) string { return fmt.Sprintf("user-%06d", rank) }

// EveryKey returns each key once, the least popular first: a cache that holds
// fewer than all is left with the most popular ones.
func EveryKey(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = KeyOf(n - 1 - i)
	}
	return keys
}

// A Popularity draws keys by Zipf's law, as Mandelbrot has it, about as users and
// pages are asked for: each in proportion to 1/(10+rank)^1.01. The same seed draws the
// same keys.
type Popularity struct {
	zipf *rand.Zipf
}

// NewPopularity returns the popularity of a number of keys.
func NewPopularity(keys int, seed uint64) *Popularity {
	return &Popularity{rand.NewZipf(rand.New(rand.NewPCG(seed, 0)), 1.01, 10, uint64(keys-1))}
}

// Draw draws n keys.
func (p *Popularity) Draw(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = KeyOf(int(p.zipf.Uint64()))
	}
	return keys
}
