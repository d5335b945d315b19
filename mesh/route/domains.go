package route

import "strings"

// domains finds the virtual host of a host name: one that is given exactly, or else the one with
// the longest of the suffixes that fit ("*.example.com"), or else the longest of the prefixes
// ("example.*"), or else "*". The * stands for one byte or more. Case does not matter.
type domains struct {
	exact              map[string]*VirtualHost
	suffixes, prefixes affixes
	any                *VirtualHost
}

// add adds a domain. Its lower case is that of the configuration.
func (d *domains) add(domain string, h *VirtualHost) {
	switch {
	case domain == "*":
		d.any = h
	case strings.HasPrefix(domain, "*"):
		d.suffixes.all = append(d.suffixes.all, affix{domain[1:], h})
	case strings.HasSuffix(domain, "*"):
		d.prefixes.all = append(d.prefixes.all, affix{domain[:len(domain)-1], h})
	default:
		if d.exact == nil {
			d.exact = map[string]*VirtualHost{}
		}
		d.exact[domain] = h
	}
}

// finish is to be called after the last add.
func (d *domains) finish() {
	d.suffixes.finish(true)
	d.prefixes.finish(false)
}

// find returns nil if no domain fits.
func (d *domains) find(host string) *VirtualHost {
	host = lowerCase(host)
	if h := d.exact[host]; h != nil {
		return h
	}
	if h := d.suffixes.find(host); h != nil {
		return h
	}
	if h := d.prefixes.find(host); h != nil {
		return h
	}
	return d.any
}

// affixes are suffixes, or prefixes. As a host is read from its end, or its beginning, a hash of
// what has been read grows by a byte at a time, and for each length that there is it is looked up.
// That is one walk over the host, whereas a map for each length would hash most of it again and
// again.
type affixes struct {
	backwards bool
	all       []affix
	lengths   []bool  // by length: whether there are any
	slots     []affix // by hash, or the next free one. The size is a power of two, and half are empty.
}

type affix struct {
	text string
	host *VirtualHost // nil: the slot is empty
}

func (a *affixes) finish(backwards bool) {
	a.backwards = backwards
	size := 2
	for size < 2*len(a.all) {
		size *= 2
	}
	a.slots = make([]affix, size)
	for _, each := range a.all {
		for len(a.lengths) <= len(each.text) {
			a.lengths = append(a.lengths, false)
		}
		a.lengths[len(each.text)] = true
		hash := uint64(0)
		for i := range len(each.text) {
			hash = grow(hash, a.at(each.text, i))
		}
		i := a.slot(hash)
		for a.slots[i].host != nil {
			i = (i + 1) % len(a.slots)
		}
		a.slots[i] = each
	}
}

// find returns the host of the longest affix that is not the whole text, or nil.
func (a *affixes) find(text string) *VirtualHost {
	var found *VirtualHost
	hash := uint64(0)
	for n := 1; n < min(len(a.lengths), len(text)); n++ {
		hash = grow(hash, a.at(text, n-1))
		if !a.lengths[n] {
			continue
		}
		part := text[:n]
		if a.backwards {
			part = text[len(text)-n:]
		}
		for i := a.slot(hash); a.slots[i].host != nil; i = (i + 1) % len(a.slots) {
			if a.slots[i].text == part {
				found = a.slots[i].host
				break
			}
		}
	}
	return found
}

// at returns the byte that is read after so many others.
func (a *affixes) at(text string, read int) byte {
	if a.backwards {
		return text[len(text)-1-read]
	}
	return text[read]
}

// grow takes one more byte into a hash. Any mixing does, as texts are compared afterwards, and only
// the configuration can fill slots. The number is the fraction of the golden ratio.
func grow(hash uint64, c byte) uint64 { return (hash ^ uint64(c)) * 0x9e3779b97f4a7c15 }

func (a *affixes) slot(hash uint64) int { return int(hash>>32) & (len(a.slots) - 1) }

// lowerCase returns a text with its ASCII letters in lower case, the text itself where they are.
func lowerCase(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// withoutPort returns a host without what follows its last colon, unless that is of an IPv6
// address.
func withoutPort(host string) string {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.LastIndexByte(host, ']') > colon {
		return host
	}
	return host[:colon]
}
