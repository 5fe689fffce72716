package cluster

import (
	"testing"
	"time"
)

// However the wall clock is set (scripts/walljumps), a server knows how long it was quiet: one
// that believes it has published tomorrow sends no heartbeat for a day.
func TestQuiet(t *testing.T) {
	m := members{begun: time.Now()}
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
		before := time.Now()
		m.published()
		for time.Since(before) < 7*time.Millisecond {
			got := m.quiet()
			if most := time.Since(before); got < 0 || got > most {
				t.Fatalf("quiet for %v, %v after publishing", got, most)
			}
		}
	}
}
