// Command draw records the tables that Envoy builds for random clusters, one
// JSON object a line:
//
//	go run ./internal/envoy/draw -envoy "$(.ci/install-envoy)" > testdata/envoy.jsonl
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"

	"github.com/maglev-lb/maglev/internal/envoy"
)

// sizes are those that take seconds to print, so of which only one is drawn. The
// first is the largest that Envoy has.
var sizes = []int{5000011, 655373}

func main() {
	binary := flag.String("envoy", "envoy", "the Envoy to ask")
	n := flag.Int("n", 240, "how many clusters to draw")
	seed := flag.Uint64("seed", 1, "of the random clusters")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := draw(ctx, os.Stdout, *binary, *n, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

func draw(ctx context.Context, w io.Writer, binary string, n int, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 0))
	clusters := make([]envoy.Cluster, n)
	for i := range clusters {
		clusters[i] = envoy.Random(r)
	}
	for i := range min(len(sizes), n) {
		clusters[i].TableSize = sizes[i]
	}
	tables, err := envoy.Tables(ctx, binary, clusters)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for i, c := range clusters {
		if err := lines.Encode(envoy.Record(c, tables[i])); err != nil {
			return err
		}
	}
	return nil
}
