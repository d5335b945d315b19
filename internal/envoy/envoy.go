// Package envoy gets Maglev tables out of a real Envoy, for tests that compare
// with them.
//
// Envoy prints its tables when its log is at level trace. So [Tables] starts an
// Envoy that has the clusters to look at and nothing else, reads its log, and
// stops it when it is up.
package envoy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Cluster is what Envoy builds a table from.
type Cluster struct {
	TableSize int       `json:"size"`
	Backends  []Backend `json:"backends"`

	// LocalityWeights turns on Envoy's locality weighted load balancing. It
	// may have localities without backends, and weights of 0.
	LocalityWeights map[string]uint32 `json:"localities,omitempty"`
}

// A Backend is an endpoint. A name that is an address as Envoy writes it, such
// as "10.0.0.1:80", is the endpoint's address; another is its hash key. Weight 0
// is one that is not set.
type Backend struct {
	Name     string `json:"name"`
	Weight   uint32 `json:"weight,omitempty"`
	Locality string `json:"locality,omitempty"`
}

const (
	// batch is how many clusters one Envoy gets. Starting it costs as much as
	// printing some tables of default size, and with more clusters its log
	// says less about the one that is wrong.
	batch = 50

	// timeout is that of one Envoy, a hundred times what most need.
	timeout = 5 * time.Minute
)

// Tables returns the clusters' tables as Envoy builds them: what each slot
// holds, as an index into the cluster's Backends. Envoy has an empty table, nil
// here, for a cluster whose localities all have weight 0.
func Tables(ctx context.Context, binary string, clusters []Cluster) ([][]int, error) {
	tables := make([][]int, 0, len(clusters))
	for len(clusters) > 0 {
		n := min(batch, len(clusters))
		more, err := run(ctx, binary, clusters[:n])
		if err != nil {
			return nil, err
		}
		tables = append(tables, more...)
		clusters = clusters[n:]
	}
	return tables, nil
}

// run starts one Envoy.
func run(ctx context.Context, binary string, clusters []Cluster) ([][]int, error) {
	dir, err := os.MkdirTemp("", "maglev-envoy-")
	if err != nil {
		return nil, fmt.Errorf("envoy: no directory for the configuration: %w", err)
	}
	defer os.RemoveAll(dir)
	parser, err := newParser(clusters)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(bootstrap(clusters))
	if err != nil {
		return nil, fmt.Errorf("envoy: writing the configuration: %w", err)
	}
	file := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, fmt.Errorf("envoy: writing the configuration: %w", err)
	}

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-c", file,
		"--concurrency", "1", "--disable-hot-restart",
		"--component-log-level", "upstream:trace", "--log-format", "%v")
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("envoy: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("envoy: starting %s: %w", binary, err)
	}
	// The log may outlive the process if that is a script around Envoy.
	defer context.AfterFunc(ctx, func() { log.Close() })()
	lines := bufio.NewReaderSize(log, 1<<16)
	for err == nil && !parser.done {
		var line string
		line, err = lines.ReadString('\n')
		if err == nil {
			err = parser.line(strings.TrimSuffix(line, "\n"))
		}
	}
	late := ctx.Err()
	if !errors.Is(err, io.EOF) {
		cancel() // it is up, or of no more use
	}
	exit := cmd.Wait()
	switch {
	case err == nil:
		err = parser.incomplete()
	case late != nil:
		err = fmt.Errorf("it was not up in time: %w", late)
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("it ended before it was up (%v)", exit)
	}
	if err != nil {
		return nil, fmt.Errorf("envoy: %w; the end of its log:\n%s", err, parser.tail())
	}
	return parser.tables, nil
}

// Version returns the version of an Envoy, such as "1.40.0".
func Version(ctx context.Context, binary string) (string, error) {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("envoy: asking %s for its version: %w", binary, err)
	}
	// PATH  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL
	parts := strings.Split(string(out), "/")
	if len(parts) < 4 {
		return "", fmt.Errorf("envoy: %s has no version in %q", binary, out)
	}
	return parts[len(parts)-4], nil
}
