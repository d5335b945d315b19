package config

//lint:file-ignore SA1019 Configurations in service still have the deprecated fields, and Envoy reads them.

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

func (r *routeBuilder) routeMatch(p *place, m *routev3.RouteMatch) RouteMatch {
	match := RouteMatch{
		IgnoreCase: !boolOr(m.GetCaseSensitive(), true),
		Headers:    r.headerMatches(p, "headers", m.GetHeaders()),
		GRPC:       m.GetGrpc() != nil,
	}
	switch path := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		match.Prefix = &path.Prefix
	case *routev3.RouteMatch_Path:
		match.Path = &path.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		match.PathPrefix = &path.PathSeparatedPrefix
	case *routev3.RouteMatch_SafeRegex:
		match.Regex = r.regex(p.to("safe_regex"), path.SafeRegex, true)
	}
	for i, q := range m.GetQueryParameters() {
		match.Query = append(match.Query, r.queryMatch(p.at("query_parameters", i), q))
	}
	if m.GetRuntimeFraction() != nil {
		f := r.fraction(m.GetRuntimeFraction())
		match.Fraction = &f
	}
	return match
}

func (r *routeBuilder) queryMatch(p *place, m *routev3.QueryParameterMatcher) QueryMatch {
	q := QueryMatch{Name: m.GetName()}
	switch v := m.GetQueryParameterMatchSpecifier().(type) {
	case *routev3.QueryParameterMatcher_StringMatch:
		q.String = r.stringMatch(p.to("string_match"), v.StringMatch)
	case *routev3.QueryParameterMatcher_PresentMatch:
		q.Present = &v.PresentMatch
	}
	return q
}

func (b *builder) headerMatches(p *place, field string, messages []*routev3.HeaderMatcher) []HeaderMatch {
	var matches []HeaderMatch
	for i, m := range messages {
		matches = append(matches, b.headerMatch(p.at(field, i), m))
	}
	return matches
}

func (b *builder) headerMatch(p *place, m *routev3.HeaderMatcher) HeaderMatch {
	h := HeaderMatch{
		Name:           strings.ToLower(m.GetName()),
		Invert:         m.GetInvertMatch(),
		MissingAsEmpty: m.GetTreatMissingHeaderAsEmpty(),
	}
	if h.Name == "host" {
		h.Name = ":authority"
	}
	switch v := m.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_ExactMatch:
		h.String = &StringMatch{Exact: &v.ExactMatch}
	case *routev3.HeaderMatcher_PrefixMatch:
		h.String = &StringMatch{Prefix: &v.PrefixMatch}
	case *routev3.HeaderMatcher_SuffixMatch:
		h.String = &StringMatch{Suffix: &v.SuffixMatch}
	case *routev3.HeaderMatcher_ContainsMatch:
		h.String = &StringMatch{Contains: &v.ContainsMatch}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		h.String = &StringMatch{Regex: b.regex(p.to("safe_regex_match"), v.SafeRegexMatch, true)}
	case *routev3.HeaderMatcher_StringMatch:
		h.String = b.stringMatch(p.to("string_match"), v.StringMatch)
	case *routev3.HeaderMatcher_RangeMatch:
		h.Range = &Range{v.RangeMatch.GetStart(), v.RangeMatch.GetEnd()}
	case *routev3.HeaderMatcher_PresentMatch:
		h.Present = &v.PresentMatch
	}
	return h
}

func (b *builder) stringMatch(p *place, m *matcherv3.StringMatcher) *StringMatch {
	s := &StringMatch{IgnoreCase: m.GetIgnoreCase()}
	switch v := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		s.Exact = &v.Exact
	case *matcherv3.StringMatcher_Prefix:
		s.Prefix = &v.Prefix
	case *matcherv3.StringMatcher_Suffix:
		s.Suffix = &v.Suffix
	case *matcherv3.StringMatcher_Contains:
		s.Contains = &v.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		s.Regex = b.regex(p.to("safe_regex"), v.SafeRegex, true)
		if s.IgnoreCase {
			b.bad(p.to("ignore_case"), "true has no effect with safe_regex; write (?i) at the beginning of the pattern")
			s.IgnoreCase = false
		}
	}
	return s
}

func (b *builder) regexRewrite(p *place, m *matcherv3.RegexMatchAndSubstitute) *RegexRewrite {
	if m.GetPattern() == nil {
		return nil
	}
	return &RegexRewrite{Regex: b.regex(p.to("pattern"), m.GetPattern(), false), Substitution: m.GetSubstitution()}
}

// neverMatches stands for a pattern that was refused.
var neverMatches = regexp.MustCompile(`[^\x00-\x{10FFFF}]`)

// regex compiles a pattern, of the whole text or of some of it.
func (b *builder) regex(p *place, m *matcherv3.RegexMatcher, whole bool) *regexp.Regexp {
	pattern := m.GetRegex()
	if pattern == "" {
		return neverMatches // refused already
	}
	limit := b.regexLimit
	if size := m.GetGoogleRe2().GetMaxProgramSize(); size != nil {
		limit = float64(size.GetValue())
	}
	re, err := CompileRegex(pattern, whole)
	var wrong *syntax.Error
	if errors.As(err, &wrong) && wrong.Expr == `\C` {
		err = errors.New(`\C is unsupported; a . is a byte as well`)
	}
	if err == nil {
		err = checkRegex(Widened(pattern), limit)
	}
	if err != nil {
		b.bad(p.to("regex"), "%q is not allowed; it has to be a regular expression in RE2's syntax: %v", pattern, reasonOf(err))
		return neverMatches
	}
	return re
}

