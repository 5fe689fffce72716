package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/epio-go/epio/sio"
)

// requestTime bounds what waits for other nodes and says no time itself.
const requestTime = 5 * time.Second

// facade is one namespace of a node.
type facade struct {
	name string // the node's
	ns   *sio.Namespace

	mu    sync.Mutex
	heard [][]any // guarded by mu: events from other servers
}

func newFacade(name string, ns *sio.Namespace) *facade { return &facade{name: name, ns: ns} }

// target selects sockets, as clients write it:
//
//	{"rooms":["r"],"except":["x"],"flags":{"volatile":true,"local":true,"compress":false}}
type target struct {
	Rooms     []string `json:"rooms"`
	Except    []string `json:"except"`
	TimeoutMS int64    `json:"timeoutMs"`
	Flags     struct {
		Volatile bool  `json:"volatile"`
		Local    bool  `json:"local"`
		Compress *bool `json:"compress"`
	} `json:"flags"`
}

// of narrows all down to what t selects.
func (t *target) of(all sio.Target) sio.Target {
	sel := all.To(t.Rooms...).Except(t.Except...)
	if t.Flags.Volatile {
		sel = sel.Volatile()
	}
	if t.Flags.Local {
		sel = sel.Local()
	}
	if t.Flags.Compress != nil {
		sel = sel.Compress(*t.Flags.Compress)
	}
	return sel
}

// call is one event of a client: what it asks for, and how to answer.
type call struct {
	s *sio.Socket
	m *sio.Message
}

// arg decodes argument i, leaving *v alone if there is none.
func (c *call) arg(i int, v any) error { return c.m.Decode(i, v) }

// args returns the arguments from the i-th on.
func (c *call) args(i int) ([]any, error) {
	all, err := c.m.Args()
	if err != nil || len(all) < i {
		return nil, err
	}
	return all[i:], nil
}

// event returns arguments i, an event's name, and those behind it.
func (c *call) event(i int) (name string, args []any, err error) {
	if err := c.arg(i, &name); err != nil {
		return "", nil, err
	}
	args, err = c.args(i + 1)
	return name, args, err
}

// result is what is answered: {"v": …} or {"e": "message"}.
func result(v any, err error) map[string]any {
	if err != nil {
		return map[string]any{"e": err.Error()}
	}
	return map[string]any{"v": v}
}

// register registers everything.
func (f *facade) register() {
	f.ns.Adapter() // connected from the start
	f.ns.OnConnect(func(_ context.Context, s *sio.Socket) error {
		if !s.Recovered() {
			s.SetData(map[string]any{})
		}
		return nil
	})
	for name, fn := range map[string]func(*call) (any, error){
		"id": f.id, "join": f.join, "leave": f.leave, "setData": f.setData,
		"emitTo": f.emitTo, "bulkEmit": f.bulkEmit, "broadcastFromSocket": f.broadcastFromSocket,
		"socketsJoin": f.socketsJoin, "socketsLeave": f.socketsLeave, "disconnectSockets": f.disconnectSockets,
		"serverSideEmit": f.serverSideEmit, "sseLog": f.sseLog, "sseClear": f.sseClear,
	} {
		f.ns.Handle(name, sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error {
			v, err := fn(&call{s, m})
			return m.Ack(result(v, err))
		}))
	}
	for name, fn := range map[string]func(*call) (any, error){
		"emitWithAck": f.emitWithAck, "fetchSockets": f.fetchSockets, "remote": f.remote,
		"serverSideEmitWithAck": f.serverSideEmitWithAck, "serverCount": f.serverCount,
	} {
		f.ns.Handle(name, sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error {
			m = m.Clone()
			later(func() {
				v, err := fn(&call{s, m})
				if err := m.Ack(result(v, err)); err != nil {
					s.Server().Config().Logger.Warn("not answered", "event", m.Event(), "err", err)
				}
			})
			return nil
		}))
	}
	f.listen()
}

