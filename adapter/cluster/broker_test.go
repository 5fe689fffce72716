package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// A message for rooms without members here is not decoded, and one with
// acknowledgements is answered all the same.
func TestNothingIsDecodedForNobody(t *testing.T) {
	h := new(testHost)
	a := start(t, h, newBusDriver(newBroker()), cluster.Config{})
	m, err := cluster.Decode([]byte(`{"type":3,"uid":"u","nsp":"/","data":{"packet":{"type":2,"data":["e"]},"opts":{"rooms":["r"],"except":[]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	a.Receive(m)
	if got := h.got(); len(got) != 0 {
		t.Errorf("delivered %q", got)
	}
	connect(t, a, "x", "r")
	a.Receive(m)
	if got := h.got(); len(got) != 1 {
		t.Errorf("delivered %q", got)
	}
}

// While the broker is away, sockets of this server get everything at once, requests end
// with what there is, and what others missed for too long is reported. Later everything
// goes on.
func TestBrokerAway(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprint("frozen=", frozen), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker()
				logged := new(logLines)
				far := new(testHost)
				a := start(t, &testHost{log: logged.logger()}, countedDriver{newBusDriver(b)}, cluster.Config{})
				connect(t, start(t, far, countedDriver{newBusDriver(b)}, cluster.Config{}), "far")
				s := connect(t, a, "near")
				var near []string
				s.got = func(e string) { near = append(near, e) }
				thaw := func() { b.fail(nil) }
				if frozen {
					thaw = b.freeze()
				} else {
					b.fail(errBroker)
				}

				begin := time.Now()
				for _, e := range []packet{"1", "2"} {
					if err := a.Broadcast(e, adapter.Opts{}); err != nil {
						t.Error(err)
					}
				}
				if got := fmt.Sprint(near); got != "[1 2]" || time.Since(begin) != 0 {
					t.Errorf("delivered %s after %v", got, time.Since(begin))
				}
				infos, err := a.FetchSockets(t.Context(), adapter.Opts{})
				if len(infos) != 1 || err == nil || time.Since(begin) > 2*time.Second {
					t.Errorf("fetched %v, %v after %v", infos, err, time.Since(begin))
				}
				begin = time.Now()
				collected := new(acks)
				servers, err := a.BroadcastWithAck(packet("3"), adapter.Opts{Timeout: time.Second}, collected)
				if servers < 2 || err != nil || time.Since(begin) > time.Second {
					t.Errorf("%d servers, %v after %v", servers, err, time.Since(begin))
				}
				time.Sleep(10 * time.Second)
				if l := logged.String(); !strings.Contains(l, "messages to other servers lost") {
					t.Errorf("logged %q", l)
				}
				if got := far.got(); len(got) != 0 {
					t.Errorf("far away: %q", got)
				}
				if err := a.Broadcast(packet("4"), adapter.Opts{}); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
				thaw()
				time.Sleep(time.Second)
				if got := fmt.Sprint(far.got()); got != "[4]" {
					t.Errorf("far away: %s, want what was not too old", got)
				}
			})
		})
	}
}

// The queue is bounded, and whoever sends is told.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		thaw := b.freeze()
		a := start(t, &testHost{}, newBusDriver(b), cluster.Config{QueueBytes: 4096})
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			err = a.ServerSideEmit("e", []any{strings.Repeat("x", 100)})
		}
		if !errors.Is(err, cluster.ErrQueueFull) || n < 5 || n > 20 {
			t.Errorf("%v after %d messages", err, n)
		}
		thaw()
		synctest.Wait()
		if err := a.ServerSideEmit("e", []any{strings.Repeat("x", 100)}); err != nil {
			t.Error(err)
		}
		// One that alone is larger than the queue goes when there is nothing else.
		synctest.Wait()
		if err := a.ServerSideEmit("e", []any{strings.Repeat("x", 10000)}); err != nil {
			t.Error(err)
		}
	})
}

// A value that cannot be encoded is the sender's error.
func TestEncodingFails(t *testing.T) {
	a := start(t, &testHost{}, newBusDriver(newBroker()), cluster.Config{})
	if err := a.ServerSideEmit("e", []any{func() {}}); err == nil {
		t.Error("no error")
	}
}

// Subscriptions to rooms follow the index, whatever the broker does meanwhile.
func TestRoomsAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
		s := connect(t, a, "x", "r1", "r2")
		if err := a.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := func(n1, n2, n3 int) {
			t.Helper()
			if g1, g2, g3 := b.subscribers("room r1"), b.subscribers("room r2"), b.subscribers("room r3"); g1 != n1 || g2 != n2 || g3 != n3 {
				t.Errorf("subscribers %d %d %d, want %d %d %d", g1, g2, g3, n1, n2, n3)
			}
		}
		want(1, 1, 0)
		b.fail(errBroker)
		a.Index().Leave(&s.Member, "r1")
		if err := a.Index().Join(&s.Member, "r3"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want(1, 1, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Synced(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("synced: %v", err)
		}
		a.Index().Leave(&s.Member, "r2")
		if err := a.Index().Join(&s.Member, "r2"); err != nil {
			t.Fatal(err)
		}
		b.fail(nil)
		if err := a.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(0, 1, 1)
	})
}
