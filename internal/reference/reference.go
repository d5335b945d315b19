// Package reference holds the paper's Algorithm 1 word by word, and the rules
// of the dialects as their systems state them. It is slow, obvious, and the
// oracle of the tests.
package reference

import "iter"

// Permutation materialises a backend's order of preference over m slots:
// permutation[j] = (offset + j*skip) mod m (NSDI'16, section 3.4).
func Permutation(offset, skip uint64, m int) []int {
	permutation := make([]int, m)
	for j := range permutation {
		permutation[j] = int((offset + uint64(j)*skip) % uint64(m))
	}
	return permutation
}

// Populate is Algorithm 1, "Optimized Populate for Maglev Hashing", line by
// line, with the one mend that it needs: the printed test is n > M, made before
// a claim. With n = M the set S then holds every slot, and the inner loop runs
// off the end of the permutation. So the test stands after the claim, as
// n = M.
func Populate(permutation [][]int, m int) []int {
	S := make(map[int]struct{})
	N := len(permutation)
	next := make([]int, N)
	for i := 0; i < N; i++ {
		next[i] = 0
	}
	entry := make([]int, m)
	for j := 0; j < m; j++ {
		entry[j] = -1
	}
	n := 0
	for n < m {
		for i := 0; i < N; i++ {
			c := permutation[i][next[i]]
			for contains(S, c) {
				next[i] = next[i] + 1
				c = permutation[i][next[i]]
			}
			entry[c] = i
			S[c] = struct{}{}
			next[i] = next[i] + 1
			n = n + 1
			if n == m {
				return entry
			}
		}
	}
	return entry
}

func contains(S map[int]struct{}, c int) bool {
	_, ok := S[c]
	return ok
}

// PopulateTurns is Populate with the turns in a given order in place of
// "foreach i < N".
func PopulateTurns(permutation [][]int, m int, turns iter.Seq[int]) []int {
	S := make(map[int]struct{})
	next := make([]int, len(permutation))
	entry := make([]int, m)
	for i := range turns {
		c := permutation[i][next[i]]
		for contains(S, c) {
			next[i]++
			c = permutation[i][next[i]]
		}
		entry[c] = i
		S[c] = struct{}{}
		next[i]++
		if len(S) == m {
			break
		}
	}
	return entry
}

// EnvoyShares returns the normalised weights of Envoy's load balancers.
// locality[i] is the index of backend i's locality; nil means that localities
// do not count.
func EnvoyShares(weights []uint32, locality []int, localityWeights []uint32) []float64 {
	shares := make([]float64, len(weights))
	if locality == nil {
		sum := uint64(0)
		for _, w := range weights {
			sum += uint64(w)
		}
		for i, w := range weights {
			shares[i] = float64(w) / float64(sum)
		}
		return shares
	}
	sum := make([]uint64, len(localityWeights))
	for i, w := range weights {
		sum[locality[i]] += uint64(w)
	}
	total := uint64(0)
	for l, w := range localityWeights {
		if sum[l] > 0 {
			total += uint64(w)
		}
	}
	for i, w := range weights {
		l := locality[i]
		if localityWeights[l] == 0 {
			continue
		}
		part := float64(localityWeights[l]) / float64(total)
		shares[i] = float64(w) * part / float64(sum[l])
	}
	return shares
}

// EnvoyTurns yields the turns of Envoy's table build, without end. A backend
// without a share has none.
func EnvoyTurns(shares []float64) iter.Seq[int] {
	return func(yield func(int) bool) {
		largest := 0.0
		for _, w := range shares {
			largest = max(largest, w)
		}
		target := make([]float64, len(shares))
		for iteration := uint32(1); ; iteration++ {
			for i, w := range shares {
				if w == 0 || float64(iteration)*w < target[i] {
					continue
				}
				target[i] += largest
				if !yield(i) {
					return
				}
			}
		}
	}
}

// CiliumTurns yields the turns of Cilium's table build, without end.
func CiliumTurns(weights []uint32) iter.Seq[int] {
	return func(yield func(int) bool) {
		count := uint64(len(weights))
		sum := uint64(0)
		counter := make([]float64, count)
		for i, w := range weights {
			sum += uint64(w)
			counter[i] = float64(w) / float64(count)
		}
		weighted := sum/count > 1
		for n := uint64(0); ; n++ {
			i := n % count
			if weighted {
				for (n+1)*uint64(weights[i]) < uint64(counter[i]) {
					i = (i + 1) % count
				}
				counter[i] += float64(sum)
			}
			if !yield(int(i)) {
				return
			}
		}
	}
}

// KatranTurns yields the turns of version 2 of Katran's table build, without
// end.
func KatranTurns(weights []uint32) iter.Seq[int] {
	return func(yield func(int) bool) {
		largest := uint64(0)
		for _, w := range weights {
			largest = max(largest, uint64(w))
		}
		sums := make([]uint64, len(weights))
		for {
			for i, w := range weights {
				sums[i] += uint64(w)
				if sums[i] < largest {
					continue
				}
				sums[i] -= largest
				if !yield(i) {
					return
				}
			}
		}
	}
}
