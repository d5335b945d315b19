package grpcbalancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/serviceconfig"

	"github.com/maglev-lb/maglev"
)

// A Config is the policy's configuration, in JSON an entry of loadBalancingConfig
// such as {"maglev":{"tableSize":65537,"requestHashHeader":"x-user"}}. Every field is
// optional; fields that are not known are ignored, as gRPC does.
type Config struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	// TableSize is the number of slots: a prime from 2 to [maglev.MaxTableSize],
	// the same on every client. Default (absent): 65537.
	TableSize int `json:"tableSize,omitempty"`

	// RequestHashHeader is the header of a call that is hashed, in lower case. It
	// may not be a binary one (-bin) nor a pseudo-header. Default (""): none.
	RequestHashHeader string `json:"requestHashHeader,omitempty"`

	// HeaderRule says how several values of that header become one hash. They
	// agree on a header that comes once. Default (""): [JoinValues].
	HeaderRule HeaderRule `json:"headerRule,omitempty"`

	// HashBalanceFactor bounds the calls in flight at an endpoint, in percent of
	// its fair share, from 100 up, by Envoy's formula, but 8 are never too many.
	// Default (0): no bound.
	HashBalanceFactor int `json:"hashBalanceFactor,omitempty"`
}

// HeaderRule says how several values of a header become one hash.
type HeaderRule string

const (
	// JoinValues hashes the values joined by commas, as gRPC's ring_hash does.
	JoinValues HeaderRule = "grpc"
	// ChainValues hashes the sorted values one after another, as an Envoy's
	// hash_policy does; see hashpolicy.Header.
	ChainValues HeaderRule = "envoy"
)

// defaultTableSize is Envoy's.
const defaultTableSize = 65537

// parseConfig reads a Config. Its errors name the field, the value, and what is
// allowed.
func parseConfig(raw json.RawMessage) (*Config, error) {
	var fields struct {
		TableSize         json.RawMessage `json:"tableSize"`
		RequestHashHeader *string         `json:"requestHashHeader"`
		HeaderRule        *string         `json:"headerRule"`
		HashBalanceFactor json.RawMessage `json:"hashBalanceFactor"`
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("grpcbalancer: config: %w", err)
	}
	c := &Config{TableSize: defaultTableSize}
	if isSet(fields.TableSize) {
		size, err := wholeNumber("tableSize", fields.TableSize, fmt.Sprintf("a prime from 2 to %d, such as 65537", maglev.MaxTableSize))
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return nil, fmt.Errorf("grpcbalancer: tableSize 0: it must be a prime from 2 to %d; leave it out for %d", maglev.MaxTableSize, defaultTableSize)
		}
		if _, err := maglev.New(nil, maglev.Options{TableSize: size}); err != nil {
			return nil, fmt.Errorf("grpcbalancer: tableSize %d: %w", size, err)
		}
		c.TableSize = size
	}
	if fields.RequestHashHeader != nil {
		header, err := checkHeader(*fields.RequestHashHeader)
		if err != nil {
			return nil, err
		}
		c.RequestHashHeader = header
	}
	if fields.HeaderRule != nil {
		switch rule := HeaderRule(*fields.HeaderRule); rule {
		case "", JoinValues:
		case ChainValues:
			c.HeaderRule = rule
		default:
			return nil, fmt.Errorf("grpcbalancer: headerRule %q: it must be %q or %q", rule, JoinValues, ChainValues)
		}
	}
	if isSet(fields.HashBalanceFactor) {
		const allowed = "100 or more, in percent, or 0 for no bound"
		factor, err := wholeNumber("hashBalanceFactor", fields.HashBalanceFactor, allowed)
		if err != nil {
			return nil, err
		}
		if factor != 0 && factor < 100 {
			return nil, fmt.Errorf("grpcbalancer: hashBalanceFactor %d: it must be %s", factor, allowed)
		}
		c.HashBalanceFactor = factor
	}
	return c, nil
}

// isSet returns whether a field is there. In JSON's mapping of protocol buffers null
// means that it is not.
func isSet(field json.RawMessage) bool {
	return len(field) > 0 && !bytes.Equal(field, []byte("null"))
}

// wholeNumber reads a number without a fraction that fits into 31 bits.
func wholeNumber(field string, raw json.RawMessage, allowed string) (int, error) {
	n, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("grpcbalancer: %s %s: it must be a whole number, %s", field, raw, allowed)
	}
	return int(n), nil
}

// checkHeader returns the name of a header in lower case. An empty one is none.
func checkHeader(name string) (string, error) {
	wrong := func(allowed string) error {
		return fmt.Errorf("grpcbalancer: requestHashHeader %q: %s", name, allowed)
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		switch {
		case letter || strings.IndexByte("-_.", c) >= 0:
		case c == ':' && i == 0:
			return "", wrong("it must be the name of a header of the call's metadata; pseudo-headers, which begin with a colon, are not in it")
		default:
			return "", wrong(`it must be the name of a header, such as "x-user": of letters, digits and "-_." only`)
		}
	}
	lower := strings.ToLower(name)
	if strings.HasSuffix(lower, "-bin") {
		return "", wrong(`it must not end in "-bin": binary headers are not hashed`)
	}
	return lower, nil
}
