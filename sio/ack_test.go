package sio

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

// result is what a Call came to.
type result struct {
	v   string
	err error
}

// calling starts a Call that asks for a string.
func calling(ctx context.Context, to Callee, args ...any) <-chan result {
	c := make(chan result, 1)
	go func() {
		v, err := Call[string](ctx, to, "ask", args...)
		c <- result{v, err}
	}()
	return c
}

// wantSettled checks that nobody waits for acknowledgements any more.
func (r *rig) wantSettled(sockets ...*Socket) {
	r.t.Helper()
	synctest.Wait()
	for _, s := range sockets {
		s.mu.Lock()
		if s.acks != nil {
			r.t.Errorf("%d acknowledgements are still waited for", len(s.acks))
		}
		s.mu.Unlock()
		s.c.mu.Lock()
		if s.c.load.calls != 0 {
			r.t.Errorf("%d calls are still counted", s.c.load.calls)
		}
		s.c.mu.Unlock()
	}
}

func TestCallWithEndedContextSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Call[string](ctx, s, "ask"); !errors.Is(err, context.Canceled) {
			t.Errorf("Call returned %v", err)
		}
		if err := s.Emit("next"); err != nil {
			t.Error(err)
		}
		p.want(`42["next"]`)
		r.wantSettled(s)
	})
}

func TestCall(t *testing.T) {
	for name, to := range map[string]func(r *rig, s *Socket) Callee{
		"socket":          func(_ *rig, s *Socket) Callee { return s },
		"socket, timeout": func(_ *rig, s *Socket) Callee { return s.Timeout(time.Second) },
		"target":          func(r *rig, s *Socket) Callee { return r.srv.To(s.ID()) },
		"namespace":       func(r *rig, _ *Socket) Callee { return r.srv.Of("/") },
		"server":          func(r *rig, _ *Socket) Callee { return r.srv },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				p, s := r.join()
				c := calling(context.Background(), to(r, s), 1, "x")
				p.want(`420["ask",1,"x"]`)
				p.send(`430["yes","more"]`)
				wantFrom(t, c, result{"yes", nil})

				c = calling(context.Background(), to(r, s)) // ids count up in the namespace
				p.want(`421["ask"]`)
				p.send(`431[]`)
				wantFrom(t, c, result{})

				c = calling(context.Background(), to(r, s))
				p.want(`422["ask"]`)
				p.send(`432[7]`)
				if err, ok := errors.AsType[*codec.DecodeError](receive(t, c).err); !ok || err.Arg != 0 {
					t.Errorf("a number as a string: %v", err)
				}
				r.wantSettled(s)
			})
		})
	}
}

func TestCallWantsNoneOrAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := Call[None](context.Background(), s, "a"); err != nil {
				t.Error(err)
			}
			args, err := Call[Args](context.Background(), s, "b")
			var n int
			var x string
			var b []byte
			if err != nil || args.Len() != 3 || args.Scan(&n, &x, &b) != nil || n != 1 || x != "x" || string(b) != "bin" {
				t.Errorf("%d arguments %d %q %q, %v", args.Len(), n, x, b, err)
			}
		}()
		p.want(`420["a"]`)
		p.send(`430[{"what":"ever"}]`)
		p.want(`421["b"]`)
		p.send(`461-1[1,"x",{"_placeholder":true,"num":0}]`)
		p.sendBinary("bin")
		receive(t, done)
		r.wantSettled(s)
	})
}

func TestCallTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{AckTimeout: 7 * time.Second})
		p, s := r.join()
		for _, test := range []struct {
			name     string
			deadline time.Duration // of the context
			to       Callee
			want     time.Duration
			err      error
		}{
			{"default", 0, s, 7 * time.Second, ErrAckTimeout},
			{"default of a selection", 0, r.srv, 7 * time.Second, ErrAckTimeout},
			{"timeout", 0, s.Timeout(3 * time.Second), 3 * time.Second, ErrAckTimeout},
			{"shorter deadline", 2 * time.Second, s, 2 * time.Second, context.DeadlineExceeded},
			{"longer deadline", 9 * time.Second, s, 9 * time.Second, context.DeadlineExceeded},
			{"deadline and timeout", 9 * time.Second, r.srv.Timeout(3 * time.Second), 3 * time.Second, ErrAckTimeout},
		} {
			ctx := context.Background()
			if test.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.deadline)
				defer cancel()
			}
			start := time.Now()
			_, err := Call[int](ctx, test.to, "ask")
			if d := time.Since(start); d != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s: %v after %v, want %v after %v", test.name, err, d, test.err, test.want)
			}
			r.wantSettled(s)
		}
		for id := range 6 {
			p.want(fmt.Sprintf(`42%d["ask"]`, id))  // PINGs are answered on the way
			p.send(fmt.Sprintf(`43%d["late"]`, id)) // ignored
		}
		p.wantNothing()
		if !s.Connected() {
			t.Error("a late answer ends the connection")
		}
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		_, s := r.join()
		cause := errors.New("changed my mind")
		for _, to := range []Callee{s, r.srv} {
			ctx, cancel := context.WithCancelCause(context.Background())
			c := calling(ctx, to)
			synctest.Wait()
			cancel(cause)
			wantErr(t, receive(t, c).err, cause)
			r.wantSettled(s)
		}
	})
}

func TestCallFailsWhenTheSocketLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		for _, to := range []Callee{s, r.srv} {
			c := calling(context.Background(), to)
			synctest.Wait()
			s.Disconnect(false)
			wantFrom(t, c, result{"", ServerDisconnect})
			r.wantSettled(s)
			p.until("41")
			s = p.join("/")
		}
		c := calling(context.Background(), s)
		synctest.Wait()
		p.close()
		wantFrom(t, c, result{"", TransportClose})
		wantFrom(t, calling(context.Background(), s), result{"", TransportClose}) // at once
		wantFrom(t, calling(context.Background(), r.srv), result{"", ErrNoReceivers})
		r.wantSettled(s)
	})
}

func TestCallThatCannotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{WhenFull: DropWhenFull}
		cfg.Engine.SendBuffer = 1024
		r := memory(t, cfg)
		p, s := r.join()
		for _, to := range []Callee{s, r.srv} {
			if err := (<-calling(context.Background(), to, make(chan int))).err; err == nil || errors.Is(err, ErrAckTimeout) {
				t.Errorf("not encodable: %v", err)
			}
			_, err := Call[int](context.Background(), to, "connect")
			wantErr(t, err, ErrReservedEvent)
			r.wantSettled(s)
		}
		big := make([]byte, 2000)
		wantErr(t, (<-calling(context.Background(), s, big)).err, ErrBufferFull)
		wantErr(t, (<-calling(context.Background(), r.srv, big)).err, ErrNoReceivers)
		r.wantSettled(s)
		p.wantNothing()
	})
}

func TestAnswersWithoutUseAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		q, other := r.join()
		c := calling(context.Background(), s)
		p.want(`420["ask"]`)
		q.send(`430["from somebody else"]`)
		p.send(`43["no id"]`, `430`, `431["wrong id"]`)
		wantNone(t, c)
		p.send(`430["yes"]`, `430["again"]`)
		wantFrom(t, c, result{"yes", nil})
		r.wantSettled(s, other)
	})
}

// The client's answer and the end of the wait meet, and buffers must not leak
// either way.
func TestAnswersMeetTheTimeout(t *testing.T) {
	r := loopback(t, Config{})
	p, s := r.join()
	ok := 0
	for i := range 200 {
		c := calling(context.Background(), s.Timeout(100*time.Microsecond))
		p.want(fmt.Sprintf(`42%d["ask"]`, i))
		p.send(fmt.Sprintf(`43%d["yes"]`, i))
		switch got := receive(t, c); {
		case got == result{"yes", nil}:
			ok++
		case got.err != ErrAckTimeout:
			t.Fatal(got.err)
		}
	}
	t.Logf("%d of 200 in time", ok)
}
