package grpcbalancer

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/maglev-lb/maglev"
)

// options returns those of the config's tables. The config has been checked.
func (c *Config) options() maglev.Options {
	opts := maglev.Options{TableSize: c.TableSize}
	if c.Dialect == Cilium {
		seed, _ := ciliumSeed(c.HashSeed) // it has been checked
		opts.Dialect = maglev.Cilium(seed)
	}
	return opts
}

// name returns the dialect's name of a backend at an address.
func (d Dialect) name(address string) string {
	if d == Cilium {
		if addr, err := netip.ParseAddrPort(address); err == nil {
			return maglev.CiliumName(addr, "TCP")
		}
	}
	return address
}

// ciliumSeed returns the seed that the base64 text of Cilium's option stands for.
func ciliumSeed(text string) (uint32, error) {
	if text == "" {
		return maglev.CiliumDefaultSeed, nil
	}
	const length = 12 // that Cilium demands
	seed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(seed) != length {
		return 0, fmt.Errorf("grpcbalancer: hashSeed %q: it must be %d bytes in base64, as in Cilium's bpf-lb-maglev-hash-seed", text, length)
	}
	return binary.BigEndian.Uint32(seed), nil
}
