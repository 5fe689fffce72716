package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// Logged is an [Adapter] whose driver has a log, so that it offers connection state
// recovery. Without EnableRecovery it is an Adapter like any other.
//
// With recovery, what goes into the log has its effect on this server when it is read
// back: so all sockets see one order, and the last offset a client got says what it has.
// When the log is out of reach, the effect comes after some 1.5 s without it, in the order
// of sending; such packets have no offset, and are not replayed.
type Logged struct {
	*Adapter
	driver LogDriver
	host   adapter.RecoveryHost   // set by EnableRecovery
	rcfg   adapter.RecoveryConfig // set by EnableRecovery

	// delivery is held while a packet of the log is on its way to the sockets. The
	// index's locks come after it, and nothing else.
	delivery  sync.Mutex
	advanced  sync.Cond     // delivered changed
	delivered string        // guarded by delivery
	taps      map[*tap]bool // guarded by delivery
}

var _ adapter.Recovery = (*Logged)(nil)

// NewLogged returns an adapter that offers recovery.
func NewLogged(h adapter.Host, d LogDriver, c Config) *Logged {
	l := &Logged{Adapter: New(h, d, c), driver: d, taps: make(map[*tap]bool)}
	l.advanced.L = &l.delivery
	l.Adapter.logging = l
	return l
}

// EnableRecovery implements [adapter.Recovery].
func (l *Logged) EnableRecovery(h adapter.RecoveryHost, c adapter.RecoveryConfig) error {
	l.host, l.rcfg = h, c
	l.echoes = new(echoes)
	l.driver.EnableRecovery(c)
	return nil
}

// unplaced is where a server is in the log before it has seen it. Replay does not
// understand it: what a client missed until then is not known.
const unplaced = "-"

// BeginAt says where this server begins to read the log. The driver calls it once,
// before the first ReceiveLogged.
func (l *Logged) BeginAt(offset string) {
	l.delivery.Lock()
	defer l.delivery.Unlock()
	l.delivered = offset
	l.advanced.Broadcast()
}

// ReceiveLogged takes in the next entry of the log, and borrows it. data is the member
// data as it was published, in the parcel. Entries of other namespaces, and those that
// could not be decoded (nil), count, too. It is called by one goroutine at a time,
// together with Receive.
func (l *Logged) ReceiveLogged(offset string, m *Message, data []byte) {
	if l.echoes == nil {
		if m != nil {
			l.Receive(m)
		}
		return
	}
	if m != nil && (m.Namespace != l.nsp || l.closed.Load()) {
		m = nil
	}
	if m != nil && !m.InLog() {
		l.Receive(m) // from an emitter, say
		m = nil
	}
	l.delivery.Lock()
	defer l.delivery.Unlock()
	if m != nil {
		if err := l.receiveLocked(offset, m, data); err != nil {
			l.Malformed("log", err)
		}
		l.tapLocked(offset, m)
	}
	l.delivered = offset
	l.advanced.Broadcast()
}

// receiveLocked gives an entry its effect on this server.
func (l *Logged) receiveLocked(offset string, m *Message, data []byte) error {
	if m.UID != l.cfg.UID {
		l.sawSender(m)
		return l.apply(m, offset)
	}
	lost, heard := l.echoes.match(m.Type, data)
	l.effectLocked(lost)
	if heard == nil || heard.done {
		return nil // sockets here have got it
	}
	heard.done = true
	return l.apply(m, offset)
}

// apply has the effect of a message on the sockets of this server. offset is empty for
// one that is not in the log.
func (l *Logged) apply(m *Message, offset string) error {
	switch m.Type {
	case SocketsJoin:
		l.x.AddSockets(m.Opts, m.Rooms)
	case SocketsLeave:
		l.x.DelSockets(m.Opts, m.Rooms)
	case DisconnectSockets:
		l.x.DisconnectSockets(m.Opts, m.Close)
	case Broadcast:
		if !l.x.HasReceivers(m.Opts) {
			return nil
		}
		event, args, err := m.Payload()
		if err != nil {
			return err
		}
		if offset == "" {
			l.host.BroadcastLocal(event, args, m.Opts, nil)
		} else {
			l.host.BroadcastLogged(event, args, m.Opts, offset)
		}
	}
	return nil
}

