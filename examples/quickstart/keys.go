package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// What the quickstart takes: every key travels in the path of two requests,
// and it should end within seconds.
const (
	maxKeyLength = 4096
	maxKeys      = 100_000
)

// readKeys reads one key a line. Blank lines are skipped, and a key that comes
// twice counts once.
func readKeys(r io.Reader) ([]string, error) {
	var keys []string
	seen := make(map[string]bool)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxKeyLength+len("\r\n"))
	line := 0
	for lines.Scan() {
		line++
		key := lines.Text()
		if key == "" || seen[key] {
			continue
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("more than %d keys; each is sent over HTTP twice, so give fewer", maxKeys)
		}
		seen[key] = true
		keys = append(keys, key)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than %d bytes; one key a line is expected", line+1, maxKeyLength)
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errors.New("no keys; one a line is expected")
	}
	return keys, nil
}
