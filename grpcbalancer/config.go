package grpcbalancer

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/grpc/serviceconfig"

	"github.com/maglev-lb/maglev"
)

// A Config is the policy's configuration, in JSON an entry of loadBalancingConfig
// such as {"maglev":{"tableSize":65537,"requestHashHeader":"x-user"}}. Every field is
// optional; fields that are not known are ignored, as gRPC does.
//
// A Config is what ParseConfig of the policy returns: a caller writes the JSON, and
// has no use for a value of its own.
type Config struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	// Dialect says whose tables the policy builds. Default (""): [Envoy].
	Dialect Dialect `json:"dialect,omitempty"`

	// HashSeed is Cilium's option bpf-lb-maglev-hash-seed, in base64, for the
	// dialect [Cilium] alone. Default (""): Cilium's.
	HashSeed string `json:"hashSeed,omitempty"`

	// TableSize is the number of slots, the same on every client: a prime from 2
	// to [maglev.MaxTableSize], or one of Cilium's. Default (absent): 65537, or
	// 16381 for Cilium.
	TableSize int `json:"tableSize,omitempty"`

	// RequestHashHeader is the header of a call that is hashed, in lower case. It
	// may not be a binary one (-bin) nor a pseudo-header. Default (""): none.
	RequestHashHeader string `json:"requestHashHeader,omitempty"`

	// HeaderRule says how several values of that header become one hash. They
	// agree on a header that comes once. Default (""): [JoinValues].
	HeaderRule HeaderRule `json:"headerRule,omitempty"`

	// HashBalanceFactor bounds the calls in flight at an endpoint, in percent of
	// its fair share, from 100 up, by Envoy's formula, but 8 are never too many. It
	// may have one more than that, as what is there is compared before a call is
	// counted. Calls above it go to the next candidate that is connected and has
	// room; if only others have, they wait for the first of those to be connected,
	// or for another call to end. If nobody has room, the least loaded has them.
	// Calls without a key are bounded too. Default (0): no bound.
	HashBalanceFactor int `json:"hashBalanceFactor,omitempty"`

	// UseHostnameForHashing has an endpoint without a hash key known by its
	// hostname (package experimental/balancer/hostname), where it has one,
	// instead of by its first address, as Envoy's
	// use_hostname_for_hashing. Default: false.
	UseHostnameForHashing bool `json:"useHostnameForHashing,omitempty"`
}

// Dialect says whose tables the policy builds, slot for slot.
type Dialect string

const (
	// Envoy is [maglev.Envoy].
	Envoy Dialect = "envoy"
	// Cilium is [maglev.Cilium]. An endpoint without a hash key is known by
	// Cilium's name for its first address over TCP.
	Cilium Dialect = "cilium"
)

// HeaderRule says how several values of a header become one hash.
type HeaderRule string

const (
	// JoinValues hashes the values joined by commas, as gRPC's ring_hash does.
	JoinValues HeaderRule = "grpc"
	// ChainValues hashes the sorted values one after another, as an Envoy's
	// hash_policy does; see hashpolicy.Header.
	ChainValues HeaderRule = "envoy"
)

// parseConfig reads a Config. Its errors name the field, the value, and what is
// allowed.
func parseConfig(raw json.RawMessage) (*Config, error) {
	fields, err := object("", raw)
	if err != nil {
		return nil, err
	}
	if err := fields.foldNames(); err != nil {
		return nil, err
	}
	return fields.config()
}

// config makes a Config of the fields by our names, and checks it.
func (f fields) config() (*Config, error) {
	c := new(Config)
	dialect, err := f.text("dialect", string(Envoy), string(Cilium))
	if err != nil {
		return nil, err
	}
	if Dialect(dialect) != Envoy { // the default is left out
		c.Dialect = Dialect(dialect)
	}
	if c.HashSeed, err = f.text("hashSeed"); err != nil {
		return nil, err
	}
	if c.HashSeed != "" && c.Dialect != Cilium {
		return nil, fmt.Errorf("grpcbalancer: hashSeed %q: only the dialect %q has one; leave it out", c.HashSeed, Cilium)
	}
	if _, err := ciliumSeed(c.HashSeed); err != nil {
		return nil, err
	}
	if err := f.tableSize(c); err != nil {
		return nil, err
	}
	header, err := f.text("requestHashHeader")
	if err != nil {
		return nil, err
	}
	if c.RequestHashHeader, err = checkHeader(header); err != nil {
		return nil, err
	}
	rule, err := f.text("headerRule", string(JoinValues), string(ChainValues))
	if err != nil {
		return nil, err
	}
	if HeaderRule(rule) != JoinValues {
		c.HeaderRule = HeaderRule(rule)
	}
	if err := f.hashBalanceFactor(c); err != nil {
		return nil, err
	}
	c.UseHostnameForHashing, err = f.boolean("useHostnameForHashing")
	if err != nil {
		return nil, err
	}
	return c, nil
}

// tableSize reads the table's size. What is not there is the dialect's default.
func (f fields) tableSize(c *Config) error {
	field := f["tableSize"]
	size, err := field.whole("a prime, such as 65537")
	if err != nil {
		return err
	}
	if field.isSet() && size == 0 {
		return fmt.Errorf("grpcbalancer: %s 0: it must be a prime from 2 to %d; leave it out for the default", field.name, maglev.MaxTableSize)
	}
	c.TableSize = size
	empty, err := maglev.New(nil, c.options())
	if err != nil {
		return fmt.Errorf("grpcbalancer: %s %d: %w", field.name, size, err)
	}
	c.TableSize = empty.Size()
	return nil
}

func (f fields) hashBalanceFactor(c *Config) error {
	const allowed = "100 or more, in percent, or 0 for no bound"
	field := f["hashBalanceFactor"]
	factor, err := field.whole(allowed)
	if err != nil {
		return err
	}
	if factor != 0 && factor < 100 {
		return fmt.Errorf("grpcbalancer: %s %d: it must be %s", field.name, factor, allowed)
	}
	c.HashBalanceFactor = factor
	return nil
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
