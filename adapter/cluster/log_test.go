package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
	"github.com/epio-go/epio/adapter/cluster"
)

// journal is the log of a broker within the process, and its store of sessions. Offsets
// are places, from 1.
type journal struct {
	mu       sync.Mutex
	change   sync.Cond // entries or a reader's end
	entries  []logEntry
	sessions map[string][]byte
	hidden   int // entries at the end that nobody can read yet
	swallow  int // so many of the next entries get lost
}

type logEntry struct {
	typ    cluster.Type
	uid    string
	data   []byte
	format cluster.Format
}

func newJournal() *journal {
	j := &journal{sessions: make(map[string][]byte)}
	j.change.L = &j.mu
	return j
}

// logDriver is a busDriver with a journal. Entries and messages come from two goroutines,
// which is one more than drivers may have; here their order does not matter.
type logDriver struct {
	countedDriver
	j      *journal
	log    *cluster.Logged
	reader sync.WaitGroup
	closed bool   // guarded by j.mu
	ranged func() // called when Range has read everything; may be nil
}

func newLogDriver(b *broker, j *journal) *logDriver {
	return &logDriver{countedDriver: countedDriver{newBusDriver(b)}, j: j}
}

// Rooms are not to have channels here.
func (d *logDriver) HasChannel(string) bool { return false }

func (d *logDriver) EnableRecovery(adapter.RecoveryConfig) {}

func (d *logDriver) Open(ctx context.Context, a *cluster.Adapter) error {
	d.log = a.Log()
	d.j.mu.Lock()
	at := len(d.j.entries)
	d.j.mu.Unlock()
	d.log.BeginAt(strconv.Itoa(at))
	d.reader.Go(func() { d.read(at) })
	return d.countedDriver.Open(ctx, a)
}

func (d *logDriver) Close(ctx context.Context) error {
	d.j.mu.Lock()
	d.closed = true
	d.j.change.Broadcast()
	d.j.mu.Unlock()
	d.reader.Wait()
	return d.countedDriver.Close(ctx)
}

func (d *logDriver) read(at int) {
	for {
		d.j.mu.Lock()
		for at >= len(d.j.entries)-d.j.hidden && !d.closed {
			d.j.change.Wait()
		}
		if d.closed {
			d.j.mu.Unlock()
			return
		}
		e := d.j.entries[at]
		d.j.mu.Unlock()
		at++
		d.log.ReceiveLogged(strconv.Itoa(at), e.message(), e.data)
	}
}

func (e *logEntry) message() *cluster.Message {
	m := &cluster.Message{Type: e.typ, UID: e.uid, Namespace: "/adaptertest"}
	if err := m.DecodeData(e.data); err != nil {
		panic(err)
	}
	return m
}

func (d *logDriver) Encode(m *cluster.Message) (cluster.Parcel, error) {
	if !m.InLog() {
		p := cluster.Parcel{Dest: "all"}
		if m.To != "" {
			p.Dest = "node " + m.To
		}
		var err error
		p.Data, err = m.EncodeAs(cluster.Msgpack)
		return p, err
	}
	p := cluster.Parcel{}
	var err error
	p.Data, p.Format, err = m.EncodeData()
	return p, err
}

func (d *logDriver) Publish(ctx context.Context, ps []cluster.Parcel) (int, int, error) {
	if err := d.b.wait(ctx); err != nil {
		return 0, 0, err
	}
	for i := range ps {
		if ps[i].Dest != "" {
			d.b.publish(ps[i].Dest, ps[i].Data)
			continue
		}
		d.j.mu.Lock()
		if d.j.swallow > 0 {
			d.j.swallow--
		} else {
			d.j.entries = append(d.j.entries, logEntry{ps[i].Type, d.a.UID(), ps[i].Data, ps[i].Format})
		}
		d.j.change.Broadcast()
		d.j.mu.Unlock()
	}
	return len(ps), 0, nil
}

