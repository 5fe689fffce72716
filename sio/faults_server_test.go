package sio

import (
	"context"
	"testing"
	"testing/synctest"
)

// A listener for other servers that panics, or ends its goroutine, costs its event, and not those
// behind it.
func TestFaultyServerListener(t *testing.T) {
	for _, exits := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			x := &fault{exits: exits}
			rigs := cluster(t, 2, Config{})
			heard := make(chan int, 10)
			OnServer(rigs[1].srv, "e", func(_ context.Context, n int) error {
				if n == 1 {
					x.armed.Store(true)
					x.strike()
				}
				heard <- n
				return nil
			})
			for n := range 4 {
				must(t, rigs[0].srv.ServerSide().Emit("e", n))
			}
			wantFrom(t, heard, 0, 2, 3)
			synctest.Wait()
			if n := rigs[1].srv.busy.n.Load(); n != 0 {
				t.Errorf("%d are busy", n)
			}
			rigs[1].wantLog("level=ERROR", "sio: server-side listener failed", "stack=", "faults_server_test.go")
		})
	}
}

// A client that comes back meets a middleware that panics, or ends its goroutine: the attempt is
// refused, its session and its pid are given up, and it gets in the next time, as a new one.
func TestFaultyComeback(t *testing.T) {
	for _, exits := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			x := &fault{exits: exits}
			r := memory(t, Config{Recovery: &Recovery{RunMiddlewares: true}})
			r.srv.Use(func(context.Context, *Socket) error { x.strike(); return nil })
			c := r.traveller("/")
			must(t, r.srv.Emit("event"))
			c.wantEvents(`42["event"]`)
			c.lose()
			x.armed.Store(true)
			p := r.websocket()
			p.send(`40{"pid":"` + c.pid + `","offset":"` + *c.last + `"}`)
			p.want(`44{"message":"connection refused"}`)
			x.armed.Store(false)
			c.wantStranger()
			synctest.Wait()
			r.srv.root.rec.mu.Lock()
			defer r.srv.root.rec.mu.Unlock()
			if n := len(r.srv.root.rec.live); n != 1 {
				t.Errorf("%d pids are taken", n)
			}
		})
	}
}
