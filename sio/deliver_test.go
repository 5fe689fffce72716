package sio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
)

// outcome is what Deliver returned.
type outcome struct {
	v   int
	err error
}

func deliver(ctx context.Context, to Callee, r Retry, event string, args ...any) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		v, err := Deliver[int](ctx, to, r, event, args...)
		done <- outcome{v, err}
	}()
	return done
}

// TestDeliverAcrossReconnects sends to a room whose member is away, does not answer,
// leaves, and answers at last.
func TestDeliverAcrossReconnects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.OnConnect(func(_ context.Context, s *Socket) error { return s.Join("user:7") })
		done := deliver(t.Context(), r.srv.To("user:7"), Retry{ID: "id1", Timeout: 2 * time.Second, MaxWait: time.Second}, "order", "book")
		time.Sleep(5 * time.Second) // nobody is there
		wantNone(t, done)
		p, _ := r.join()
		got := p.next().data
		if !strings.HasSuffix(got, `["order","book","id1"]`) {
			t.Fatalf("got %q", got)
		}
		again := p.next().data // not answered in time
		if !strings.HasSuffix(again, `["order","book","id1"]`) || again == got {
			t.Fatalf("got %q after %q", again, got)
		}
		p.close() // the answer is lost
		time.Sleep(time.Second)
		q, _ := r.join()
		got = q.next().data
		q.send(strings.Replace(strings.TrimSuffix(got, `["order","book","id1"]`), "42", "43", 1) + `[5]`)
		if o := receive(t, done); o != (outcome{v: 5}) {
			t.Errorf("%+v", o)
		}
		q.wantNothing()
	})
}

func TestDeliverBacksOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second) // the client answers no pings
		defer cancel()
		var at []time.Duration
		start := time.Now()
		r.srv.HandleAnyOutgoing(func(*Socket, string, []any) { at = append(at, time.Since(start)) })
		_, s := r.join()
		o := <-deliver(ctx, s, Retry{Timeout: time.Millisecond, MinWait: time.Second, MaxWait: 8 * time.Second}, "x")
		wantErr(t, o.err, context.DeadlineExceeded)
		wantErr(t, o.err, ErrAckTimeout)
		want := time.Second
		for i := 1; i < len(at); i++ {
			if pause := at[i] - at[i-1]; pause < want*3/4 || pause > want*5/4+10*time.Millisecond {
				t.Errorf("pause %d is %v, want about %v", i, pause, want)
			}
			want = min(2*want, 8*time.Second)
		}
		if len(at) < 6 {
			t.Errorf("%d attempts", len(at))
		}
	})
}

// An attempt that is cut short by the context does not hide why the others failed.
func TestDeliverCutShort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, s := r.join()
		o := <-deliver(ctx, s, Retry{Timeout: 3 * time.Second, MinWait: time.Second}, "x")
		wantErr(t, o.err, context.DeadlineExceeded)
		wantErr(t, o.err, ErrAckTimeout)
	})
}

func TestDeliverGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		o := receive(t, deliver(t.Context(), s, Retry{Attempts: 3, Timeout: time.Second}, "x"))
		wantErr(t, o.err, ErrAckTimeout)
		for i := range 3 {
			if got := p.next().data; !strings.HasPrefix(got, fmt.Sprintf(`42%d["x","`, i)) {
				t.Errorf("got %q", got)
			}
		}
		p.wantNothing()

		// The client has it, and has answered nonsense.
		done := deliver(t.Context(), s, Retry{ID: "i"}, "x")
		p.want(`423["x","i"]`)
		p.send(`433["no number"]`)
		if _, ok := errors.AsType[*codec.DecodeError](receive(t, done).err); !ok {
			t.Error("no DecodeError")
		}
		wantErr(t, receive(t, deliver(t.Context(), s, Retry{}, "disconnect")).err, ErrReservedEvent)
		if err := receive(t, deliver(t.Context(), r.srv, Retry{}, "x", make(chan int))).err; err == nil {
			t.Error("a channel was delivered")
		}

		// The socket is gone for good.
		done = deliver(t.Context(), s, Retry{Timeout: time.Hour}, "x")
		p.next()
		p.close()
		wantErr(t, receive(t, done).err, ErrClosed)
		wantErr(t, receive(t, deliver(t.Context(), s, Retry{}, "x")).err, ErrClosed)
	})
}

func TestDeliverMakesIDs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		ids := make(map[string]bool)
		for range 2 {
			done := deliver(t.Context(), s, Retry{}, "x")
			got := p.next().data
			var args []string
			must(t, json.Unmarshal([]byte(got[3:]), &args))
			ids[args[1]] = len(args[1]) == 20
			p.send("43" + got[2:3] + `[1]`)
			if o := receive(t, done); o != (outcome{v: 1}) {
				t.Errorf("%+v", o)
			}
		}
		if len(ids) != 2 {
			t.Errorf("ids %v", ids)
		}
	})
}