func (d *logDriver) Compare(a, b string) (int, bool) {
	x, err1 := strconv.ParseUint(a, 10, 32)
	y, err2 := strconv.ParseUint(b, 10, 32)
	return int(x) - int(y), err1 == nil && err2 == nil
}

func (d *logDriver) Range(_ context.Context, from string, f func(string, *cluster.Message) bool) error {
	n, err := strconv.ParseUint(from, 10, 32)
	d.j.mu.Lock()
	entries := slices.Clone(d.j.entries)
	d.j.mu.Unlock()
	if err != nil || int(n) > len(entries) {
		return adapter.ErrOffset
	}
	for i := int(n); i < len(entries); i++ {
		if !f(strconv.Itoa(i+1), entries[i].message()) {
			break
		}
	}
	if d.ranged != nil {
		d.ranged()
	}
	return nil
}

func (d *logDriver) StoreSession(_ context.Context, pid string, p []byte, _ time.Duration) error {
	d.j.mu.Lock()
	defer d.j.mu.Unlock()
	d.j.sessions[pid] = p
	return nil
}

func (d *logDriver) TakeSession(_ context.Context, pid string) ([]byte, error) {
	d.j.mu.Lock()
	defer d.j.mu.Unlock()
	p := d.j.sessions[pid]
	delete(d.j.sessions, pid)
	return p, nil
}

func TestRecoveryContract(t *testing.T) {
	adaptertest.Run(t, adaptertest.Config{
		Servers: 3,
		Evicts:  true,
		New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
			b, j := newBroker(), newJournal()
			var as []adapter.Adapter
			for _, h := range hosts {
				l := cluster.NewLogged(h, newLogDriver(b, j), cluster.Config{})
				initialize(t, l.Adapter)
				as = append(as, l)
			}
			return as
		},
		NewRecovery: func(t *testing.T, hosts []adapter.RecoveryHost, c adapter.RecoveryConfig) []adapter.Adapter {
			b, j := newBroker(), newJournal()
			var as []adapter.Adapter
			for _, h := range hosts {
				as = append(as, logged(t, h, b, j, c))
			}
			return as
		},
	})
}

// logged makes an adapter with recovery.
func logged(t *testing.T, h adapter.RecoveryHost, b *broker, j *journal, c adapter.RecoveryConfig) *cluster.Logged {
	t.Helper()
	l := cluster.NewLogged(h, newLogDriver(b, j), cluster.Config{})
	if err := l.EnableRecovery(h, c); err != nil {
		t.Fatal(err)
	}
	initialize(t, l.Adapter)
	return l
}

// logHost notes what reaches its sockets, with offsets.
type logHost struct {
	testHost
	lines []string    // guarded by mu
	evict func() bool // nil: there is no such session
}

func (h *logHost) Namespace() string { return "/adaptertest" }

func (h *logHost) BroadcastLocal(event string, _ []any, _ adapter.Opts, _ func(string, any)) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, event)
	return 1
}

func (h *logHost) BroadcastLogged(event string, _ []any, _ adapter.Opts, offset string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, event+"@"+offset)
	return 1
}

func (h *logHost) Evict(context.Context, string) bool { return h.evict != nil && h.evict() }

func (h *logHost) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	got := strings.Join(h.lines, " ")
	h.lines = nil
	return got
}

func logPair(t *testing.T) (j *journal, b *broker, as [2]*cluster.Logged, hs [2]*logHost) {
	t.Helper()
	j, b = newJournal(), newBroker()
	for i := range as {
		hs[i] = new(logHost)
		as[i] = logged(t, hs[i], b, j, adapter.RecoveryConfig{LogPackets: 3, LogBytes: 1 << 20, MaxDisconnection: time.Minute})
		connect(t, as[i].Adapter, fmt.Sprint("socket", i), "r")
	}
	return j, b, as, hs
}

func send(t *testing.T, a *cluster.Logged, events ...packet) {
	t.Helper()
	for _, e := range events {
		if err := a.Broadcast(e, adapter.Opts{}); err != nil {
			t.Error(err)
		}
	}
}

