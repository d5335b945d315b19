package envoy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// A Recording is a cluster and its table, as a line of testdata/envoy.jsonl.
// Large tables are recorded by their [Digest].
type Recording struct {
	Cluster
	Slots  []int  `json:"slots,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// slotsUpTo is the size up to which a table is recorded slot for slot, which
// shows where a wrong one differs.
const slotsUpTo = 257

// Record records a table from [Tables].
func Record(c Cluster, table []int) Recording {
	if len(table) == 0 || len(table) > slotsUpTo {
		return Recording{Cluster: c, SHA256: Digest(table)}
	}
	return Recording{Cluster: c, Slots: table}
}

// Digest returns the SHA-256 of the indexes as 4-byte little-endian integers,
// in hexadecimal.
func Digest(table []int) string {
	data := make([]byte, 0, 4*len(table))
	for _, i := range table {
		data = binary.LittleEndian.AppendUint32(data, uint32(i))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// String names a cluster by what is special about it.
func (c *Cluster) String() string {
	text := fmt.Sprintf("M=%d/N=%d", c.TableSize, len(c.Backends))
	for i := range c.Backends {
		if c.Backends[i].Weight != c.Backends[0].Weight {
			text += "/weights"
			break
		}
	}
	if c.LocalityWeights != nil {
		text += fmt.Sprintf("/localities=%d", len(c.LocalityWeights))
	}
	return text
}