// Admit implements [adapter.Recovery].
func (l *Logged) Admit(f func(offset string)) {
	l.delivery.Lock()
	defer l.delivery.Unlock()
	at := l.delivered
	if at == "" {
		at = unplaced
	}
	f(at)
}

// tap collects packets for a session while they are delivered to others: what came in
// between reading the log and letting the socket in.
type tap struct {
	s      *adapter.Session
	rooms  map[string]bool
	missed []adapter.Missed
	left   int // packets there is room for
	bytes  int // bytes of messages there is room for
	full   bool
	err    error
}

func newTap(s *adapter.Session, c *adapter.RecoveryConfig) *tap {
	t := &tap{s: s, rooms: make(map[string]bool), left: c.LogPackets, bytes: c.LogBytes}
	for _, r := range s.Rooms {
		t.rooms[r] = true
	}
	return t
}

// add keeps the packet if it was meant for the session.
func (t *tap) add(offset string, m *Message) {
	if t.full || t.err != nil || m.Type != Broadcast || !m.InLog() || !t.meant(&m.Opts) {
		return
	}
	if t.left--; t.left < 0 {
		t.full = true
		return
	}
	if t.bytes -= m.Size(); t.bytes < 0 {
		t.full = true
		return
	}
	event, args, err := m.Payload()
	if err != nil {
		t.err = err
		return
	}
	t.missed = append(t.missed, adapter.Missed{Event: event, Args: args, Offset: offset})
}

func (t *tap) meant(o *adapter.Opts) bool {
	in := func(names []string) bool {
		for _, r := range names {
			if t.rooms[r] {
				return true
			}
		}
		return false
	}
	return (len(o.Rooms) == 0 || in(o.Rooms)) && !in(o.Except)
}

func (l *Logged) tapLocked(offset string, m *Message) {
	for t := range l.taps {
		t.add(offset, m)
	}
}

// Replay implements [adapter.Recovery].
//
// From the beginning a tap collects what is delivered. Then the log is read, without
// holding anything up, and ends behind the beginning of the tap. What both have is taken
// once.
func (l *Logged) Replay(ctx context.Context, s *adapter.Session, offset string, accept func([]adapter.Missed) error) error {
	from, err := l.start(s, offset)
	if err != nil {
		return err
	}
	if err := l.catchUp(ctx, from); err != nil {
		return err
	}
	live := newTap(s, &l.rcfg)
	l.delivery.Lock()
	l.taps[live] = true
	l.delivery.Unlock()
	defer func() {
		l.delivery.Lock()
		defer l.delivery.Unlock()
		delete(l.taps, live)
	}()

	read := newTap(s, &l.rcfg)
	last := from
	err = l.driver.Range(ctx, from, func(offset string, m *Message) bool {
		last = offset
		if m != nil && m.Namespace == l.nsp {
			read.add(offset, m)
		}
		return !read.full && read.err == nil
	})
	if err != nil {
		return err
	}
	l.delivery.Lock()
	defer l.delivery.Unlock()
	missed, err := l.joinLocked(read, live, last)
	if err != nil {
		return err
	}
	return accept(missed)
}

// joinLocked puts together what was read up to the offset last and what was delivered
// since.
func (l *Logged) joinLocked(read, live *tap, last string) ([]adapter.Missed, error) {
	if err := errors.Join(read.err, live.err); err != nil {
		return nil, err
	}
	if read.full || live.full {
		return nil, fmt.Errorf("%w: too much was missed", adapter.ErrOffset)
	}
	missed := read.missed
	for n := len(missed); n > 0 && l.compare(missed[n-1].Offset, l.delivered) > 0; n-- {
		missed = missed[:n-1] // it is going to be delivered
	}
	for _, m := range live.missed {
		if l.compare(m.Offset, last) > 0 {
			missed = append(missed, m)
		}
	}
	if len(missed) > l.rcfg.LogPackets {
		return nil, fmt.Errorf("%w: too much was missed", adapter.ErrOffset)
	}
	return missed, nil
}

// compare orders offsets that are known to be some.
func (l *Logged) compare(a, b string) int {
	order, _ := l.driver.Compare(a, b)
	return order
}

