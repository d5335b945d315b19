package reference

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// NSDI'16, section 3.4, table 1: permutations and lookup table of three
// backends, and the table after B1 is removed.
func TestNSDI16WorkedTable(t *testing.T) {
	b0, b1, b2 := Permutation(3, 4, 7), Permutation(0, 2, 7), Permutation(3, 1, 7)
	require.Equal(t, []int{3, 0, 4, 1, 5, 2, 6}, b0)
	require.Equal(t, []int{0, 2, 4, 6, 1, 3, 5}, b1)
	require.Equal(t, []int{3, 4, 5, 6, 0, 1, 2}, b2)

	require.Equal(t, []int{1, 0, 1, 0, 2, 2, 0}, Populate([][]int{b0, b1, b2}, 7))
	require.Equal(t, []int{0, 0, 0, 0, 1, 1, 1}, Populate([][]int{b0, b2}, 7))
}
