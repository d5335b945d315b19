package differential

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Every log begins with the address of the client's connection, which the tests add to its
// format: by it they find out which case a line is of. In JSON it is a field.
const (
	logPrefix = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% "
	logField  = "connection"
)

var (
	linePort  = regexp.MustCompile(`^[0-9.]+:(\d+) `)
	fieldPort = regexp.MustCompile(`"` + logField + `":"[0-9.]+:(\d+)",?`)
)

// readLogs adds the lines of the access logs to the records of the cases that they are of.
// A proxy may hold lines back for a second, so that they are read once, at the end.
func (b *bench) readLogs(all []*outcome) {
	expected := 0
	recording := false
	// A port may be used again for a connection to another listener.
	type connection struct {
		log  string
		port int
	}
	of := make(map[connection]*outcome)
	for _, o := range all {
		expected += strings.Count("\n"+o.want, "\nlog>")
		recording = recording || o.want == ""
		log := b.setup.logs[b.listener(o.x)]
		for _, port := range o.clients {
			of[connection{log, port}] = o
		}
	}
	if recording {
		time.Sleep(300 * time.Millisecond)
	}
	texts := make(map[string][]byte)
	for deadline := time.Now().Add(*patience); ; time.Sleep(20 * time.Millisecond) {
		lines := 0
		for _, path := range b.setup.logs {
			texts[path], _ = os.ReadFile(path) // it may not be there before the first line
			lines += bytes.Count(texts[path], []byte("\n"))
		}
		if lines >= expected || time.Now().After(deadline) {
			break
		}
	}
	for path, text := range texts {
		for line := range bytes.Lines(text) {
			port, line := splitLine(bytes.TrimSuffix(line, []byte("\n")))
			if o := of[connection{path, port}]; o != nil {
				o.record += "log> " + escape(line) + "\n"
			}
		}
	}
}

// splitLine takes the port of the client's connection off a line.
func splitLine(line []byte) (port int, rest []byte) {
	pattern := linePort
	if bytes.HasPrefix(line, []byte("{")) {
		pattern = fieldPort
	}
	m := pattern.FindSubmatchIndex(line)
	if m == nil {
		return 0, line
	}
	port, _ = strconv.Atoi(string(line[m[2]:m[3]]))
	return port, append(line[:m[0]:m[0]], line[m[1]:]...)
}
