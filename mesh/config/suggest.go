package config

import "strings"

// suggestion names the field that an unknown one was meant to be, if it is plain.
func (s *schema) suggestion(name string) string {
	if len(name) > 60 {
		return ""
	}
	best, distance := "", 3
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	for _, f := range s.fields {
		if !f.supported {
			continue
		}
		if d := editDistance(plain(name), plain(f.name)); d < distance || d == distance && best != "" && f.name < best {
			best, distance = f.name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; there is " + best
}

// editDistance is how many characters to add, drop or change make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := corner
			if a[i] != b[j] {
				next = 1 + min(corner, row[j], row[j+1])
			}
			corner, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
