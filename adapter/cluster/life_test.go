package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// socket is a receiver that takes everything.
type socket struct {
	adapter.Member
	id  string
	got func(event string)
}

func (s *socket) ID() string               { return s.id }
func (s *socket) Disconnect(bool)          {}
func (s *socket) Info() adapter.SocketInfo { return adapter.SocketInfo{ID: s.id} }
func (s *socket) Deliver(p adapter.Packet, _ adapter.Batch) bool {
	if s.got != nil {
		s.got(p.Event())
	}
	return true
}

func connect(t *testing.T, a *cluster.Adapter, id string, rooms ...string) *socket {
	t.Helper()
	s := &socket{id: id}
	if err := a.Index().Attach(&s.Member, s); err != nil {
		t.Fatal(err)
	}
	if err := a.Index().Connect(&s.Member, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Index().Join(&s.Member, rooms...); err != nil {
		t.Fatal(err)
	}
	return s
}

// acks implements adapter.Acks.
type acks struct {
	mu      sync.Mutex
	counts  []int
	answers []any
	lost    int
}

func (a *acks) Count(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts = append(a.counts, n)
}

func (a *acks) Ack(_ string, v any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = append(a.answers, v)
}

func (a *acks) Lost(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost += n
}

func (a *acks) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.counts)
	return fmt.Sprintf("counts %v answers %v lost %d", a.counts, a.answers, a.lost)
}

func wantCount(t *testing.T, a *cluster.Adapter, want int) {
	t.Helper()
	if n, err := a.ServerCount(t.Context()); n != want || err != nil {
		t.Errorf("%d servers, %v, want %d", n, err, want)
	}
}

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

// The receivers of a server that leaves before they answered are given up; what it says
// after that does not count.
func TestAnswersOfAServerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, newBusDriver(b), cluster.Config{})
		say := func(m cluster.Message) { say(t, a, "other", m) }
		say(cluster.Message{Type: cluster.Heartbeat})
		spy := newBusDriver(b)
		b.set(spy, "all", true)
		collected := new(acks)
		if _, err := a.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Minute}, collected); err != nil {
			t.Fatal(err)
		}
		id := spied(t, spy)
		say(cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "early"})
		say(cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 3})
		say(cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 3})
		say(cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "late"})
		say(cluster.Message{Type: cluster.AdapterClose})
		say(cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "too late"})
		if got := collected.String(); got != "counts [0 3] answers [early late] lost 1" {
			t.Error(got)
		}
	})
}

// say hands a a message in the name of another server.
func say(t *testing.T, a *cluster.Adapter, uid string, m cluster.Message) {
	t.Helper()
	m.UID, m.Namespace = uid, "/"
	p, err := m.EncodeAs(cluster.JSON)
	if err != nil {
		t.Fatal(err)
	}
	in, err := cluster.Decode(p)
	if err != nil {
		t.Fatal(err)
	}
	a.Receive(in)
}

// spied returns the id of the last request that was published to all.
func spied(t *testing.T, spy *busDriver) string {
	t.Helper()
	synctest.Wait()
	m, err := cluster.Decode(spy.inbox[len(spy.inbox)-1])
	if err != nil {
		t.Fatal(err)
	}
	return m.RequestID
}

// Answers beyond what a server announced, and a second answer of the same one, are not
// taken for those of others.
func TestAnswersTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
		spies := []*busDriver{newBusDriver(b), newBusDriver(b)}
		for _, spy := range spies {
			b.set(spy, "all", true)
		}
		collected := new(acks)
		if n, err := a.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Second}, collected); n != 3 || err != nil {
			t.Errorf("%d servers, %v", n, err)
		}
		id := spied(t, spies[0])
		say(t, a, "x", cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 1})
		say(t, a, "x", cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "one"})
		say(t, a, "x", cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "two"})
		say(t, a, "y", cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 1})
		say(t, a, "y", cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "three"})
		if got := collected.String(); got != "counts [0 1 1] answers [one three] lost 0" {
			t.Error(got)
		}

		done := make(chan string)
		go func() {
			answers, err := a.ServerSideCall(t.Context(), "e", nil)
			done <- fmt.Sprint(answers, err)
		}()
		id = spied(t, spies[0])
		say(t, a, "x", cluster.Message{Type: cluster.ServerSideEmitResponse, RequestID: id, Arg: "x"})
		say(t, a, "x", cluster.Message{Type: cluster.ServerSideEmitResponse, RequestID: id, Arg: "x"})
		synctest.Wait()
		say(t, a, "y", cluster.Message{Type: cluster.ServerSideEmitResponse, RequestID: id, Arg: "y"})
		if got := <-done; got != "[x y] <nil>" {
			t.Error(got)
		}
	})
}

// The count goes before the answers, also when clients are faster.
func TestCountGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		far := &testHost{answers: []any{"a", []byte("b")}}
		a := start(t, &testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
		connect(t, start(t, far, countedDriver{newBusDriver(b)}, cluster.Config{}), "x")
		collected := new(acks)
		if n, err := a.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Second}, collected); n != 2 || err != nil {
			t.Errorf("%d servers, %v", n, err)
		}
		synctest.Wait()
		if got := collected.String(); got != "counts [0 2] answers [a [98]] lost 0" {
			t.Error(got)
		}
		types := b.types()
		want := []cluster.Type{cluster.Broadcast, cluster.BroadcastClientCount, cluster.BroadcastAck, cluster.BroadcastAck}
		if !slices.Equal(types, want) {
			t.Errorf("sent %v, want %v", types, want)
		}
	})
}

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

// logLines collects what is logged.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

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

// A server that does not answer is a time-out, with the answers of the others.
func TestRequestsTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, newBusDriver(b), cluster.Config{RequestsTimeout: 3 * time.Second})
		good := &testHost{event: func(ack func(any)) { ack("good") }}
		start(t, good, newBusDriver(b), cluster.Config{})
		start(t, &testHost{}, newBusDriver(b), cluster.Config{}) // never answers
		synctest.Wait()
		begin := time.Now()
		answers, err := a.ServerSideCall(t.Context(), "e", nil)
		if got := fmt.Sprint(answers); got != "[good]" || !errors.Is(err, cluster.ErrTimeout) ||
			!errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("%s, %v after %v", got, err, time.Since(begin))
		}
		if !strings.Contains(err.Error(), "1 of 2") {
			t.Errorf("%v", err)
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
