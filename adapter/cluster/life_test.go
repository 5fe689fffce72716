package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

func TestServersKnowEachOtherByHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a1 := start(t, &testHost{}, newBusDriver(b), cluster.Config{})
		a2 := start(t, &testHost{}, newBusDriver(b), cluster.Config{})
		synctest.Wait()
		wantCount(t, a1, 2)
		wantCount(t, a2, 2)
		time.Sleep(time.Minute)
		wantCount(t, a1, 2)
		// Some 5 s of silence each, so 12 a minute at least, 16 with a tick's care.
		n := 0
		for _, typ := range b.types() {
			if typ == cluster.Heartbeat {
				n++
			}
		}
		if n < 24 || n > 40 {
			t.Errorf("%d heartbeats in a minute", n)
		}
		if err := a2.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantCount(t, a1, 1)
	})
}

// A server that is not heard of any more is forgotten after 10 s, and whoever waits for
// it goes on with what there is.
func TestSilentServerIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, newBusDriver(b), cluster.Config{})
		alive := start(t, &testHost{}, newBusDriver(b), cluster.Config{})
		connect(t, alive, "x")
		ghost := func(typ cluster.Type) *cluster.Message {
			return &cluster.Message{Type: typ, UID: "ghost", Namespace: "/"}
		}
		a.Receive(ghost(cluster.Heartbeat))
		synctest.Wait()
		wantCount(t, a, 3)
		begin := time.Now()
		time.Sleep(8 * time.Second)

		collected := new(acks)
		servers, err := a.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Minute}, collected)
		if servers != 3 || err != nil {
			t.Errorf("%d servers, %v", servers, err)
		}
		infos, err := a.FetchSockets(t.Context(), adapter.Opts{})
		if len(infos) != 1 || err != nil {
			t.Errorf("fetched %v, %v", infos, err)
		}
		if d := time.Since(begin); d < 10*time.Second || d > 11*time.Second+time.Millisecond {
			t.Errorf("forgotten after %v", d)
		}
		wantCount(t, a, 2)
		synctest.Wait()
		if got := collected.String(); got != "counts [0 0 0] answers [] lost 0" {
			t.Error(got)
		}
	})
}

// What a server that said goodbye has sent before and comes later does not bring it back.
func TestGoodbyeIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, &testHost{}, newBusDriver(newBroker()), cluster.Config{})
		for _, typ := range []cluster.Type{cluster.Heartbeat, cluster.AdapterClose, cluster.Heartbeat} {
			a.Receive(&cluster.Message{Type: typ, UID: "other", Namespace: "/"})
		}
		wantCount(t, a, 1)
	})
}

func TestOwn(t *testing.T) {
	a := cluster.New(&testHost{}, newBusDriver(newBroker()), cluster.Config{})
	for _, f := range []cluster.Format{cluster.JSON, cluster.Msgpack} {
		m := cluster.Message{Type: cluster.Broadcast, UID: a.UID(), Namespace: "/", Event: "e", Args: []any{"uid", a.UID()}}
		own, err := m.EncodeAs(f)
		if err != nil {
			t.Fatal(err)
		}
		m.UID = cluster.NewID()
		other, err := m.EncodeAs(f)
		if err != nil {
			t.Fatal(err)
		}
		if !a.Own(own) || a.Own(other) {
			t.Errorf("format %d: own %t, another's %t", f, a.Own(own), a.Own(other))
		}
	}
}

func TestEmitterIsNoServer(t *testing.T) {
	a := start(t, &testHost{}, newBusDriver(newBroker()), cluster.Config{})
	a.Receive(&cluster.Message{Type: cluster.Heartbeat, UID: cluster.Emitter, Namespace: "/"})
	a.Receive(&cluster.Message{Type: cluster.Heartbeat, UID: "foreign", Namespace: "/other"})
	wantCount(t, a, 1)
}

// A listener may call the other servers, and wait for them.
func TestListenersMayCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		h1, h2 := new(testHost), new(testHost)
		a1 := start(t, h1, newBusDriver(b), cluster.Config{})
		a2 := start(t, h2, newBusDriver(b), cluster.Config{})
		synctest.Wait()
		h1.event = func(ack func(any)) { ack("inner") }
		h2.event = func(ack func(any)) {
			answers, err := a2.ServerSideCall(t.Context(), "again", nil)
			ack([]any{answers, err == nil})
		}
		answers, err := a1.ServerSideCall(t.Context(), "who", nil)
		if got := fmt.Sprint(answers); got != "[[[inner] true]]" || err != nil {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

// A broker that stands still does not hold up Close for long.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := cluster.New(&testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
		if err := a.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		thaw := b.freeze()
		if err := a.ServerSideEmit("e", nil); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		err := a.Close(t.Context())
		if d := time.Since(begin); d > 2500*time.Millisecond {
			t.Errorf("%v after %v", err, d)
		}
		thaw()
	})
}

// After Close nothing is sent, which whoever sends is told, nothing waits, and the index goes on.
func TestClosed(t *testing.T) {
	b := newBroker()
	a := start(t, &testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
	start(t, &testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
	s := connect(t, a, "x")
	n := 0
	s.got = func(string) { n++ }
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := a.Broadcast(packet("e"), adapter.Opts{}); !errors.Is(err, net.ErrClosed) || n != 1 {
		t.Errorf("%v, %d delivered", err, n)
	}
	if err := a.Broadcast(packet("e"), adapter.Opts{Flags: adapter.Local}); err != nil || n != 2 {
		t.Errorf("%v, %d delivered", err, n)
	}
	if servers, err := a.BroadcastWithAck(packet("e"), adapter.Opts{}, &acks{}); !errors.Is(err, net.ErrClosed) || servers != 1 || n != 3 {
		t.Errorf("%v, %d servers, %d delivered", err, servers, n)
	}
	for what, err := range map[string]error{
		"join":       a.AddSockets(adapter.Opts{}, []string{"r"}),
		"leave":      a.DelSockets(adapter.Opts{}, []string{"r"}),
		"disconnect": a.DisconnectSockets(adapter.Opts{}, false),
		"server":     a.ServerSideEmit("e", nil),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if infos, err := a.FetchSockets(t.Context(), adapter.Opts{}); len(infos) != 1 || err != nil {
		t.Errorf("%v, %v", infos, err)
	}
	if answers, err := a.ServerSideCall(t.Context(), "e", nil); answers != nil || err != nil {
		t.Errorf("%v, %v", answers, err)
	}
	wantCount(t, a, 1)
}
