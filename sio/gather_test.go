package sio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// item is what a Gather yielded for one socket.
type item struct {
	v   int
	err error
}

// gathering starts a Gather of all and returns its items by socket id.
func gatheringAll(ctx context.Context, t *testing.T, to Callee) <-chan map[string]item {
	c := make(chan map[string]item, 1)
	go func() {
		got := make(map[string]item)
		for a, err := range Gather[int](ctx, to, "ask") {
			if _, twice := got[a.ID]; twice {
				t.Errorf("%q came twice", a.ID)
			}
			got[a.ID] = item{a.Value, err}
		}
		c <- got
	}()
	return c
}

func wantItems(t *testing.T, c <-chan map[string]item, want map[string]item) {
	t.Helper()
	if got := receive(t, c); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGather(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		peers, s := r.clients(4)
		must(t, r.srv.To(s[0].ID(), s[1].ID(), s[2].ID()).Join("voters"))
		must(t, s[1].Join("bots"))
		c := gatheringAll(context.Background(), t, r.srv.To("voters").Except("bots"))
		for _, i := range []int{0, 2} {
			peers[i].want(`420["ask"]`)
			peers[i].send(fmt.Sprintf(`430[%d,"more"]`, i+10))
		}
		wantItems(t, c, map[string]item{s[0].ID(): {v: 10}, s[2].ID(): {v: 12}})
		r.wantSettled(s...)

		c = gatheringAll(context.Background(), t, s[3].To("voters")) // one id for all
		for i := range 3 {
			peers[i].want(`421["ask"]`)
			peers[i].send(`431[1]`)
		}
		wantItems(t, c, map[string]item{s[0].ID(): {v: 1}, s[1].ID(): {v: 1}, s[2].ID(): {v: 1}})
		peers[3].wantNothing()
		r.wantSettled(s...)
	})
}

func TestGatherOfEveryKindOfFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		peers, s := r.clients(5)
		start := time.Now()
		c := gatheringAll(context.Background(), t, r.srv.Timeout(5*time.Second))
		for i, p := range peers {
			p.want(`420["ask"]`)
			switch i {
			case 0:
				p.send(`430[1]`)
			case 1:
				p.send(`430["no number"]`)
			case 2:
				p.close()
			case 3:
				s[3].Disconnect(false)
			}
		}
		got := receive(t, c)
		if err, ok := errors.AsType[*codec.DecodeError](got[s[1].ID()].err); !ok {
			t.Errorf("no number: %v", err)
		}
		got[s[1].ID()] = item{}
		if want := (map[string]item{
			s[0].ID(): {v: 1}, s[1].ID(): {}, s[2].ID(): {err: TransportClose},
			s[3].ID(): {err: ServerDisconnect}, s[4].ID(): {err: ErrAckTimeout},
		}); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("took %v", d)
		}
		r.wantSettled(s...)
		peers[4].send(`430[1]`) // late
		peers[4].wantNothing()
	})
}

// silentServer is an adapter that has asked one more server, which does not even count.
type silentServer struct{ *adapter.Memory }

func (a silentServer) BroadcastWithAck(p adapter.Packet, o adapter.Opts, acks adapter.Acks) (int, error) {
	n, err := a.Memory.BroadcastWithAck(p, o, acks)
	return n + 1, err
}

func TestGatherFromAServerThatIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Adapter: func(adapter.Host) adapter.Adapter {
			return silentServer{adapter.NewMemory(adapter.Config{})}
		}})
		p, s := r.join()
		start := time.Now()
		c := gatheringAll(context.Background(), t, r.srv.Timeout(time.Second))
		p.want(`420["ask"]`)
		p.send(`430[7]`)
		wantItems(t, c, map[string]item{s.ID(): {v: 7}, "": {err: ErrAckTimeout}})
		if d := time.Since(start); d != time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestGatherFromNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		start := time.Now()
		wantItems(t, gatheringAll(context.Background(), t, r.srv), map[string]item{})
		_, s := r.join()
		wantItems(t, gatheringAll(context.Background(), t, r.srv.To("empty")), map[string]item{})
		wantItems(t, gatheringAll(context.Background(), t, s.Broadcast()), map[string]item{})
		wantItems(t, gatheringAll(context.Background(), t, r.srv.Of("/t/{id}")), map[string]item{})
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v for nobody", d)
		}
		r.wantSettled(s)
	})
}

func TestGatherStopsEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		peers, s := r.clients(3)
		first := make(chan string, 1)
		go func() {
			for a := range Gather[int](context.Background(), r.srv, "ask") {
				first <- a.ID
				break
			}
		}()
		synctest.Wait()
		peers[1].send(`430[1]`)
		wantFrom(t, first, s[1].ID())
		r.wantSettled(s...)
		peers[0].send(`430[1]`) // nobody asks any more
		c := calling(context.Background(), r.srv)
		synctest.Wait()
		peers[2].send(`431["first"]`) // Call takes the first good one
		wantFrom(t, c, result{"first", nil})
		r.wantSettled(s...)
	})
}

func TestCallOfASelectionWantsOneGoodAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		peers, s := r.clients(3)
		c := calling(context.Background(), r.srv)
		synctest.Wait()
		peers[0].send(`430[1]`) // not a string
		peers[1].close()
		wantNone(t, c)
		peers[2].send(`430["good"]`)
		wantFrom(t, c, result{"good", nil})
		r.wantSettled(s...)
	})
}

func TestGatherEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		peers, s := r.clients(2)
		ctx, cancel := context.WithCancel(context.Background())
		c := gatheringAll(ctx, t, r.srv)
		synctest.Wait()
		peers[0].send(`430[3]`)
		synctest.Wait()
		cancel()
		got := receive(t, c)
		if len(got) != 2 || got[s[0].ID()].v != 3 || !errors.Is(got[""].err, context.Canceled) {
			t.Errorf("got %v", got)
		}
		r.wantSettled(s...)
	})
}

func TestGatherFromChildren(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		parent := r.srv.Of("/t/{id}")
		p := r.websocket()
		a, b := p.join("/t/1"), p.join("/t/2")
		c := gatheringAll(context.Background(), t, parent)
		for range 2 {
			switch got := p.next().data; got {
			case `42/t/1,0["ask"]`:
				p.send(`43/t/1,0[1]`)
			case `42/t/2,0["ask"]`:
				p.send(`43/t/2,0[2]`)
			default:
				t.Fatalf("got %q", got)
			}
		}
		wantItems(t, c, map[string]item{a.ID(): {v: 1}, b.ID(): {v: 2}})
		r.wantSettled(a, b)
	})
}