func wantLines(t *testing.T, h *logHost, want string) {
	t.Helper()
	if got := h.take(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A server that is storing a session while another one looks for it may be done, and know nothing of it any more, when it
// is asked; or it is gone by then, and does not answer.
func TestSessionStoredMeanwhile(t *testing.T) {
	for name, silence := range map[string]time.Duration{"done": 0, "gone": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, as, hs := logPair(t)
				hs[1].evict = func() bool {
					if err := as[1].PersistSession(t.Context(), &adapter.Session{SID: "s", PID: "p"}); err != nil {
						t.Error(err)
					}
					time.Sleep(silence)
					return false
				}
				if s, err := as[0].RestoreSession(t.Context(), "p"); err != nil || s.SID != "s" {
					t.Errorf("%+v, %v", s, err)
				}
			})
		})
	}
}

// While the log cannot be reached sockets here are served within 2 s, without offsets and
// in order, and not once more when the log has taken it in the end.
func TestLogOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, as, hs := logPair(t)
		thaw := b.freeze()
		send(t, as[0], "1", "2")
		time.Sleep(time.Second)
		send(t, as[0], "3")
		wantLines(t, hs[0], "")
		time.Sleep(990 * time.Millisecond)
		wantLines(t, hs[0], "1 2")
		time.Sleep(time.Second)
		wantLines(t, hs[0], "3")
		send(t, as[0], "4")
		thaw()
		time.Sleep(100 * time.Millisecond)
		wantLines(t, hs[0], "4@4")
		wantLines(t, hs[1], "1@1 2@2 3@3 4@4")
		time.Sleep(time.Minute)
		wantLines(t, hs[0], "")
	})
}

// stuckHost takes its time for one event.
type stuckHost struct {
	logHost
	goOn chan struct{}
}

func (h *stuckHost) BroadcastLocal(event string, args []any, o adapter.Opts, ack func(string, any)) int {
	if event == "stuck" {
		<-h.goOn
	}
	return h.logHost.BroadcastLocal(event, args, o, ack)
}

// What could not be delivered for so long that it would be forgotten, since the process stood still, say, is delivered first.
func TestLogOutOfReachDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h := newBroker(), &stuckHost{goOn: make(chan struct{})}
		a := logged(t, h, b, newJournal(), adapter.RecoveryConfig{LogPackets: 3, LogBytes: 1 << 20, MaxDisconnection: time.Minute})
		connect(t, a.Adapter, "socket")
		thaw := b.freeze()
		send(t, a, "stuck")
		time.Sleep(2 * time.Second)
		send(t, a, "2")
		time.Sleep(time.Minute)
		close(h.goOn)
		time.Sleep(time.Second)
		wantLines(t, &h.logHost, "stuck 2")
		thaw()
		time.Sleep(time.Minute)
		wantLines(t, &h.logHost, "")
	})
}

// A packet that got lost on the way to the log is seen to be when the next one is there.
// Equal ones are told apart by their number.
func TestLostEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _, as, hs := logPair(t)
		j.mu.Lock()
		j.swallow = 1
		j.mu.Unlock()
		send(t, as[0], "lost", "kept", "kept")
		synctest.Wait()
		wantLines(t, hs[0], "lost kept@1 kept@2")
		wantLines(t, hs[1], "kept@1 kept@2")
	})
}

// values is a packet with arguments.
type values struct {
	packet
	args []any
}

func (v values) Args() []any { return v.args }

// What cannot go into the log is reported, and reaches the sockets here at once.
func TestLogRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, as, hs := logPair(t)
		s := connect(t, as[0].Adapter, "here")
		var got []string
		s.got = func(event string) { got = append(got, event) }
		if err := as[0].Broadcast(values{"e", []any{func() {}}}, adapter.Opts{}); err == nil {
			t.Error("encoded a function")
		}
		thaw := b.freeze()
		defer thaw()
		large := strings.Repeat("x", 40<<20)
		send(t, as[0], packet(large+"1")) // waits for the log
		if err := as[0].Broadcast(packet(large+"2"), adapter.Opts{}); !errors.Is(err, cluster.ErrQueueFull) {
			t.Errorf("%.100v, want ErrQueueFull", err)
		}
		if len(got) != 2 || got[0] != "e" || got[1] != large+"2" {
			t.Errorf("%d events reached a socket here", len(got))
		}
		wantLines(t, hs[1], "")
	})
}

