package redis

import (
	"testing"
	"time"
)

// However the wall clock is set (scripts/walljumps), a connection knows how long nothing has come.
func TestSilent(t *testing.T) {
	c := conn{begun: time.Now()}
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
		before := time.Now()
		c.hears()
		for time.Since(before) < 7*time.Millisecond {
			got := c.silent()
			if most := time.Since(before); got < 0 || got > most {
				t.Fatalf("silent for %v, %v after something came", got, most)
			}
		}
	}
}
