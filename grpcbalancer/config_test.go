package grpcbalancer

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig(t *testing.T) {
	for raw, want := range map[string]Config{
		`{}`:                    {TableSize: 65537},
		`{"tableSize":5000011}`: {TableSize: 5000011},
		`{"tableSize":2}`:       {TableSize: 2},
		`{"requestHashHeader":"X-User","headerRule":"envoy","hashBalanceFactor":125,"other":[1]}`: {
			TableSize: 65537, RequestHashHeader: "x-user", HeaderRule: ChainValues, HashBalanceFactor: 125},
		`{"tableSize":null,"requestHashHeader":"","headerRule":"grpc","hashBalanceFactor":0}`: {TableSize: 65537},
		`{"dialect":"envoy","useHostnameForHashing":true}`:                                    {TableSize: 65537, UseHostnameForHashing: true},
		`{"TableSize":251,"requesthashheader":"a"}`:                                           {TableSize: 251, RequestHashHeader: "a"},
		`{"dialect":"cilium"}`: {Dialect: Cilium, TableSize: 16381},
		`{"dialect":"cilium","tableSize":251,"hashSeed":"JLfvgnHc2kaSUFaI"}`: {Dialect: Cilium, TableSize: 251, HashSeed: "JLfvgnHc2kaSUFaI"},
		`null`: {TableSize: 65537},
	} {
		requireParses(t, parseConfig, raw, want)
	}
}

func TestEnvoyConfig(t *testing.T) {
	for raw, want := range map[string]Config{
		`{}`:                     {TableSize: 65537},
		`{"table_size":251}`:     {TableSize: 251},
		`{"tableSize":"251"}`:    {TableSize: 251},
		`{"table_size":"65537"}`: {TableSize: 65537},
		`{"consistent_hashing_lb_config":{"hash_balance_factor":150,"use_hostname_for_hashing":true,"hash_policy":[ ]}}`: {
			TableSize: 65537, HashBalanceFactor: 150, UseHostnameForHashing: true},
		`{"consistentHashingLbConfig":{"hashBalanceFactor":"150"},"locality_weighted_lb_config":{}}`: {TableSize: 65537, HashBalanceFactor: 150},
		`{"tableSize":null,"table_size":251,"requestHashHeader":"x-user"}`:                           {TableSize: 251, RequestHashHeader: "x-user"},
	} {
		requireParses(t, parseEnvoyConfig, raw, want)
	}
}

func requireParses(t *testing.T, parse func(json.RawMessage) (*Config, error), raw string, want Config) {
	t.Helper()
	got, err := parse([]byte(raw))
	require.NoError(t, err, raw)
	require.Equal(t, &want, got, raw)

	// gRPC's xDS writes it and reads it again.
	text, err := json.Marshal(got)
	require.NoError(t, err)
	again, err := parse(text)
	require.NoError(t, err)
	require.Equal(t, got, again, string(text))
}

func TestConfigErrors(t *testing.T) {
	for raw, want := range map[string]string{
		`{"tablesize":65536}`:                    "tablesize 65536: ",
		`{"tableSize":251,"TABLESIZE":251}`:      "tableSize and TABLESIZE are one field, which must be there once",
		`{"tableSize":0}`:                        "tableSize 0: it must be a prime",
		`{"tableSize":1}`:                        "tableSize 1: maglev: Options.TableSize 1: table size not usable: it must be a prime from 2 to 5000011, or 0 for 65537; the nearest prime is 2",
		`{"tableSize":-7}`:                       "tableSize -7: ",
		`{"tableSize":65536}`:                    "the nearest are 65521 and 65537",
		`{"tableSize":65537.5}`:                  "tableSize 65537.5: it must be a whole number",
		`{"tableSize":5e4}`:                      "tableSize 5e4: it must be a whole number",
		`{"tableSize":"65537"}`:                  `tableSize "65537": it must be a whole number`,
		`{"tableSize":5000077}`:                  "tableSize 5000077: ",
		`{"tableSize":99999999999999999999}`:     "tableSize 99999999999999999999: ",
		`{"requestHashHeader":"x-user-bin"}`:     `requestHashHeader "x-user-bin": it must not end in "-bin"`,
		`{"requestHashHeader":"X-User-BIN"}`:     `requestHashHeader "X-User-BIN": it must not end in "-bin"`,
		`{"requestHashHeader":":path"}`:          `requestHashHeader ":path": it must be the name of a header of the call's metadata; pseudo-headers`,
		`{"requestHashHeader":"x user"}`:         `requestHashHeader "x user": it must be the name of a header`,
		`{"requestHashHeader":"é"}`:              `requestHashHeader "é": it must be`,
		`{"requestHashHeader":7}`:                "requestHashHeader 7: it must be a string",
		`{"headerRule":"nginx"}`:                 `headerRule "nginx": it must be one of ["grpc" "envoy"]`,
		`{"hashBalanceFactor":99}`:               "hashBalanceFactor 99: it must be 100 or more, in percent, or 0 for no bound",
		`{"hashBalanceFactor":-1}`:               "hashBalanceFactor -1: ",
		`{"hashBalanceFactor":125.5}`:            "hashBalanceFactor 125.5: it must be a whole number",
		`{"dialect":"katran"}`:                   `dialect "katran": it must be one of ["envoy" "cilium"]`,
		`{"dialect":7}`:                          `dialect 7: it must be a string`,
		`{"dialect":"cilium","tableSize":65537}`: "tableSize 65537: ",
		`{"hashSeed":"JLfvgnHc2kaSUFaI"}`:        `hashSeed "JLfvgnHc2kaSUFaI": only the dialect "cilium" has one`,
		`{"dialect":"cilium","hashSeed":"JLfv"}`: `hashSeed "JLfv": it must be 12 bytes in base64`,
		`{"useHostnameForHashing":"yes"}`:        `useHostnameForHashing "yes": it must be true or false`,
		`[]`:                                     "config: it must be an object",
		`{`:                                      "unexpected end of JSON input",
	} {
		requireRefuses(t, parseConfig, raw, want)
	}
}

func TestEnvoyConfigErrors(t *testing.T) {
	for raw, want := range map[string]string{
		`{"table_size":65536}`:                                                              "table_size 65536: ",
		`{"tableSize":0}`:                                                                   "tableSize 0: ",
		`{"table_size":"many"}`:                                                             `table_size "many": it must be a whole number`,
		`{"table_size":251,"tableSize":257}`:                                                "table_size and tableSize are one field",
		`{"consistent_hashing_lb_config":[]}`:                                               "consistent_hashing_lb_config []: it must be an object",
		`{"consistent_hashing_lb_config":{"hash_balance_factor":99}}`:                       "consistent_hashing_lb_config.hash_balance_factor 99: it must be 100 or more",
		`{"consistent_hashing_lb_config":{"use_hostname_for_hashing":1}}`:                   "consistent_hashing_lb_config.use_hostname_for_hashing 1: it must be true or false",
		`{"consistentHashingLbConfig":{"hashPolicy":[{"header":{"headerName":"x-user"}}]}}`: "consistentHashingLbConfig.hashPolicy [",
	} {
		requireRefuses(t, parseEnvoyConfig, raw, want)
	}
}

func requireRefuses(t *testing.T, parse func(json.RawMessage) (*Config, error), raw, want string) {
	t.Helper()
	_, err := parse([]byte(raw))
	require.ErrorContains(t, err, "grpcbalancer: ", raw)
	require.ErrorContains(t, err, want, raw)
}
