package envoy

import (
	"fmt"
	"strconv"
	"strings"
)

// A parser reads the tables out of Envoy's log, of which these lines matter:
//
//	initializing Primary cluster cluster-7 completed
//	maglev: i=0 address=10.0.0.1:80 host=KEY
//	maglev: i=1 address=10.0.0.2:80 host=KEY
//	...
//	starting main dispatch loop
//
// The first says whose table the rest is. Slots are told by address; the key
// has to be the name, or Envoy hashes something else than we think.
type parser struct {
	clusters []Cluster
	byName   map[string]int
	indexes  []map[string]int // by cluster: the index of each address
	tables   [][]int
	empty    map[int]bool // clusters of which Envoy says that they have no table

	cluster int // the one whose table is being printed; -1 at first
	done    bool
	recent  []string // the last lines that are no slots
}

func newParser(clusters []Cluster) (*parser, error) {
	p := &parser{
		clusters: clusters,
		byName:   make(map[string]int, len(clusters)),
		indexes:  make([]map[string]int, len(clusters)),
		tables:   make([][]int, len(clusters)),
		empty:    make(map[int]bool),
		cluster:  -1,
	}
	for i := range clusters {
		p.byName[clusterName(i)] = i
		p.indexes[i] = make(map[string]int, len(clusters[i].Backends))
		for j := range clusters[i].Backends {
			text := addressText(clusters[i].Backends[j].address(j))
			if before, ok := p.indexes[i][text]; ok {
				return nil, fmt.Errorf("envoy: clusters[%d]: backends %d and %d both have the address %s", i, before, j, text)
			}
			p.indexes[i][text] = j
		}
	}
	return p, nil
}

func (p *parser) line(line string) error {
	if text, ok := strings.CutPrefix(line, "maglev: i="); ok {
		return p.slot(text)
	}
	p.recent = append(p.recent, line)
	if len(p.recent) > 20 {
		p.recent = p.recent[1:]
	}
	if name, ok := cutBoth(line, "initializing Primary cluster ", " completed"); ok {
		i, ok := p.byName[name]
		if !ok {
			return fmt.Errorf("cluster %q is not in the configuration", name)
		}
		p.cluster = i
	}
	if address, ok := strings.CutPrefix(line, "maglev: single host "); ok {
		return p.single(address)
	}
	switch line {
	case "maglev: normalized hosts weights is empty, skipping building table":
		p.empty[p.cluster] = true
	case "starting main dispatch loop":
		p.done = true
	}
	return nil
}

// slot reads what follows "maglev: i=".
func (p *parser) slot(text string) error {
	number, rest, _ := strings.Cut(text, " address=")
	address, key, ok := strings.Cut(rest, " host=")
	slot, err := strconv.Atoi(number)
	if !ok || err != nil {
		return fmt.Errorf("slot %q is not of the form known", text)
	}
	i, err := p.index(address)
	if err != nil {
		return err
	}
	if name := p.clusters[p.cluster].Backends[i].Name; key != name {
		return fmt.Errorf("%s: the hash key of %s is %q, want %q", clusterName(p.cluster), address, key, name)
	}
	if want := len(p.tables[p.cluster]); slot != want {
		return fmt.Errorf("%s: slot %d where %d was expected", clusterName(p.cluster), slot, want)
	}
	p.tables[p.cluster] = append(p.tables[p.cluster], i)
	return nil
}

// single reads the table of a host without others: Envoy does not print it.
func (p *parser) single(address string) error {
	i, err := p.index(address)
	if err != nil {
		return err
	}
	for range p.clusters[p.cluster].TableSize {
		p.tables[p.cluster] = append(p.tables[p.cluster], i)
	}
	return nil
}

func (p *parser) index(address string) (int, error) {
	if p.cluster < 0 {
		return 0, fmt.Errorf("address %s before any cluster", address)
	}
	i, ok := p.indexes[p.cluster][address]
	if !ok {
		return 0, fmt.Errorf("%s has no address %s", clusterName(p.cluster), address)
	}
	return i, nil
}

// incomplete says which table is not of its size.
func (p *parser) incomplete() error {
	for i := range p.clusters {
		want := p.clusters[i].TableSize
		if p.empty[i] {
			want = 0
		}
		if got := len(p.tables[i]); got != want {
			return fmt.Errorf("%s: %d slots, want %d", clusterName(i), got, want)
		}
	}
	return nil
}

func (p *parser) tail() string {
	text := make([]string, len(p.recent))
	for i, line := range p.recent {
		text[i] = "\t" + line[:min(len(line), 300)]
	}
	return strings.Join(text, "\n")
}

func cutBoth(s, prefix, suffix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, suffix)
}
