package sio

import (
	"context"
	"errors"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLogBombs has handlers and middlewares fail over long event names, namespaces and arguments.
// The log takes little of them.
func TestLogBombs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		On(r.srv, "time", func(context.Context, *Socket, time.Time) error { return nil })
		On(r.srv, "big", func(context.Context, *Socket, *big.Int) error { return nil })
		On(r.srv, "quoted", func(_ context.Context, _ *Socket, s string) error { return errors.New("no such thing: " + s) })
		r.srv.HandleFallback(HandlerFunc(func(context.Context, *Socket, *Message) error { return errors.New("unknown event") }))
		rooms := r.srv.Of("/room/{n}")
		rooms.HandleFallback(HandlerFunc(func(context.Context, *Socket, *Message) error { return errors.New("unknown event") }))
		rooms.OnConnect(func(_ context.Context, s *Socket) error {
			if strings.HasSuffix(s.nsp, "panic") {
				panic("as told")
			}
			return nil
		})
		rooms.OnDisconnect(func(*Socket, Reason) { panic("as told") })
		o := wellBehaved(t, r)
		long := strings.Repeat("9", 200_000)
		p, _ := r.join()
		name := "/room/" + long
		p.send("40" + name + ",")
		p.joined(name)
		for _, packet := range []string{
			`42["` + long + `"]`, `42[` + long + `]`, `42["quoted","` + long + `"]`, `42["time","` + long + `"]`,
			`42["big","` + long + `x"]`, `42["big",` + long + `e1]`, "42" + name + `,["x"]`, "41" + name, "40" + name + "panic,",
		} {
			before := len(r.log.String())
			p.send(packet)
			synctest.Wait()
			if n := len(r.log.String()) - before; n == 0 || n > 10_000 {
				t.Errorf("%.20q…: %d bytes were logged", packet, n)
			}
		}
		r.wantLog("handler failed", "no such thing: 999")
		o.served()
	})
}
