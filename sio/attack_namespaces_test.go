package sio

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
)

// TestManyChildren has clients make thousands of namespaces. Each join costs what the first ones did.
func TestManyChildren(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Of("/room/{n}")
		o := wellBehaved(t, r)
		joins := func(n int) (allocated int) {
			p := r.websocket()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i := range n {
				name := fmt.Sprintf("/room/%p-%d", p, i)
				p.send("40" + name + ",")
				p.joined(name)
			}
			runtime.ReadMemStats(&after)
			return int(after.TotalAlloc-before.TotalAlloc) / n
		}
		first := joins(100)
		for range 4 {
			joins(DefaultMaxNamespaces)
		}
		last := joins(100)
		t.Logf("%d bytes are allocated for one of the first joins, %d for one after %d", first, last, len(slices.Collect(r.srv.Namespaces())))
		if last > 2*first {
			t.Errorf("joining allocates %d bytes at first and %d in the end", first, last)
		}
		o.served()
	})
}
