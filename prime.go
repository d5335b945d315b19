package maglev

// MaxTableSize is the largest table size: Envoy's maximum, a prime.
const MaxTableSize = 5000011

// isPrime divides n by every candidate up to its root: at most 1118 odd
// numbers for n up to MaxTableSize.
func isPrime(n int) bool {
	if n < 2 || n%2 == 0 {
		return n == 2
	}
	for d := 3; d*d <= n; d += 2 {
		if n%d == 0 {
			return false
		}
	}
	return true
}

// primesAround returns the nearest primes below and above n, which must lie
// between 3 and MaxTableSize.
func primesAround(n int) (below, above int) {
	for below = n - 1; !isPrime(below); below-- {
	}
	return below, primeFrom(n + 1)
}

// primeFrom returns the smallest prime not below n.
func primeFrom(n int) int {
	for !isPrime(n) {
		n++
	}
	return n
}
