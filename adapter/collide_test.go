package adapter

import "testing"

// Names of rooms that collide under the hash functions everybody knows do not end up in one part of the index: where a name
// belongs depends on a seed that each index draws.
func TestCollidingRooms(t *testing.T) {
	x := NewIndex(Config{})
	for _, m := range []byte{31, 33} {
		names := []string{""}
		for range 12 {
			var next []string
			for _, k := range names {
				next = append(next, k+"Az", k+string([]byte{'B', 'z' - m}))
			}
			names = next
		}
		parts := make(map[int]int)
		for _, name := range names {
			parts[x.stripeIndex(name)]++
		}
		for part, n := range parts {
			if most := 4 * len(names) / len(x.stripes); len(x.stripes) > 1 && n > most {
				t.Errorf("%d of %d names belong to part %d, at most %d should", n, len(names), part, most)
			}
		}
	}
}