func reasonOf(err error) string {
	var wrong *syntax.Error
	if errors.As(err, &wrong) {
		return fmt.Sprintf("%s: %q", wrong.Code, wrong.Expr)
	}
	return err.Error()
}

// checkRegex refuses what Envoy refuses beyond package regexp: characters that are no bytes,
// and patterns of which RE2 makes more instructions than it allows. Those are counted from
// below, so that none is refused that Envoy takes; some that are just too large for
// it are taken here.
func checkRegex(pattern string, limit float64) error {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	if wide := widest(tree); wide > 0xff && strings.Contains(pattern, `\x{`) {
		return fmt.Errorf("characters above \\x{ff} are not allowed, as it is bytes that are matched")
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return err
	}
	size := 4 // to begin, to search, to match and to fail
	for i := range program.Inst {
		switch program.Inst[i].Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			size++
		}
	}
	if float64(size) > limit {
		return fmt.Errorf("it makes a program of %d instructions or more, and may make %v", size, limit)
	}
	return nil
}

// widest returns the largest character that a pattern names alone.
func widest(tree *syntax.Regexp) rune {
	widestOf := rune(0)
	if tree.Op == syntax.OpLiteral {
		for _, c := range tree.Rune {
			widestOf = max(widestOf, c)
		}
	}
	for _, sub := range tree.Sub {
		widestOf = max(widestOf, widest(sub))
	}
	return widestOf
}

func (r *routeBuilder) hashPolicies(p *place, messages []*routev3.RouteAction_HashPolicy) hashpolicy.List {
	var list hashpolicy.List
	for i, m := range messages {
		at := p.at("hash_policy", i)
		policy := r.hashPolicy(at, m)
		if m.GetTerminal() {
			policy = policy.Terminal()
		}
		list = append(list, policy)
	}
	return list
}

// noHash is the policy of what no request has, such as a header whose name is none.
func noHash() hashpolicy.Policy {
	return hashpolicy.Func(func(hashpolicy.Request) (uint64, bool) { return 0, false })
}

// usable returns a policy, or noHash if it can have none.
func usable(policy hashpolicy.Policy) hashpolicy.Policy {
	if (hashpolicy.List{policy}).Validate() != nil {
		return noHash()
	}
	return policy
}

func (r *routeBuilder) hashPolicy(p *place, m *routev3.RouteAction_HashPolicy) hashpolicy.Policy {
	switch v := m.GetPolicySpecifier().(type) {
	case *routev3.RouteAction_HashPolicy_Header_:
		header := v.Header
		rewrite := header.GetRegexRewrite()
		if rewrite.GetPattern().GetRegex() == "" {
			return usable(hashpolicy.Header(header.GetHeaderName()))
		}
		at := p.to("header").to("regex_rewrite")
		if r.regex(at.to("pattern"), rewrite.GetPattern(), false) == neverMatches {
			return noHash()
		}
		policy := hashpolicy.HeaderRewrite(header.GetHeaderName(), rewrite.GetPattern().GetRegex(), rewrite.GetSubstitution())
		if _, err := hashpolicy.NewName(header.GetHeaderName()); err != nil && header.GetHeaderName() != ":path" {
			return noHash()
		}
		if err := (hashpolicy.List{policy}).Validate(); err != nil {
			r.bad(at.to("substitution"), "%q is not allowed; it has to be a text with \\0 to \\9 for groups that the pattern has, and \\\\ for a backslash", rewrite.GetSubstitution())
			return noHash()
		}
		return policy
	case *routev3.RouteAction_HashPolicy_Cookie_:
		return r.cookie(p.to("cookie"), v.Cookie)
	case *routev3.RouteAction_HashPolicy_ConnectionProperties_:
		if v.ConnectionProperties.GetSourceIp() {
			return SourceIP()
		}
	case *routev3.RouteAction_HashPolicy_QueryParameter_:
		return usable(hashpolicy.QueryParameter(v.QueryParameter.GetName()))
	}
	return noHash()
}

func (r *routeBuilder) cookie(p *place, m *routev3.RouteAction_HashPolicy_Cookie) hashpolicy.Policy {
	if m.GetTtl() == nil {
		return usable(hashpolicy.Cookie(m.GetName()))
	}
	cookie := hashpolicy.NewCookie{Name: m.GetName(), TTL: m.GetTtl().AsDuration().Truncate(time.Second), Path: m.GetPath()}
	for _, a := range m.GetAttributes() {
		cookie.Attributes = append(cookie.Attributes, hashpolicy.Attribute{Name: a.GetName(), Value: a.GetValue()})
	}
	policy := hashpolicy.GeneratedCookie(cookie)
	if err := (hashpolicy.List{policy}).Validate(); err != nil && m.GetName() != "" {
		at, what := p, err.Error()
		if _, after, ok := strings.Cut(what, "NewCookie."); ok {
			field, rest, _ := strings.Cut(after, " ")
			what = strings.Replace(rest, ": policy not usable: it must be", " is not allowed; it has to be", 1)
			at = cookieField(p, field)
		}
		if !r.spoilt(at) {
			r.bad(at, "%s", what)
		}
		return noHash()
	}
	return policy
}

// cookieField returns the place of what hashpolicy calls a field of a new cookie, such as
// Attributes[0].Name.
func cookieField(p *place, field string) *place {
	var i int
	if n, _ := fmt.Sscanf(field, "Attributes[%d]", &i); n == 1 {
		_, name, _ := strings.Cut(field, ".")
		return p.at("attributes", i).to(strings.ToLower(name))
	}
	return p.to(strings.ToLower(field))
}
