package sio

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/codec"
)

// TestBroadcastsAgainstAModel sends random selections and compares who got them
// with what a few lines of set arithmetic say.
func TestBroadcastsAgainstAModel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		const n, rounds = 12, 400
		rng := rand.New(rand.NewPCG(1, 2))
		rooms := []string{"a", "b", "c", "d"}
		peers, sockets := r.clients(n)
		in := make([]map[string]bool, n) // the model: rooms by socket
		names := slices.Clone(rooms)
		for i, s := range sockets {
			in[i] = map[string]bool{s.ID(): true}
			if i < 3 {
				names = append(names, s.ID()) // own-id rooms may be named, too
			}
		}
		pick := func(most int) []string {
			var some []string
			for range rng.IntN(most + 1) {
				some = append(some, names[rng.IntN(len(names))])
			}
			return some
		}
		anyOf := func(i int, some []string) bool {
			return slices.ContainsFunc(some, func(room string) bool { return in[i][room] })
		}
		want := make([][]string, n)
		for round := range rounds {
			// Change something, sometimes somebody else's own-id room.
			i, room := rng.IntN(n), names[rng.IntN(len(names))]
			if rng.IntN(2) == 0 {
				must(t, sockets[i].Join(room))
				in[i][room] = true
			} else {
				sockets[i].Leave(room)
				delete(in[i], room)
			}

			to, except := pick(5), pick(2)
			sel, sender := r.srv.All(), -1
			if rng.IntN(3) == 0 {
				sender = rng.IntN(n)
				sel = sockets[sender].Broadcast()
			}
			for i, room := range to { // one by one and together
				if i%2 == 0 {
					sel = sel.To(room)
				} else {
					sel = sel.In(to[i:]...)
					break
				}
			}
			sel = sel.Except(except...)
			if rng.IntN(3) == 0 {
				sel = sel.Local()
			}
			for i := range n {
				if (len(to) == 0 || anyOf(i, to)) && !anyOf(i, except) && (sender < 0 || !in[i][sockets[sender].ID()]) {
					want[i] = append(want[i], fmt.Sprintf(`42["n",%d]`, round))
				}
			}
			got := make(map[*Socket]bool)
			for s := range sel.Sockets() {
				got[s] = true
			}
			for i, s := range sockets {
				last := fmt.Sprintf(`42["n",%d]`, round)
				if selected := slices.Contains(want[i], last); selected != got[s] {
					t.Fatalf("round %d: Sockets has %d: %v, want %v", round, i, got[s], selected)
				}
			}
			must(t, sel.Emit("n", round))
		}
		for i, p := range peers {
			p.want(want[i]...)
			p.wantNothing()
			rooms := sockets[i].Rooms()
			if slices.Sort(rooms); !slices.Equal(rooms, slices.Sorted(maps.Keys(in[i]))) {
				t.Errorf("rooms %q, want %q", rooms, slices.Sorted(maps.Keys(in[i])))
			}
		}
	})
}

// counted counts how often it is encoded.
type counted struct{ n *atomic.Int32 }

func (c counted) MarshalJSON() ([]byte, error) { c.n.Add(1); return []byte(`"x"`), nil }

func TestBroadcastsAreEncodedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		var n atomic.Int32
		c := counted{&n}
		f, err := codec.JSON.EncodeEvent("/", -1, "e", []any{c})
		must(t, err)
		f.Release()
		once := n.Swap(0) // the JSON library encodes twice in race builds
		wantCount := func(what string, want int32) {
			t.Helper()
			if got := n.Swap(0); got != want {
				t.Errorf("%s: encoded %d times, want %d", what, got, want)
			}
		}
		must(t, r.srv.Emit("e", c))
		wantCount("without sockets", 0)
		peers, sockets := r.clients(10)
		poller := r.polling()
		poller.join("/")
		must(t, r.srv.Emit("e", c))
		wantCount("to all, on both transports", once)
		must(t, r.srv.To("empty").Emit("e", c))
		wantCount("to an empty room", 0)
		must(t, sockets[0].To("empty", "unknown").Emit("e", c))
		wantCount("to empty rooms", 0)
		must(t, r.srv.To(sockets[1].ID(), sockets[2].ID()).Emit("e", c))
		wantCount("to two", once)
		must(t, r.srv.Of("/other").Emit("e", c))
		wantCount("to a namespace without sockets", 0)
		peers[0].want(`42["e","x"]`)
		poller.want(`42["e","x"]`)
	})
}

func TestBroadcastThatCannotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		wantErr(t, r.srv.Emit("connect"), ErrReservedEvent) // also when nobody listens
		p, _ := r.join()
		if err := r.srv.Emit("bad", make(chan int)); err == nil {
			t.Error("a channel was encoded")
		}
		wantErr(t, r.srv.Emit("connect"), ErrReservedEvent)
		p.wantNothing()
	})
}

// One goroutine's emits and broadcasts reach every socket in the order of the
// calls, whatever the transport.
func TestOrderOfEmitsAndBroadcasts(t *testing.T) {
	r := loopback(t, Config{})
	const n = 600
	p, s := r.join()
	q := r.polling()
	o := q.join("/")
	must(t, r.srv.To(s.ID(), o.ID()).Join("room"))
	var wg sync.WaitGroup
	wg.Go(func() { // other traffic
		for range n {
			r.srv.To("nobody").Emit("x")
			r.srv.Volatile().To("nobody").Emit("x")
		}
	})
	wg.Go(func() {
		for i := range n {
			switch i % 4 {
			case 0:
				s.Emit("n", i)
				o.Emit("n", i)
			case 1:
				r.srv.Emit("n", i)
			case 2:
				r.srv.To("room").Emit("n", i, []byte{1})
			case 3:
				r.srv.To(s.ID(), o.ID()).Emit("n", i)
			}
		}
	})
	for _, p := range []*peer{p, q} {
		for i := range n {
			if i%4 == 2 {
				p.want(fmt.Sprintf(`451-["n",%d,{"_placeholder":true,"num":0}]`, i))
				p.wantBinary("\x01")
				continue
			}
			p.want(fmt.Sprintf(`42["n",%d]`, i))
		}
	}
	wg.Wait()
}

// Packets of many goroutines never mix with each other's attachments.
func TestPacketsStayTogether(t *testing.T) {
	r := loopback(t, Config{})
	p, s := r.join()
	const senders, each = 4, 100
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for range each {
				b := []byte(strings.Repeat(string(rune('a'+i)), 3))
				if i%2 == 0 {
					s.Emit("b", i, b, b)
				} else {
					r.srv.Emit("b", i, b, b)
				}
			}
		})
	}
	for range senders * each {
		var i int
		text := p.next().data
		if _, err := fmt.Sscanf(text, `452-["b",%d,{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, &i); err != nil {
			t.Fatalf("got %q: %v", text, err)
		}
		b := strings.Repeat(string(rune('a'+i)), 3)
		p.wantBinary(b)
		p.wantBinary(b)
	}
	wg.Wait()
}

func TestVolatile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		q := r.polling()
		o := q.join("/")
		// The WebSocket is idle, no poll is parked.
		must(t, r.srv.Volatile().Emit("a", []byte("x")))
		p.want(`451-["a",{"_placeholder":true,"num":0}]`)
		p.wantBinary("x")
		must(t, s.Volatile().Emit("b"))
		p.want(`42["b"]`)
		wantErr(t, o.Volatile().Emit("c"), ErrDropped)
		must(t, o.Emit("d"))
		q.want(`42["d"]`) // neither a nor c

		// A parked poll takes one.
		got := make(chan packet, 1)
		go func() {
			pk, err := q.read(patience)
			if err != nil {
				t.Error(err)
			}
			got <- pk
		}()
		synctest.Wait()
		must(t, o.Volatile().Emit("e"))
		wantFrom(t, got, packet{data: `42["e"]`})
		wantErr(t, o.Volatile().Emit("f"), ErrDropped)

		// A client that does not read: nothing volatile waits, nothing regular is lost.
		big := strings.Repeat("x", 128<<10)
		sent := 0
		for ; s.Conn().Buffered() == 0 && sent < 100; sent++ {
			must(t, s.Emit("big", big))
			synctest.Wait()
		}
		wantErr(t, s.Volatile().Emit("g"), ErrDropped)
		must(t, r.srv.Volatile().Emit("h"))
		for range sent {
			p.want(`42["big","` + big + `"]`)
		}
		p.wantNothing()
		must(t, s.Volatile().Emit("i"))
		p.want(`42["i"]`)
	})
}
