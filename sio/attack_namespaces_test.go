package sio

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
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

// TestLongNames has one connection join namespaces with names as long as a packet. They count as
// auth payloads do, and while their middleware runs as events that wait.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("x", 900_000)
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Of("/room/{n}")
		o := wellBehaved(t, r)
		p := r.websocket()
		r.wantFewJoins(p, func(i int) string { return fmt.Sprintf("40/room/%d%s,", i, long) })
		o.served()

		// What was left makes room, and what was refused takes none.
		p = r.websocket()
		for i := range 30 {
			name := fmt.Sprintf("/room/%d%s", i, long)
			p.send("40" + name + ",")
			p.joined(name)
			p.send("41" + name + ",")
			p.send("40/no" + name + ",")
			p.want("44/no" + name + `,{"message":"Invalid namespace"}`)
		}
	})
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		release := make(chan struct{})
		r.srv.OfFunc(func(context.Context, string, *Handshake) bool { <-release; return false })
		o := wellBehaved(t, r)
		memory := heap()
		p := r.websocket()
		written := p.flood(100, func(i int) string { return fmt.Sprintf("40/%d%s,", i, long) })
		if n := written(); n > 5 {
			t.Errorf("%d packets were read", n)
		}
		wantWithin(t, "bytes", memory, heap(), 6<<20)
		o.served()
		p.close()
		close(release)
	})
}

// TestLongNamesDoNotLinger has clients leave children with long names in a way that they may come
// back from. The names are not kept for that.
func TestLongNamesDoNotLinger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		r.srv.Of("/room/{n}")
		o := r.websocket()
		o.send("40")
		o.next()
		memory := heap()
		for i := range 30 {
			c := r.traveller(fmt.Sprintf("/room/%d%s", i, strings.Repeat("x", 500_000)))
			c.lose()
		}
		wantWithin(t, "bytes", memory, heap(), 4<<20)
		if n := len(slices.Collect(r.srv.Namespaces())); n != 1 {
			t.Errorf("%d namespaces are left", n)
		}
	})
}
