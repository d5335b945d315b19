package bench

import (
	"fmt"
	"testing"
	"time"

	kkdai "github.com/kkdai/maglev"

	"github.com/maglev-lb/maglev"
)

func BenchmarkBuild(b *testing.B) {
	for _, m := range sizes {
		for _, n := range counts {
			f := newFleet(n, false)
			opts := maglev.Options{TableSize: m}
			var builder maglev.Builder
			for _, impl := range []struct {
				name  string
				build func() error
			}{
				{"maglev", func() error { _, err := maglev.New(f.backends, opts); return err }},
				{"maglev.Builder", func() error { _, err := builder.Build(f.backends, opts); return err }},
				{"plain", func() error { plain(f.names, m); return nil }},
				{"kkdai", func() error { _, err := kkdai.NewMaglev(f.names, uint64(m)); return err }},
			} {
				if impl.name == "kkdai" && m*n > 100*65537 {
					continue // it stores the permutations: M*N words, 525 MB and more
				}
				b.Run(fmt.Sprintf("impl=%s/M=%d/N=%d", impl.name, m, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := impl.build(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkBuildRatio is the race against the plain loop: both in turn, the
// best of all runs of each, so that what else runs on the machine is left out.
// Run it with -benchtime 200x or so.
func BenchmarkBuildRatio(b *testing.B) {
	for _, m := range sizes {
		for _, n := range counts {
			for _, weighted := range []bool{false, true} {
				b.Run(fmt.Sprintf("M=%d/N=%d/weighted=%t", m, n, weighted), func(b *testing.B) {
					f := newFleet(n, weighted)
					ours, plain := stopwatch{}, stopwatch{}
					for b.Loop() {
						plain.time(func() { f.plain(m, weighted) })
						ours.time(func() {
							if _, err := maglev.New(f.backends, maglev.Options{TableSize: m}); err != nil {
								b.Fatal(err)
							}
						})
					}
					b.ReportMetric(0, "ns/op") // the sum of both says nothing
					b.ReportMetric(plain.best.Seconds()*1e3, "plain-ms")
					b.ReportMetric(ours.best.Seconds()*1e3, "maglev-ms")
					b.ReportMetric(float64(plain.best)/float64(ours.best), "x")
				})
			}
		}
	}
}

// A stopwatch keeps the best time.
type stopwatch struct{ best time.Duration }

func (s *stopwatch) time(f func()) {
	start := time.Now()
	f()
	if took := time.Since(start); s.best == 0 || took < s.best {
		s.best = took
	}
}
