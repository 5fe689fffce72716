package cluster

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/epio-go/epio/adapter"
)

// maxFetching bounds how many descriptions of all sockets are put together at a time,
// off the goroutine that receives.
const maxFetching = 4

// Receive takes in a message of another server, and borrows it. Messages of this
// server and of other namespaces are ignored, and so are types that are not known.
//
// It is called by one goroutine at a time. Messages that need not stay in the order of
// those may come from other ones.
func (a *Adapter) Receive(m *Message) {
	if m.UID == a.cfg.UID || m.Namespace != a.nsp || a.closed.Load() {
		return
	}
	a.sawSender(m)
	var err error
	switch m.Type {
	case InitialHeartbeat:
		if a.counter == nil && m.UID != Emitter {
			err = a.send(&Message{Type: Heartbeat})
		}
	case AdapterClose:
		if a.members.goodbye(m.UID) {
			a.requests.gone(m.UID)
		}
	case Broadcast:
		err = a.receiveBroadcast(m)
	case SocketsJoin:
		a.x.AddSockets(m.Opts, m.Rooms)
	case SocketsLeave:
		a.x.DelSockets(m.Opts, m.Rooms)
	case DisconnectSockets:
		a.x.DisconnectSockets(m.Opts, m.Close)
	case ServerSideEmit:
		err = a.receiveEvent(m)
	case FetchSockets:
		a.describe(m, func() { a.reply(m, &Message{Type: FetchSocketsResponse, Sockets: a.infos(m.Opts)}) })
	case AllRooms:
		a.describe(m, func() { a.reply(m, &Message{Type: AllRoomsResponse, Rooms: a.x.AllRooms()}) })
	case Evict:
		if a.echoes != nil {
			a.describe(m, func() { a.evict(m) })
		}
	case BroadcastClientCount:
		a.requests.clientCount(m)
	case BroadcastAck:
		err = a.requests.ack(m)
	case FetchSocketsResponse, ServerSideEmitResponse, AllRoomsResponse, EvictResponse:
		err = a.requests.answer(m)
	}
	if err != nil {
		a.other.log(a.log, slog.LevelWarn, 1, "adapter: message of another server not handled",
			"namespace", a.nsp, "type", int(m.Type), "err", err)
	}
}

// receiveBroadcast delivers a packet to the sockets here. When there are none, it is
// not even decoded.
func (a *Adapter) receiveBroadcast(m *Message) error {
	wanted := a.x.HasReceivers(m.Opts)
	if m.RequestID == "" {
		if !wanted {
			return nil
		}
		event, args, err := m.Payload()
		if err != nil {
			return err
		}
		a.host.BroadcastLocal(event, args, m.Opts, nil)
		return nil
	}
	if !wanted {
		a.reply(m, &Message{Type: BroadcastClientCount})
		return nil
	}
	event, args, err := m.Payload()
	if err != nil {
		a.reply(m, &Message{Type: BroadcastClientCount})
		return err
	}
	r := &ackReply{a: a, to: Message{UID: m.UID, Type: m.Type, RequestID: m.RequestID}}
	r.count(a.host.BroadcastLocal(event, args, m.Opts, r.ack))
	return nil
}

// ackReply sends the acknowledgements of this server's clients to who asked. The first
// may come before it is known how many there will be, but it is sent after that.
type ackReply struct {
	a  *Adapter
	to Message

	mu    sync.Mutex
	ready bool  // guarded by mu
	early []any // guarded by mu
}

func (r *ackReply) count(n int) {
	r.a.reply(&r.to, &Message{Type: BroadcastClientCount, Count: n})
	r.mu.Lock()
	r.ready = true
	early := r.early
	r.early = nil
	r.mu.Unlock()
	for _, arg := range early {
		r.send(arg)
	}
}

func (r *ackReply) ack(_ string, arg any) {
	r.mu.Lock()
	if !r.ready {
		r.early = append(r.early, arg)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	r.send(arg)
}

func (r *ackReply) send(arg any) { r.a.reply(&r.to, &Message{Type: BroadcastAck, Arg: arg}) }

// receiveEvent hands a server-side event to the listeners.
func (a *Adapter) receiveEvent(m *Message) error {
	name, args, err := m.Payload()
	if err != nil {
		return err
	}
	e := event{name: name, args: args}
	if m.RequestID != "" {
		to := Message{UID: m.UID, Type: m.Type, RequestID: m.RequestID}
		var once sync.Once
		e.ack = func(arg any) {
			once.Do(func() { a.reply(&to, &Message{Type: ServerSideEmitResponse, Arg: arg}) })
		}
	}
	if !a.events.put(e) {
		return errListeners
	}
	return nil
}

// describe runs f, which puts together an answer that may be large. f must not use
// what its message borrows after describe returned, except Opts and what names it.
func (a *Adapter) describe(m *Message, f func()) {
	select {
	case a.fetching <- struct{}{}:
	default:
		f() // and whoever sends more waits
		return
	}
	a.done.Go(func() {
		defer func() { <-a.fetching }()
		f()
	})
}

// evict gives up the session another server asks for.
func (a *Adapter) evict(m *Message) {
	ctx, cancel := context.WithTimeout(context.Background(), evictWait)
	defer cancel()
	a.reply(m, &Message{Type: EvictResponse, Found: a.logging.host.Evict(ctx, m.PID)})
}

// infos describes the sockets of this server that o selects.
func (a *Adapter) infos(o adapter.Opts) []adapter.SocketInfo {
	var infos []adapter.SocketInfo
	for r := range a.x.Sockets(o) {
		info := r.Info()
		info.Local = nil
		infos = append(infos, info)
	}
	return infos
}

// others returns how many servers must answer a request: their uids, or their number
// when the broker counts.
func (a *Adapter) others(r *request, count func() (int, error)) error {
	if a.counter == nil {
		r.waiting = make(map[string]bool)
		for _, uid := range a.members.uids() {
			r.waiting[uid] = true
		}
		return nil
	}
	n, err := count()
	r.left = n - 1
	return err
}

// unique sorts names and removes those that are there twice.
func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
