//go:build linux

package main

import (
	"fmt"
	"strings"
)

// plotCPU draws the processor time of a request as SVG: a group of bars for each rate, a bar for
// each proxy, and a line over it for the range of the repeats.
func plotCPU(rows []row) string {
	const (
		bar, gap, left, top, height = 46, 40, 60, 40, 260
		bottom                      = top + height
	)
	colours := map[string]string{"meshproxy": "#1b7f5c", "envoy": "#b04a9a", "nginx": "#6b8e23", "haproxy": "#3a6ea5"}
	highest := 1.0
	for i := range rows {
		highest = max(highest, rows[i].CPU.Max)
	}
	y := func(us float64) float64 { return bottom - us/highest*height }

	var body strings.Builder
	x, rate := left, 0
	for i := range rows {
		r := &rows[i]
		if r.Peer == none {
			continue
		}
		if r.Rate != rate {
			if rate = r.Rate; x > left {
				x += gap
			}
			fmt.Fprintf(&body, `<text x="%d" y="%d" font-weight="bold">%d requests/s</text>`+"\n", x, bottom+36, rate)
		}
		middle := x + bar/2 - 3
		fmt.Fprintf(&body, `<rect x="%d" y="%.1f" width="%d" height="%.1f" fill="%s"/>`+"\n",
			x, y(r.CPU.Median), bar-6, bottom-y(r.CPU.Median), colours[r.Peer])
		fmt.Fprintf(&body, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#222"/>`+"\n", middle, y(r.CPU.Min), middle, y(r.CPU.Max))
		fmt.Fprintf(&body, `<text x="%d" y="%.1f" text-anchor="middle">%.0f</text>`+"\n", middle, y(r.CPU.Max)-4, r.CPU.Median)
		fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="middle" font-size="9">%s</text>`+"\n", middle, bottom+14, r.Peer)
		x += bar
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n"+
		`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n"+
		`<text x="%d" y="18" font-size="13">Processor time of the proxy for a request, us (median and range)</text>`+"\n%s"+
		`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#222"/>`+"\n</svg>\n",
		max(x+left, 480), bottom+56, left, body.String(), left-6, bottom, x, bottom)
}
