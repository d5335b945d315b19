package config

import (
	"math/big"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonlbv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastrequestv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	roundrobinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// policy reads how a cluster balances: from load_balancing_policy if there is one, which
// takes no heed of lb_policy, and else from lb_policy and the fields that belong to it.
func (b *builder) policy(p *place, m *clusterv3.Cluster, c *Cluster) {
	c.Maglev.TableSize, c.LeastRequestChoices = 65537, 2
	common, at := m.GetCommonLbConfig(), p.to("common_lb_config")
	if m.GetLoadBalancingPolicy() != nil {
		b.typedPolicy(p.to("load_balancing_policy"), m.GetLoadBalancingPolicy(), c)
		const text = "not allowed with load_balancing_policy, which has a field of its own for it"
		if common.GetLocalityWeightedLbConfig() != nil {
			b.bad(at.to("locality_weighted_lb_config"), text)
		}
		if common.GetZoneAwareLbConfig() != nil {
			b.bad(at.to("zone_aware_lb_config"), text)
		}
		if common.GetConsistentHashingLbConfig() != nil {
			b.bad(at.to("consistent_hashing_lb_config"), text)
		}
		return
	}
	c.LocalityWeights = common.GetLocalityWeightedLbConfig() != nil
	switch m.GetLbPolicy() {
	case clusterv3.Cluster_ROUND_ROBIN:
		c.Policy = RoundRobin
		slow := m.GetRoundRobinLbConfig().GetSlowStartConfig()
		c.SlowStart = b.slowStart(p.to("round_robin_lb_config").to("slow_start_config"), slow.GetSlowStartWindow(), slow.GetAggression(), slow.GetMinWeightPercent())
	case clusterv3.Cluster_LEAST_REQUEST:
		c.Policy = LeastRequest
		config, at := m.GetLeastRequestLbConfig(), p.to("least_request_lb_config")
		slow := config.GetSlowStartConfig()
		c.SlowStart = b.slowStart(at.to("slow_start_config"), slow.GetSlowStartWindow(), slow.GetAggression(), slow.GetMinWeightPercent())
		b.leastRequest(at, config.GetChoiceCount(), config.GetActiveRequestBias(), c)
	case clusterv3.Cluster_RANDOM:
		c.Policy = Random
	case clusterv3.Cluster_MAGLEV:
		c.Policy = MaglevPolicy
		b.tableSize(p.to("maglev_lb_config").to("table_size"), m.GetMaglevLbConfig().GetTableSize(), c)
		hashing := common.GetConsistentHashingLbConfig()
		c.UseHostname, c.BalanceFactor = hashing.GetUseHostnameForHashing(), hashing.GetHashBalanceFactor().GetValue()
	case clusterv3.Cluster_LOAD_BALANCING_POLICY_CONFIG:
		b.bad(p.to("lb_policy"), "LOAD_BALANCING_POLICY_CONFIG needs load_balancing_policy, which is missing")
	}
	if common.GetConsistentHashingLbConfig().GetUseHostnameForHashing() && c.Discovery == Static {
		b.bad(at.to("consistent_hashing_lb_config").to("use_hostname_for_hashing"), "true is not allowed of a STATIC cluster; it has to be STRICT_DNS or LOGICAL_DNS")
	}
}

func (b *builder) typedPolicy(p *place, m *clusterv3.LoadBalancingPolicy, c *Cluster) {
	if len(m.GetPolicies()) == 0 {
		if !b.spoilt(p) {
			b.bad(p, "policies is missing: it has to have at least one")
		}
		return
	}
	at := p.at("policies", 0).to("typed_extension_config")
	config := m.GetPolicies()[0].GetTypedExtensionConfig()
	if config == nil {
		b.bad(p.at("policies", 0), "typed_extension_config is missing")
		return
	}
	typed := at.to("typed_config")
	locality := func(config *commonlbv3.LocalityLbConfig) {
		c.LocalityWeights = config.GetLocalityWeightedLbConfig() != nil
		c.FailTrafficOnPanic = config.GetZoneAwareLbConfig().GetFailTrafficOnPanic()
	}
	slow := func(config *commonlbv3.SlowStartConfig) {
		c.SlowStart = b.slowStart(typed.to("slow_start_config"), config.GetSlowStartWindow(), config.GetAggression(), config.GetMinWeightPercent())
	}
	switch policy := b.any(config.GetTypedConfig()).(type) {
	case nil:
	case *roundrobinv3.RoundRobin:
		c.Policy = RoundRobin
		locality(policy.GetLocalityLbConfig())
		slow(policy.GetSlowStartConfig())
	case *leastrequestv3.LeastRequest:
		c.Policy = LeastRequest
		locality(policy.GetLocalityLbConfig())
		slow(policy.GetSlowStartConfig())
		b.leastRequest(typed, policy.GetChoiceCount(), policy.GetActiveRequestBias(), c)
	case *randomv3.Random:
		c.Policy = Random
		locality(policy.GetLocalityLbConfig())
	case *maglevv3.Maglev:
		c.Policy = MaglevPolicy
		c.LocalityWeights = policy.GetLocalityWeightedLbConfig() != nil
		b.tableSize(typed.to("table_size"), policy.GetTableSize(), c)
		hashing := policy.GetConsistentHashingLbConfig()
		c.UseHostname, c.BalanceFactor = hashing.GetUseHostnameForHashing(), hashing.GetHashBalanceFactor().GetValue()
	default:
		b.wrongType(typed, config.GetTypedConfig(), "maglev.v3.Maglev", "round_robin.v3.RoundRobin", "least_request.v3.LeastRequest", "random.v3.Random")
	}
}

const maxTableSize = 5000011

func (b *builder) tableSize(p *place, size *wrapperspb.UInt64Value, c *Cluster) {
	if size == nil {
		return
	}
	v := size.GetValue()
	if v > maxTableSize || !new(big.Int).SetUint64(v).ProbablyPrime(0) {
		b.bad(p, "%d is not allowed; it has to be a prime number up to %d, such as 65537", v, maxTableSize)
		return
	}
	c.Maglev.TableSize = uint32(v)
}

func (b *builder) leastRequest(p *place, choices *wrapperspb.UInt32Value, bias *corev3.RuntimeDouble, c *Cluster) {
	c.LeastRequestChoices = uint32Or(choices, 2)
	if at := p.to("active_request_bias"); bias != nil && b.double(bias) != 1 && !b.spoilt(at) {
		b.bad(at, "%v is unsupported; it is 1", b.double(bias))
	}
}

func (b *builder) slowStart(p *place, window *durationpb.Duration, aggression *corev3.RuntimeDouble, percent *typev3.Percent) *SlowStart {
	if window.AsDuration() == 0 {
		return nil
	}
	s := &SlowStart{Window: window.AsDuration().Truncate(time.Millisecond), Aggression: 1, MinPercent: 10}
	if aggression != nil {
		s.Aggression = b.double(aggression)
		if at := p.to("aggression"); !(s.Aggression > 0) && !b.spoilt(at) {
			b.bad(at, "%v is not allowed; it has to be greater than 0", s.Aggression)
		}
	}
	if percent != nil {
		s.MinPercent = percent.GetValue()
	}
	return s
}
