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
	} {
		got, err := parseConfig([]byte(raw))
		require.NoError(t, err, raw)
		require.Equal(t, &want, got, raw)

		// gRPC's xDS writes it and reads it again.
		text, err := json.Marshal(got)
		require.NoError(t, err)
		again, err := parseConfig(text)
		require.NoError(t, err)
		require.Equal(t, got, again, string(text))
	}
}

func TestConfigErrors(t *testing.T) {
	for raw, want := range map[string]string{
		`{"tableSize":0}`:                    "tableSize 0: it must be a prime",
		`{"tableSize":1}`:                    "tableSize 1: maglev: Options.TableSize 1: table size not usable: it must be a prime from 2 to 5000011, or 0 for 65537; the nearest prime is 2",
		`{"tableSize":-7}`:                   "tableSize -7: ",
		`{"tableSize":65536}`:                "the nearest are 65521 and 65537",
		`{"tableSize":65537.5}`:              "tableSize 65537.5: it must be a whole number",
		`{"tableSize":5e4}`:                  "tableSize 5e4: it must be a whole number",
		`{"tableSize":"65537"}`:              `tableSize "65537": it must be a whole number`,
		`{"tableSize":5000077}`:              "tableSize 5000077: ",
		`{"tableSize":99999999999999999999}`: "tableSize 99999999999999999999: ",
		`{"requestHashHeader":"x-user-bin"}`: `requestHashHeader "x-user-bin": it must not end in "-bin"`,
		`{"requestHashHeader":"X-User-BIN"}`: `requestHashHeader "X-User-BIN": it must not end in "-bin"`,
		`{"requestHashHeader":":path"}`:      `requestHashHeader ":path": it must be the name of a header of the call's metadata; pseudo-headers`,
		`{"requestHashHeader":"x user"}`:     `requestHashHeader "x user": it must be the name of a header`,
		`{"requestHashHeader":"é"}`:          `requestHashHeader "é": it must be`,
		`{"requestHashHeader":7}`:            "requestHashHeader",
		`{"headerRule":"nginx"}`:             `headerRule "nginx": it must be "grpc" or "envoy"`,
		`{"hashBalanceFactor":99}`:           "hashBalanceFactor 99: it must be 100 or more, in percent, or 0 for no bound",
		`{"hashBalanceFactor":-1}`:           "hashBalanceFactor -1: ",
		`{"hashBalanceFactor":125.5}`:        "hashBalanceFactor 125.5: it must be a whole number",
		`[]`:                                 "cannot unmarshal",
		`{`:                                  "unexpected end of JSON input",
	} {
		_, err := parseConfig([]byte(raw))
		require.ErrorContains(t, err, "grpcbalancer: ", raw)
		require.ErrorContains(t, err, want, raw)
	}
}
