package sio

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"weak"
)

// TestDuplicatesOfUnanswered sends events twice that are never answered: what is kept of the
// second one, to answer it, is neither the event nor a connection that is gone.
func TestDuplicatesOfUnanswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := dedupRig(t, Dedup{})
		On2(r.srv, "late", func(context.Context, *Socket, string, string) error { return nil })
		o := wellBehaved(t, r)
		memory := heap()
		long := strings.Repeat("x", 500_000)
		var sockets []weak.Pointer[Socket]
		for i := range 30 {
			p, s := r.join()
			sockets = append(sockets, weak.Make(s))
			for range 3 {
				p.send(fmt.Sprintf(`421["late",%q,"id%d"]`, long, i))
			}
			synctest.Wait()
			p.close()
		}
		synctest.Wait()
		wantWithin(t, "bytes", memory, heap(), 4<<20)
		runtime.GC()
		kept := 0
		for _, s := range sockets {
			if s.Value() != nil {
				kept++
			}
		}
		if kept > 2 {
			t.Errorf("%d of %d sockets are kept", kept, len(sockets))
		}

		// One connection that goes on with it.
		p, _ := r.join()
		memory = heap()
		for range 20_000 {
			p.send(`421["late","","the same"]`)
		}
		synctest.Wait()
		wantWithin(t, "bytes", memory, heap(), 2<<20)
		o.served()
	})
}
