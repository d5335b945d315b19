package maglev

import (
	"strconv"
	"testing"
)

func zz(n int) []Backend {
	r := make([]Backend, n)
	for i := range r {
		r[i].Name = "10.0." + strconv.Itoa(i*7919%251) + "." + strconv.Itoa(i) + ":8080"
	}
	return r
}
func BenchmarkZ(b *testing.B) {
	for _, m := range []int{65537, 655373} {
		for _, n := range []int{10, 100, 1000} {
			bs := zz(n)
			b.Run(strconv.Itoa(m)+"/"+strconv.Itoa(n), func(b *testing.B) {
				for b.Loop() {
					New(bs, Options{TableSize: m})
				}
			})
		}
	}
}