// start returns where a replay begins: at the client's offset, or where the session does.
func (l *Logged) start(s *adapter.Session, offset string) (string, error) {
	if _, ok := l.driver.Compare(offset, offset); !ok {
		return "", adapter.ErrOffset
	}
	if s.Since == "" { // stored by another implementation
		return offset, nil
	}
	order, ok := l.driver.Compare(s.Since, offset)
	switch {
	case !ok:
		return "", adapter.ErrOffset
	case order > 0:
		return s.Since, nil
	}
	return offset, nil
}

// catchUp waits until this server has delivered everything up to offset, which a client
// may have got from another one. An offset that the log does not have is refused at once.
func (l *Logged) catchUp(ctx context.Context, offset string) error {
	l.delivery.Lock()
	behind := l.delivered == "" || l.compare(offset, l.delivered) > 0
	l.delivery.Unlock()
	if !behind {
		return nil
	}
	if err := l.driver.Range(ctx, offset, func(string, *Message) bool { return false }); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		l.delivery.Lock()
		defer l.delivery.Unlock()
		l.advanced.Broadcast()
	})
	defer stop()
	l.delivery.Lock()
	defer l.delivery.Unlock()
	for l.delivered == "" || l.compare(offset, l.delivered) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.advanced.Wait()
	}
	return nil
}

// DropSession implements [adapter.Recovery]. A session that was taken is in no store.
func (l *Logged) DropSession(*adapter.Session) {}

// PersistSession implements [adapter.Recovery].
func (l *Logged) PersistSession(ctx context.Context, s *adapter.Session) error {
	p, err := encodeSession(s)
	if err != nil {
		return err
	}
	return l.driver.StoreSession(ctx, s.PID, p, l.rcfg.MaxDisconnection)
}

// evictWait bounds the question to the other servers for a session.
const evictWait = 500 * time.Millisecond

// RestoreSession implements [adapter.Recovery]. When there is no such session, the other
// servers are asked to give it up. Servers of the reference do not answer that. Whatever
// the others say, it is looked for once more: one of them may have stored it meanwhile, and
// not know it any more.
func (l *Logged) RestoreSession(ctx context.Context, pid string) (*adapter.Session, error) {
	s, err := l.takeSession(ctx, pid)
	if !errors.Is(err, adapter.ErrNoSession) || pid == "" {
		return s, err
	}
	_, asked := l.ask(ctx, &Message{Type: Evict, PID: pid, Opts: adapter.Opts{Timeout: evictWait}}, EvictResponse)
	s, err = l.takeSession(ctx, pid)
	if errors.Is(err, adapter.ErrNoSession) && asked != nil && !errors.Is(asked, ErrTimeout) {
		return nil, asked // it may be there
	}
	return s, err
}

func (l *Logged) takeSession(ctx context.Context, pid string) (*adapter.Session, error) {
	p, err := l.driver.TakeSession(ctx, pid)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, adapter.ErrNoSession
	}
	return decodeSession(p, pid)
}

// encodeSession writes a session as the reference does, with two members more:
//
//	{"sid":"…","pid":"…","rooms":["…"],"data":{…},"since":"…","epio":<state>}
func encodeSession(s *adapter.Session) ([]byte, error) {
	w := Writer{Format: Msgpack}
	w.Object(6)
	w.Key("sid")
	w.String(s.SID)
	w.Key("pid")
	w.String(s.PID)
	w.Key("rooms")
	w.Strings(s.Rooms)
	w.Key("data")
	if s.Data == nil {
		w.Value(struct{}{})
	} else {
		w.Value(s.Data)
	}
	w.Key("since")
	w.String(s.Since)
	w.Key("epio")
	w.Value(s.State)
	w.EndObject()
	return w.Bytes()
}

func decodeSession(p []byte, pid string) (*adapter.Session, error) {
	v, err := codec.ScanMsgpack(p, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("%w: session: %w", ErrMalformed, err)
	}
	s := new(adapter.Session)
	for name, v := range v.Members() {
		switch name {
		case "sid":
			s.SID, _ = v.Text()
		case "pid":
			s.PID, _ = v.Text()
		case "rooms":
			s.Rooms, _ = Names(v)
		case "data":
			if s.Data, err = v.Any(); err != nil {
				return nil, err
			}
		case "since":
			s.Since, _ = v.Text()
		case "epio":
			if a, err := v.Any(); err == nil {
				s.State, _ = a.([]byte)
			}
		}
	}
	if s.SID == "" || s.PID != pid {
		return nil, malformed("session")
	}
	return s, nil
}
