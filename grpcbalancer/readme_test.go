package grpcbalancer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

// blocks returns the README's code blocks in a language.
func blocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, match := range fence.FindAllStringSubmatch(readme(t), -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(text)
}

// Code in the README is code that is compiled: each block stands in an example, up to
// its indentation.
func TestReadmeSnippetsAreCompiled(t *testing.T) {
	unindented := func(text string) string {
		return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(text, "")
	}
	var sources []string
	files, err := filepath.Glob("example*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		sources = append(sources, unindented(string(text)))
	}
	for _, block := range blocks(t, "go") {
		require.True(t, slices.ContainsFunc(sources, func(source string) bool {
			return strings.Contains(source, unindented(block))
		}), "in no example:\n%s", block)
	}
}

// The service configs of the README are what gRPC takes.
func TestReadmeServiceConfigs(t *testing.T) {
	configs := blocks(t, "json")
	require.NotEmpty(t, configs)
	for _, config := range configs {
		cc, err := grpc.NewClient("maglev:///127.0.0.1:1", grpc.WithDefaultServiceConfig(config),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err, config)
		require.NoError(t, cc.Close())
	}
}

// The xDS of the README is what gRPC takes, and it chooses this policy.
func TestReadmeXDS(t *testing.T) {
	locality, backends, where := caches(t, 5)
	var clusters []*clusterv3.Cluster
	var hash []*routev3.RouteAction_HashPolicy
	for _, block := range blocks(t, "yaml") {
		if strings.HasPrefix(block, "match:") {
			var route routev3.Route
			unmarshal(t, block, &route)
			hash = route.GetRoute().HashPolicy
			continue
		}
		cluster := new(clusterv3.Cluster)
		unmarshal(t, block, cluster)
		clusters = append(clusters, cluster)
	}
	require.Len(t, clusters, 2)
	require.Len(t, hash, 1)
	for _, cluster := range clusters {
		var policies []proto.Message
		for _, p := range cluster.LoadBalancingPolicy.Policies {
			message, err := p.TypedExtensionConfig.TypedConfig.UnmarshalNew()
			require.NoError(t, err)
			policies = append(policies, message)
		}
		s, c := dialXDS(t, xdsserver.Config{
			Hash:     hash,
			Clusters: []xdsserver.Cluster{{Name: cluster.Name, Policies: policies, Localities: locality}},
		})
		table := tableOf(t, backends, 65537)
		for _, key := range []string{"user-41", "user-42", "user-43", "user-44"} {
			got, err := c.call(withUser(short(t), key))
			require.NoError(t, err)
			require.Equal(t, where[table.Backend(table.Lookup(maglev.XXHash(key, 0))).Name], got)
		}
		require.Empty(t, s.Rejections())
	}
}

func unmarshal(t *testing.T, text string, m proto.Message) {
	t.Helper()
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	asJSON, err := json.Marshal(value)
	require.NoError(t, err)
	require.NoError(t, protojson.Unmarshal(asJSON, m), text)
}

// The README has every field of the configuration.
func TestReadmeHasAllFields(t *testing.T) {
	config := reflect.TypeFor[grpcbalancer.Config]()
	for i := range config.NumField() {
		name, _, _ := strings.Cut(config.Field(i).Tag.Get("json"), ",")
		if name != "-" {
			require.Contains(t, readme(t), "`"+name+"`")
		}
	}
}
