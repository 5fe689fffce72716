package sio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
)

func TestShutdownDrains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var closedAdapters atomic.Int32
		r := memory(t, Config{Adapter: func(adapter.Host) adapter.Adapter {
			return &watchedAdapter{adapter.NewMemory(adapter.Config{}), func() { closedAdapters.Add(1) }}
		}})
		r.srv.Of("/other")
		open, let := make(chan struct{}), make(chan struct{})
		gone := make(chan Reason, 2)
		OnAck0(r.srv, "slow", func(ctx context.Context, s *Socket) (string, error) {
			<-open
			if ctx.Err() != nil {
				t.Error("cut off while draining")
			}
			return "done", s.Emit("also")
		})
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) {
			<-let
			gone <- reason
		})
		p, _ := r.join()
		q := r.polling()
		q.join("/")
		p.send(`421["slow"]`)
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- r.srv.Shutdown(context.Background()) }()
		wantNone(t, done)

		// Nothing new meanwhile.
		if nc, err := r.dial(); err == nil {
			nc.Close()
			t.Error("a new connection was accepted")
		}
		wantNone(t, done)
		close(open)
		p.want(`42["also"]`, `431["done"]`)
		p.wantEnd()
		got, err := q.read(patience)
		if err == nil && got.data != "1" {
			t.Errorf("got %v", got)
		}
		time.Sleep(time.Minute) // longer than anything else may take
		wantNone(t, done)       // before the disconnect handlers have returned
		close(let)
		wantFrom(t, gone, ServerShutdown, ServerShutdown)
		wantFrom(t, done, nil)
		if n := closedAdapters.Load(); n != 2 {
			t.Errorf("%d adapters were closed, want 2", n)
		}
		must(t, r.srv.Shutdown(context.Background())) // again
		must(t, r.srv.Close())
	})
}

func TestShutdownRefusesHandshakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, _ := r.join()
		r.srv.Engine().Refuse()
		rec := newRecorder()
		req, err := http.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil)
		must(t, err)
		r.srv.ServeHTTP(rec, req)
		if rec.status != http.StatusServiceUnavailable {
			t.Errorf("handshake answered with %d", rec.status)
		}
		p.send("41")
		p.join("/") // existing connections go on as before
	})
}

// recorder is an http.ResponseWriter.
type recorder struct {
	header http.Header
	status int
}

func newRecorder() *recorder                    { return &recorder{header: http.Header{}} }
func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(s int)           { r.status = s }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

func TestShutdownHasADeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		causes := make(chan error, 1)
		On0(r.srv, "stuck", func(ctx context.Context, s *Socket) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil
		})
		p, _ := r.join()
		p.send(`42["stuck"]`)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := r.srv.Shutdown(ctx)
		if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != 3*time.Second {
			t.Errorf("%v after %v", err, d)
		}
		wantFrom(t, causes, error(ServerShutdown))
		p.wantEnd()
	})
}

func TestCloseEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		causes := make(chan error, 1)
		gone := make(chan Reason, 1)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
		On0(r.srv, "stuck", func(ctx context.Context, s *Socket) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil
		})
		p, _ := r.join()
		p.send(`42["stuck"]`)
		synctest.Wait()
		start := time.Now()
		must(t, r.srv.Close())
		wantFrom(t, causes, error(ServerShutdown))
		wantFrom(t, gone, ServerShutdown)
		if d := time.Since(start); d != 0 {
			t.Errorf("closing took %v", d)
		}
		p.wantEnd()
		must(t, r.srv.Close())
	})
}

func TestConcurrentShutdowns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.clients(3)
		done := make(chan error, 4)
		for range 4 {
			go func() { done <- r.srv.Shutdown(context.Background()) }()
		}
		wantFrom(t, done, nil, nil, nil, nil)
		wantErr(t, r.srv.ListenAndServe("127.0.0.1:0"), ErrServerClosed)
	})
}

func TestUnusedServerCloses(t *testing.T) {
	srv, err := New(Config{})
	must(t, err)
	must(t, srv.Close())
	must(t, srv.Shutdown(context.Background()))
}

func TestMaxConns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{}
		cfg.Engine.MaxConns = 2
		r := memory(t, cfg)
		p, _ := r.join()
		r.polling()
		_, resp := r.knock("", "")
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("answered with %s", resp.Status)
		}
		resp, err := r.http.Get("http://memory/socket.io/?EIO=4&transport=polling")
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("answered with %s", resp.Status)
		}
		p.close()
		synctest.Wait()
		r.join() // makes room
	})
}

// Clients that always have something to ask do not keep the server from ending: what comes in from then on is not handled,
// and what is handled is answered.
func TestShutdownOfABusyServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 5
		r := memory(t, Config{})
		handled := make([]int, n)
		OnAck(r.srv, "x", func(_ context.Context, _ *Socket, i int) (int, error) {
			time.Sleep(10 * time.Millisecond)
			handled[i]++
			return i, nil
		})
		answers := make([]int, n)
		peers, _ := r.clients(n)
		var clients sync.WaitGroup
		for i, p := range peers {
			ask := fmt.Sprintf(`421["x",%d]`, i)
			p.send(ask)
			clients.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond) // never all of them are idle
				for {
					got, err := p.read(patience)
					if err != nil {
						return
					}
					if got.data != "2" {
						answers[i]++
					}
					if p.trySend(ask) != nil {
						return
					}
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		must(t, r.srv.Shutdown(ctx))
		clients.Wait()
		for i := range n {
			if handled[i] == 0 || handled[i] != answers[i] {
				t.Errorf("client %d: %d handled, %d answered", i, handled[i], answers[i])
			}
		}
	})
}
