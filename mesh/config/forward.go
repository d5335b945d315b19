package config

//lint:file-ignore SA1019 Configurations in service still have the deprecated fields, and Envoy reads them.

import (
	"math"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (r *routeBuilder) forward(p *place, m *routev3.RouteAction) *Forward {
	f := &Forward{
		ClusterHeader:       strings.ToLower(m.GetClusterHeader()),
		NotFoundStatus:      503,
		PrefixRewrite:       textOrNil(m.GetPrefixRewrite()),
		RegexRewrite:        r.regexRewrite(p.to("regex_rewrite"), m.GetRegexRewrite()),
		HostRewrite:         textOrNil(m.GetHostRewriteLiteral()),
		HostRewriteHeader:   strings.ToLower(m.GetHostRewriteHeader()),
		HostRewritePath:     r.regexRewrite(p.to("host_rewrite_path_regex"), m.GetHostRewritePathRegex()),
		AutoHostRewrite:     m.GetAutoHostRewrite().GetValue(),
		AppendForwardedHost: m.GetAppendXForwardedHost(),
		Timeout:             durationOr(m.GetTimeout(), 15*time.Second),
		IdleTimeout:         durationOrNil(m.GetIdleTimeout()),
		MaxGRPCTimeout:      durationOrNil(m.GetMaxGrpcTimeout()),
		GRPCTimeoutOffset:   durationOrNil(m.GetGrpcTimeoutOffset()),
		Retry:               r.retryPolicy(p.to("retry_policy"), m.GetRetryPolicy()),
		Hash:                r.hashPolicies(p, m.GetHashPolicy()),
		Mirrors:             r.mirrors(p, m.GetRequestMirrorPolicies()),
		Priority:            r.priority(m.GetPriority()),
	}
	switch m.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		f.Cluster = m.GetCluster()
		r.referCluster(p.to("cluster"), f.Cluster)
	case *routev3.RouteAction_WeightedClusters:
		f.Weighted = r.weightedClusters(p.to("weighted_clusters"), m.GetWeightedClusters())
	}
	switch m.GetClusterNotFoundResponseCode() {
	case routev3.RouteAction_NOT_FOUND:
		f.NotFoundStatus = 404
	case routev3.RouteAction_INTERNAL_SERVER_ERROR:
		f.NotFoundStatus = 500
	}
	if f.PrefixRewrite != nil && m.GetRegexRewrite() != nil {
		r.bad(p.to("regex_rewrite"), "not allowed with prefix_rewrite; only one of the two may be set")
	}
	if d := m.GetMaxStreamDuration(); d != nil {
		f.MaxStream = &MaxStream{
			Max:              durationOrNil(d.GetMaxStreamDuration()),
			GRPCHeaderMax:    durationOrNil(d.GetGrpcTimeoutHeaderMax()),
			GRPCHeaderOffset: d.GetGrpcTimeoutHeaderOffset().AsDuration(),
		}
	}
	for i, u := range m.GetUpgradeConfigs() {
		f.Upgrades = r.upgrade(p.at("upgrade_configs", i).to("upgrade_type"), f.Upgrades, u.GetUpgradeType(), boolOr(u.GetEnabled(), true))
	}
	return f
}

// referCluster notes a reference, unless routes may name what is not there.
func (r *routeBuilder) referCluster(p *place, name string) {
	if !r.anyname {
		r.refer(p, name)
	}
}

func durationOrNil(d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v := d.AsDuration()
	return &v
}

func (r *routeBuilder) weightedClusters(p *place, m *routev3.WeightedCluster) *WeightedClusters {
	w := &WeightedClusters{Header: strings.ToLower(m.GetHeaderName()), UseHash: m.GetUseHashPolicy().GetValue()}
	complete := true
	for i, c := range m.GetClusters() {
		at := p.at("clusters", i)
		switch {
		case c.GetName() != "" && c.GetClusterHeader() != "":
			r.bad(at.to("cluster_header"), "not allowed with name; only one of the two may be set")
		case c.GetName() == "" && c.GetClusterHeader() == "" && !r.spoilt(at.to("name")) && !r.spoilt(at.to("cluster_header")):
			r.missing(at, "name or cluster_header")
		}
		if c.GetWeight() == nil {
			r.missing(at, "weight")
			complete = false
		}
		r.referCluster(at.to("name"), c.GetName())
		w.Total += uint64(c.GetWeight().GetValue())
		w.Clusters = append(w.Clusters, WeightedCluster{
			Name: c.GetName(), ClusterHeader: strings.ToLower(c.GetClusterHeader()),
			Weight:      c.GetWeight().GetValue(),
			Headers:     r.mutations(at, c),
			HostRewrite: textOrNil(c.GetHostRewriteLiteral()),
			RateLimit:   r.rateLimit(at, c.GetTypedPerFilterConfig()),
		})
	}
	switch {
	case len(w.Clusters) == 0 || !complete: // refused already
	case w.Total == 0:
		r.bad(p, "the weights are 0 together; they have to be at least 1")
	case w.Total > math.MaxUint32:
		r.bad(p, "the weights are %d together; they may be at most %d", w.Total, uint32(math.MaxUint32))
	}
	return w
}

func (r *routeBuilder) mirrors(p *place, policies []*routev3.RouteAction_RequestMirrorPolicy) []Mirror {
	var mirrors []Mirror
	for i, m := range policies {
		at := p.at("request_mirror_policies", i)
		switch {
		case m.GetCluster() != "" && m.GetClusterHeader() != "":
			r.bad(at.to("cluster_header"), "not allowed with cluster; only one of the two may be set")
		case m.GetCluster() == "" && m.GetClusterHeader() == "" && !r.spoilt(at.to("cluster")) && !r.spoilt(at.to("cluster_header")):
			r.missing(at, "cluster or cluster_header")
		}
		r.referCluster(at.to("cluster"), m.GetCluster())
		mirror := Mirror{
			Cluster: m.GetCluster(), ClusterHeader: strings.ToLower(m.GetClusterHeader()),
			Fraction:                Fraction{100, 100},
			DisableShadowHostSuffix: m.GetDisableShadowHostSuffixAppend(),
		}
		if m.GetRuntimeFraction() != nil {
			mirror.Fraction = r.fraction(m.GetRuntimeFraction())
		}
		mirrors = append(mirrors, mirror)
	}
	return mirrors
}

// dataSource reads a text from where it is.
func (b *builder) dataSource(p *place, m *corev3.DataSource) string {
	switch source := m.GetSpecifier().(type) {
	case *corev3.DataSource_InlineString:
		return source.InlineString
	case *corev3.DataSource_InlineBytes:
		return string(source.InlineBytes)
	case *corev3.DataSource_Filename:
		return b.readFile(p.to("filename"), source.Filename)
	case *corev3.DataSource_EnvironmentVariable:
		return b.readVariable(p.to("environment_variable"), source.EnvironmentVariable)
	}
	return ""
}