// Orders have their effect in the order of the log, too: between the packets sent before
// and after them.
func TestOrdersFollowTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, as, hs := logPair(t)
		thaw := b.freeze()
		room := adapter.Opts{Rooms: []string{"r"}}
		if err := as[0].Broadcast(packet("both"), room); err != nil {
			t.Error(err)
		}
		if err := as[0].DelSockets(room, []string{"r"}); err != nil {
			t.Error(err)
		}
		if err := as[0].Broadcast(packet("nobody"), room); err != nil {
			t.Error(err)
		}
		thaw()
		synctest.Wait()
		for _, h := range hs {
			wantLines(t, h, "both@1")
		}
	})
}

// What a client has from a server that is ahead is waited for; an offset from nowhere is
// refused at once.
func TestReplayWaitsForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _, as, _ := logPair(t)
		j.mu.Lock()
		j.hidden = 2
		j.mu.Unlock()
		send(t, as[0], "1", "2")
		synctest.Wait()
		s := &adapter.Session{SID: "s", PID: "p", Since: "0"}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		never := func([]adapter.Missed) error { t.Error("accepted"); return nil }
		if err := as[0].Replay(ctx, s, "2", never); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		if err := as[0].Replay(t.Context(), s, "3", never); err != adapter.ErrOffset {
			t.Errorf("got %v", err)
		}
		accepted := make(chan int, 1)
		go func() {
			err := as[0].Replay(t.Context(), s, "1", func(missed []adapter.Missed) error {
				accepted <- len(missed)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		j.mu.Lock()
		j.hidden = 0
		j.change.Broadcast()
		j.mu.Unlock()
		if n := <-accepted; n > 1 {
			t.Errorf("%d packets missed", n)
		}
	})
}

// What is delivered between reading the log and letting the socket in is part of the
// replay.
func TestReplayMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, j := newBroker(), newJournal()
		d := newLogDriver(b, j)
		h := new(logHost)
		l := cluster.NewLogged(h, d, cluster.Config{})
		if err := l.EnableRecovery(h, adapter.RecoveryConfig{LogPackets: 9, LogBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		initialize(t, l.Adapter)
		d.ranged = func() {
			send(t, l, "in between")
			synctest.Wait()
		}
		send(t, l, "before")
		synctest.Wait()
		s := &adapter.Session{SID: "s", PID: "p", Since: "0"}
		err := l.Replay(t.Context(), s, "0", func(missed []adapter.Missed) error {
			if len(missed) != 2 || missed[0].Event != "before" || missed[1].Event != "in between" {
				t.Errorf("missed %+v", missed)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// More than RecoveryConfig allows is not replayed.
func TestReplayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, as, _ := logPair(t)
		send(t, as[0], "1", "2", "3", "4")
		synctest.Wait()
		s := &adapter.Session{SID: "s", PID: "p", Since: "0"}
		err := as[1].Replay(t.Context(), s, "1", func(missed []adapter.Missed) error {
			if len(missed) != 3 || missed[2].Event != "4" || missed[2].Offset != "4" {
				t.Errorf("missed %+v", missed)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := as[1].Replay(t.Context(), s, "0", nil); err == nil || !strings.Contains(err.Error(), "too much") {
			t.Errorf("got %v", err)
		}
		// Two, but of more than a megabyte.
		large := packet(strings.Repeat("x", 600<<10))
		send(t, as[0], large, large)
		synctest.Wait()
		if err := as[1].Replay(t.Context(), s, "4", nil); err == nil || !strings.Contains(err.Error(), "too much") {
			t.Errorf("got %v", err)
		}
	})
}