// later runs f, which waits for others, on a goroutine of its own: the client's next call
// must not wait, too. But it starts before that, so that calls take effect in order.
func later(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (f *facade) id(c *call) (any, error) {
	return map[string]any{
		"name": f.name, "id": c.s.ID(), "recovered": c.s.Recovered(), "rooms": c.s.Rooms(), "data": c.s.Data(),
	}, nil
}

func (f *facade) join(c *call) (any, error) {
	var rooms []string
	if err := c.arg(0, &rooms); err != nil {
		return nil, err
	}
	return nil, errors.Join(c.s.Join(rooms...), f.synced())
}

// synced waits until the other nodes can reach the rooms that were joined, where that
// takes a while.
func (f *facade) synced() error {
	a, ok := f.ns.Adapter().(interface{ Synced(context.Context) error })
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.Synced(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // without the backend, the socket is in the rooms all the same
}

func (f *facade) leave(c *call) (any, error) {
	var room string
	if err := c.arg(0, &room); err != nil {
		return nil, err
	}
	c.s.Leave(room)
	return nil, nil
}

func (f *facade) setData(c *call) (any, error) {
	var data any
	if err := c.arg(0, &data); err != nil {
		return nil, err
	}
	c.s.SetData(data)
	return nil, nil
}

// selected decodes argument 0, a target.
func (f *facade) selected(c *call) (sio.Target, target, error) {
	var t target
	err := c.arg(0, &t)
	return t.of(f.ns.All()), t, err
}

func (f *facade) emitTo(c *call) (any, error) {
	sel, _, err := f.selected(c)
	if err != nil {
		return nil, err
	}
	event, args, err := c.event(1)
	if err != nil {
		return nil, err
	}
	return nil, sel.Emit(event, args...)
}

// bulkEmit is emitTo many times, of (event, name of this node, number).
func (f *facade) bulkEmit(c *call) (any, error) {
	sel, _, err := f.selected(c)
	if err != nil {
		return nil, err
	}
	var event string
	var from, count int
	var pad any
	if err := c.m.Scan(new(any), &event, &from, &count, &pad); err != nil {
		return nil, err
	}
	for i := range count {
		args := []any{f.name, from + i}
		if c.m.Len() > 4 {
			args = append(args, pad)
		}
		if err := sel.Emit(event, args...); err != nil {
			return nil, fmt.Errorf("number %d: %w", from+i, err)
		}
	}
	return nil, nil
}

func (f *facade) broadcastFromSocket(c *call) (any, error) {
	var t target
	if err := c.arg(0, &t); err != nil {
		return nil, err
	}
	event, args, err := c.event(1)
	if err != nil {
		return nil, err
	}
	return nil, t.of(c.s.Broadcast()).Emit(event, args...)
}

// answers is what a call with acknowledgements brought.
func answers(responses []any, err error) map[string]any {
	if responses == nil {
		responses = []any{}
	}
	return map[string]any{"err": text(err), "responses": responses}
}

func text(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}

func (f *facade) emitWithAck(c *call) (any, error) {
	sel, t, err := f.selected(c)
	if err != nil {
		return nil, err
	}
	event, args, err := c.event(1)
	if err != nil {
		return nil, err
	}
	if t.TimeoutMS > 0 {
		sel = sel.Timeout(time.Duration(t.TimeoutMS) * time.Millisecond)
	}
	var responses []any
	for a, e := range sio.Gather[any](context.Background(), sel, event, args...) {
		switch {
		case errors.Is(e, sio.ErrReservedEvent):
			return nil, e
		case e != nil:
			err = e
		default:
			responses = append(responses, a.Value)
		}
	}
	return answers(responses, err), nil
}

func (f *facade) fetchSockets(c *call) (any, error) {
	sel, _, err := f.selected(c)
	if err != nil {
		return nil, err
	}
	found, err := fetch(sel)
	if err != nil {
		return nil, err
	}
	infos := make([]any, len(found))
	for i, r := range found {
		infos[i] = r.Info()
	}
	return infos, nil
}

func fetch(sel sio.Target) ([]*sio.RemoteSocket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	return sel.FetchSockets(ctx)
}

func (f *facade) socketsJoin(c *call) (any, error) {
	sel, _, err := f.selected(c)
	if err != nil {
		return nil, err
	}
	var rooms []string
	if err := c.arg(1, &rooms); err != nil {
		return nil, err
	}
	return nil, errors.Join(sel.Join(rooms...), f.synced())
}

func (f *facade) socketsLeave(c *call) (any, error) {
	sel, _, err := f.selected(c)
	if err != nil {
		return nil, err
	}
	var rooms []string
	if err := c.arg(1, &rooms); err != nil {
		return nil, err
	}
	return nil, sel.Leave(rooms...)
}

func (f *facade) disconnectSockets(c *call) (any, error) {
	sel, _, err := f.selected(c)
	if err != nil {
		return nil, err
	}
	var off bool
	if err := c.arg(1, &off); err != nil {
		return nil, err
	}
	return nil, sel.Disconnect(off)
}

// remote finds a socket by its id and uses its handle.
func (f *facade) remote(c *call) (any, error) {
	var id, op string
	if err := c.m.Scan(&id, &op); err != nil {
		return nil, err
	}
	found, err := fetch(f.ns.In(id))
	if err != nil {
		return nil, err
	}
	var r *sio.RemoteSocket
	for _, s := range found {
		if s.ID() == id {
			r = s
		}
	}
	if r == nil {
		return nil, fmt.Errorf("no socket %q", id)
	}
	switch op {
	case "emit":
		event, args, err := c.event(2)
		if err != nil {
			return nil, err
		}
		return nil, r.Emit(event, args...)
	case "emitWithAck":
		var ms int64
		if err := c.arg(2, &ms); err != nil {
			return nil, err
		}
		event, args, err := c.event(3)
		if err != nil {
			return nil, err
		}
		sel := r.Timeout(time.Duration(ms) * time.Millisecond)
		v, err := sio.Call[any](context.Background(), sel, event, args...)
		return map[string]any{"err": text(err), "response": v}, nil
	case "join":
		var rooms []string
		if err := c.arg(2, &rooms); err != nil {
			return nil, err
		}
		return nil, r.Join(rooms...)
	case "leave":
		var room string
		if err := c.arg(2, &room); err != nil {
			return nil, err
		}
		return nil, r.Leave(room)
	case "disconnect":
		var off bool
		if err := c.arg(2, &off); err != nil {
			return nil, err
		}
		return nil, r.Disconnect(off)
	}
	return nil, fmt.Errorf("no operation %q", op)
}

func (f *facade) serverSideEmit(c *call) (any, error) {
	event, args, err := c.event(0)
	if err != nil {
		return nil, err
	}
	return nil, f.ns.ServerSide().Emit(event, args...)
}

func (f *facade) serverSideEmitWithAck(c *call) (any, error) {
	event, args, err := c.event(0)
	if err != nil {
		return nil, err
	}
	responses, err := f.ns.ServerSide().Timeout(requestTime).Call(context.Background(), event, args...)
	return answers(responses, err), nil
}

func (f *facade) serverCount(*call) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	return f.ns.Adapter().ServerCount(ctx)
}

// listen registers the listeners for events of other servers.
func (f *facade) listen() {
	record := func(e *sio.ServerEvent) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.heard = append(f.heard, append([]any{e.Event()}, e.Args()...))
	}
	f.ns.HandleServer("sse", func(_ context.Context, e *sio.ServerEvent) error {
		record(e)
		return nil
	})
	f.ns.HandleServer("sse-ack", func(_ context.Context, e *sio.ServerEvent) error {
		record(e)
		args := e.Args()
		if args == nil {
			args = []any{}
		}
		e.Ack(map[string]any{"name": f.name, "args": args})
		return nil
	})
	f.ns.HandleServer("sse-mute", func(_ context.Context, e *sio.ServerEvent) error {
		record(e)
		var who any
		if err := e.Decode(0, &who); err != nil {
			return err
		}
		if who != f.name {
			e.Ack(f.name)
		}
		return nil
	})
}

func (f *facade) sseLog(*call) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]any{}, f.heard...), nil
}

func (f *facade) sseClear(*call) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = nil
	return nil, nil
}
