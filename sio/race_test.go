package sio

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

// The tests in this file are about orders of things that only happen now and
// then.

// A packet can be on its way to a socket, already looked up, while the server
// disconnects the socket.
func TestNoHandlerRunsAfterTheDisconnectHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		called := make(chan string, 2)
		On0(r.srv, "x", func(context.Context, *Socket) error { called <- "x"; return nil })
		r.srv.OnDisconnect(func(*Socket, Reason) { called <- "disconnect" })
		p, s := r.join()
		s.Disconnect(false)
		p.want("41")
		wantFrom(t, called, "disconnect")
		synctest.Wait()
		in, err := codec.JSON.NewDecoder(nil).Text([]byte(`2["x"]`))
		must(t, err)
		s.push(in)
		wantNone(t, called)
		if l := loadOf(s); l.events != 0 || l.bytes != 0 {
			t.Errorf("the dropped event is accounted for: %+v", l)
		}
	})
}

// Pausing is decided by the goroutine that receives, resuming by the one that
// handles. A connection must not end up paused for ever.
func TestReadingAlwaysResumes(t *testing.T) {
	r := loopback(t, Config{QueueEvents: 2})
	On(r.srv, "n", func(context.Context, *Socket, int) error { return nil })
	OnAck0(r.srv, "end", func(context.Context, *Socket) (int, error) { return 1, nil })
	p, s := r.join()
	const batch = 50
	var b []string
	for i := range batch {
		b = append(b, fmt.Sprintf(`42["n",%d]`, i))
	}
	b = append(b, `421["end"]`)
	for range 100 {
		p.together(b...)
		p.want(`431[1]`)
	}
	eventually(t, "reading goes on", func() bool {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		return !s.c.load.held && s.c.load == load{}
	})
}

// Sockets disconnect while they are asked. The others must not be forgotten, and
// nobody may be counted twice.
func TestGatherWhileSocketsLeave(t *testing.T) {
	r := loopback(t, Config{})
	const rounds = 300
	stay, _ := r.clients(4)
	var wg sync.WaitGroup
	for _, p := range stay {
		wg.Go(func() {
			for {
				got, err := p.read(patience)
				if err != nil {
					return
				}
				if id, ok := strings.CutPrefix(got.data, "42"); ok {
					id, _, _ = strings.Cut(id, "[")
					if p.trySend("43"+id+`["here"]`) != nil {
						return
					}
				}
			}
		})
	}
	fickle := r.websocket()
	for round := range rounds {
		fickle.send("40")
		leaving := r.srv.Socket(sidOf(fickle.until("40")))
		lost := round%3 == 2
		if lost {
			go leaving.Conn().Discard("transport close")
		} else {
			go leaving.Disconnect(false)
		}
		here, items := 0, 0
		for a, err := range Gather[string](context.Background(), r.srv.Timeout(patience), "ask") {
			items++
			switch {
			case err == nil && a.Value == "here":
				here++
			case a.ID != leaving.ID():
				t.Fatalf("%v %v", a, err)
			}
		}
		if here != len(stay) || items > len(stay)+1 {
			t.Fatalf("%d of %d answers, %d items", here, len(stay), items)
		}
		if lost {
			fickle = r.websocket()
		} else {
			fickle.until("41")
		}
	}
	for _, p := range stay {
		p.close()
	}
	wg.Wait()
}

// Only one of several answers is sent, and the others leave nothing behind.
func TestConcurrentAcks(t *testing.T) {
	r := loopback(t, Config{})
	clones := make(chan *Message, 1)
	r.srv.Handle("x", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { clones <- m.Clone(); return nil }))
	OnAck0(r.srv, "end", func(context.Context, *Socket) (int, error) { return 1, nil })
	p, _ := r.join()
	for i := range 200 {
		p.send(fmt.Sprintf(`42%d["x"]`, i))
		m := receive(t, clones)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { m.Ack("once") })
		}
		p.want(fmt.Sprintf(`43%d["once"]`, i))
		wg.Wait()
	}
	p.send(`429999["end"]`)
	p.want(`439999[1]`)
}

// An answer may come before the sender has noted that it waits for it.
func TestGatherCountsQuickAnswersOnce(t *testing.T) {
	r := loopback(t, Config{})
	p, s := r.join()
	_, silent := r.join() // so that the wait goes on
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for {
			got, err := p.read(patience)
			if err != nil {
				return
			}
			if id, ok := strings.CutPrefix(got.data, "42"); ok {
				id, _, _ = strings.Cut(id, "[")
				p.trySend("43" + id + `[1]`)
			}
			if strings.HasPrefix(got.data, `42["end"`) {
				return
			}
		}
	}()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() { // somebody else writes to the connection all the time
		for {
			select {
			case <-stop:
				return
			default:
				if s.Conn().Buffered() < 1<<20 { // no more than the client can take
					s.Emit("more")
				}
			}
		}
	})
	for range 50 {
		got := make(map[string]int)
		for a := range Gather[int](context.Background(), r.srv.Timeout(5*time.Millisecond), "ask") {
			got[a.ID]++
		}
		if got[s.ID()] != 1 || got[silent.ID()] != 1 {
			t.Errorf("items by socket: %v, want one each for %s (%v) and %s (%v)", got, s.ID(), s.cause(), silent.ID(), silent.cause())
			break
		}
	}
	close(stop)
	busy.Wait()
	s.Emit("end")
	<-answered
}

// until reads up to a packet that begins like this. What was sent just before a
// disconnect may still come after it.
func (p *peer) until(begin string) string {
	p.t.Helper()
	for {
		if got := p.next().data; strings.HasPrefix(got, begin) {
			return got
		}
	}
}

// sidOf returns the socket id in an answer to CONNECT.
func sidOf(connect string) string {
	_, sid, _ := strings.Cut(connect, `{"sid":"`)
	return strings.TrimSuffix(sid, `"}`)
}

// The client joins again as soon as it is told that it was disconnected.
func TestRejoinAtOnce(t *testing.T) {
	r := loopback(t, Config{})
	p := r.websocket()
	for range 500 {
		p.send("40")
		s := r.srv.Socket(sidOf(p.until("40")))
		done := make(chan struct{})
		go func() { s.Disconnect(false); close(done) }()
		p.want("41")
		p.send("40")
		s = r.srv.Socket(sidOf(p.until("40")))
		<-done
		p.send("41")
	}
}

// A socket that is disconnected while it connects is told in an order that makes
// sense: nothing at all, or CONNECT before DISCONNECT.
func TestDisconnectRacesWithConnect(t *testing.T) {
	r := loopback(t, Config{})
	r.srv.Of("/marker")
	begin := make(chan *Socket)
	r.srv.Use(func(_ context.Context, s *Socket) error { begin <- s; return nil })
	p := r.websocket()
	told := 0
	for range 300 {
		p.send("40")
		receive(t, begin).Disconnect(false)
		eventually(t, "the connect job is over", func() bool { return r.srv.busy.n.Load() == 0 })
		p.send("40/marker,")
		var got []string
		for s := p.next().data; !strings.HasPrefix(s, "40/marker,"); s = p.next().data {
			got = append(got, s[:2])
		}
		p.send("41/marker")
		switch strings.Join(got, " ") {
		case "":
		case "40 41":
			told++
		default:
			t.Fatalf("got %q", got)
		}
	}
	t.Logf("%d of 300 were connected for a moment", told)
}
