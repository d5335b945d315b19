// Draw writes random tables of Cilium's as JSON lines, for the tests of
// maglev, which cannot import Cilium.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"log"
	"os"

	"github.com/maglev-lb/maglev/bench/cilium"
)

// A line is a case and its table, which holds indexes into the backends.
type line struct {
	Seed      string    `json:"seed"` // bpf-lb-maglev-hash-seed
	TableSize int       `json:"size"`
	Backends  []backend `json:"backends"`
	Slots     []uint32  `json:"slots,omitempty"`
	SHA256    string    `json:"sha256,omitempty"`
}

type backend struct {
	Name   string `json:"name"`
	Weight uint16 `json:"weight"`
}

func main() {
	log.SetFlags(0)
	n := flag.Uint64("n", 240, "number of cases")
	seed := flag.Uint64("seed", 1, "seed of the cases")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	if err := draw(out, *n, *seed); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func draw(out io.Writer, n, seed uint64) error {
	builder, err := cilium.NewBuilder()
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	for i := range n {
		c := cilium.Draw(seed, i)
		table, err := builder.Table(c)
		if err != nil {
			return err
		}
		l := line{Seed: c.HashSeed, TableSize: c.TableSize}
		for j := range c.Backends {
			b := &c.Backends[j]
			l.Backends = append(l.Backends, backend{b.Name(), b.Weight})
		}
		var bytes []byte
		for _, id := range table {
			l.Slots = append(l.Slots, uint32(id))
			bytes = binary.LittleEndian.AppendUint32(bytes, uint32(id))
		}
		if c.TableSize > cilium.TableSizes[0] {
			sum := sha256.Sum256(bytes)
			l.Slots, l.SHA256 = nil, hex.EncodeToString(sum[:])
		}
		if err := encoder.Encode(l); err != nil {
			return err
		}
	}
	return builder.Stop(context.Background())
}
