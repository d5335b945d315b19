package format

import (
	"encoding/hex"
	"math/rand/v2"
	"os"

	"github.com/maglev-lb/maglev/mesh/message"
)

func hostnameValue(string) (value, error) {
	name, err := os.Hostname()
	if err != nil {
		return never(), nil
	}
	return always(name), nil
}

// environmentValue is %ENVIRONMENT(NAME)%, as it is when the format is parsed. A variable
// that is not set is "-", which is a value also where absent ones are omitted.
func environmentValue(name string) (value, error) {
	if s, ok := os.LookupEnv(name); ok {
		return always(s), nil
	}
	return always("-"), nil
}

// appendUUID appends a UUID of version 4, another one each time.
func appendUUID(b []byte, _ *message.Exchange) ([]byte, bool) {
	var id [16]byte
	for i, random := range [2]uint64{rand.Uint64(), rand.Uint64()} {
		for j := range 8 {
			id[8*i+j] = byte(random >> (8 * j))
		}
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		start := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[start:end])
	}
	return b, true
}
