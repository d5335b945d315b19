package grpcbalancer

import (
	"encoding/json"
	"fmt"
)

// EnvoyName is the name under which the policy is registered a second time: that of
// Envoy's own policy. An xDS control plane that gives a cluster a TypedStruct of that
// type has one entry that gRPC takes, with Envoy's fields in it.
const EnvoyName = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev"

// An envoyField is a field of Envoy's message, by its name in the .proto file and in
// JSON, and ours for it.
type envoyField struct{ proto, json, ours string }

var (
	envoyTableSize  = envoyField{"table_size", "tableSize", "tableSize"}
	envoyConsistent = envoyField{"consistent_hashing_lb_config", "consistentHashingLbConfig", ""}

	// Those of ConsistentHashingLbConfig.
	envoyFactor   = envoyField{"hash_balance_factor", "hashBalanceFactor", "hashBalanceFactor"}
	envoyHostname = envoyField{"use_hostname_for_hashing", "useHostnameForHashing", "useHostnameForHashing"}
	envoyPolicy   = envoyField{"hash_policy", "hashPolicy", ""}
)

// parseEnvoyConfig reads Envoy's message, in JSON as protocol buffers have it, with
// fields of Config beside it if there are any: gRPC writes what it has parsed, and
// parses it again.
//
// Envoy's locality_weighted_lb_config is not looked at: gRPC takes the weights of
// localities into account in any case.
func parseEnvoyConfig(raw json.RawMessage) (*Config, error) {
	all, err := object("", raw)
	if err != nil {
		return nil, err
	}
	if err := all.take(all, envoyTableSize); err != nil {
		return nil, err
	}
	outer, err := all.either(envoyConsistent)
	if err != nil {
		return nil, err
	}
	if outer.isSet() {
		inner, err := object(outer.name, outer.raw)
		if err != nil {
			return nil, err
		}
		policy, err := inner.either(envoyPolicy)
		if err != nil {
			return nil, err
		}
		var policies []json.RawMessage
		if err := json.Unmarshal(policy.raw, &policies); policy.isSet() && (err != nil || len(policies) > 0) {
			return nil, fmt.Errorf("grpcbalancer: %s %s: not supported here; give the hash policy to the routes, or set requestHashHeader", policy.name, policy.raw)
		}
		for _, field := range []envoyField{envoyFactor, envoyHostname} {
			if err := all.take(inner, field); err != nil {
				return nil, err
			}
		}
	}
	return all.config()
}

// take has the field of an Envoy's message for ours, if it is there.
func (f fields) take(from fields, name envoyField) error {
	field, err := from.either(name)
	if err != nil || !field.isSet() {
		return err
	}
	field.quoted = true
	f[name.ours] = field
	return nil
}

// either returns a field by whichever of its two names is there.
func (f fields) either(name envoyField) (field, error) {
	snake, camel := f[name.proto], f[name.json]
	if snake.isSet() && camel.isSet() {
		return field{}, fmt.Errorf("grpcbalancer: %s and %s are one field, which must be there once", snake.name, camel.name)
	}
	if snake.isSet() {
		return snake, nil
	}
	return camel, nil
}
