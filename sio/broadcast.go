package sio

import (
	"errors"
	"sync"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// broadcast is one event on its way to many sockets: the adapter's Packet. It is
// encoded before the walk, because encoding may run user code, which must not
// happen under the index's locks.
type broadcast struct {
	target Target
	event  string
	args   []any

	forms forms  // empty when nobody on this server listens; owned by the walk
	bare  *forms // without the offset; made when first needed

	// of events that go into the log of recovery, or past it
	offset   string // empty before Stamp
	room     string // what stands for the offset in the frame until then
	argsRoom []any  // memory for args and one more
	mark     hash   // what clients may take for an offset, 0 for nothing
	err      error  // of Encode, or of the delivery to a single socket

	policy    FullPolicy
	losses    losses
	receivers int

	acks     *gathering // collects acknowledgements; nil without
	ackID    uint64
	outgoing bool // reached is wanted, of all sockets
	reached  []*Socket
	failed   []*SocketError // with Strict: who could not take it
}

var broadcasts = sync.Pool{New: func() any { return new(broadcast) }}

// Event implements adapter.Packet.
func (b *broadcast) Event() string { return b.event }

// Args implements adapter.Packet.
func (b *broadcast) Args() []any { return b.args }

// emit sends an event to this socket alone. id is that of the acknowledgement
// that is waited for, or negative. Of the flags, Volatile and NoCompress matter;
// a volatile event has no acknowledgement.
func (s *Socket) emit(event string, id int64, args []any, flags adapter.Flags) error {
	return s.emitAs(event, id, args, flags, s.c.srv.cfg.WhenFull)
}

// emitAs is emit with a policy for full buffers.
func (s *Socket) emitAs(event string, id int64, args []any, flags adapter.Flags, p FullPolicy) error {
	if s.resume != nil && id < 0 {
		return s.emitResumable(event, args, flags, p)
	}
	if s.state.Load() == gone {
		return ErrClosed
	}
	f, err := s.ns.encode(event, id, args, flags, p)
	if err != nil {
		return err
	}
	s.announce(f, event, args)
	size := f.Len()
	if flags.Has(adapter.Volatile) {
		err = s.sendVolatile(f)
	} else {
		err = s.sendFull(f, p)
	}
	if err == ErrBufferFull {
		s.c.srv.dropped(s, 1)
	}
	if s.c.srv.cfg.Hooks.Emit != nil {
		s.emitted(event, size, err)
	}
	return err
}

// sendVolatile sends f if it can leave at once. It takes f.
func (s *Socket) sendVolatile(f *pool.Frame) error {
	if s.state.Load() == gone {
		f.Release()
		return ErrClosed
	}
	size := f.Len()
	if !s.c.sess.SendVolatile(f) {
		return ErrDropped
	}
	s.c.srv.traffic.sent(s.c, 1, size)
	return nil
}

// encode returns the frame of an event, for one socket or for many, with what the flags
// and the policy for full buffers say about it. id is as in emit. The error is an
// *EncodeError.
func (n *Namespace) encode(event string, id int64, args []any, flags adapter.Flags, p FullPolicy) (*pool.Frame, error) {
	f, err := n.srv.cfg.Parser.EncodeEvent(n.name, id, event, args)
	if err != nil {
		n.srv.unencoded(event, n.name, err)
		return nil, &EncodeError{Event: event, Err: err}
	}
	n.srv.warnAttachments(event, f)
	if flags.Has(adapter.NoCompress) {
		f.SetNoCompress()
	}
	if p == DropOldestWhenFull && id < 0 {
		f.SetDroppable()
	}
	return f, nil
}

// announce calls the outgoing catch-alls before f is sent, and releases f if one of them ends
// the goroutine.
func (s *Socket) announce(f *pool.Frame, event string, args []any) {
	done := false
	defer func() {
		if !done {
			f.Release()
		}
	}()
	s.sendOutgoing(event, args)
	done = true
}

// sendOutgoing calls the outgoing catch-alls.
func (s *Socket) sendOutgoing(event string, args []any) {
	for _, fn := range s.ns.tbl.load().outgoing.fns {
		s.protect("outgoing handler", func() error { fn(s, event, args); return nil })
	}
	for _, fn := range s.ownHandlers().outgoing.fns {
		s.protect("outgoing handler", func() error { fn(s, event, args); return nil })
	}
}

// broadcast sends an event to the selected sockets.
func (t *Target) broadcast(event string, args []any) error {
	full, err := t.spread(event, args)
	switch {
	case full == 0:
		return err
	case err == nil:
		return &FullError{full}
	}
	return errors.Join(err, &FullError{full})
}

// spread is broadcast. With ReportWhenFull it returns how many sockets' buffers were full,
// unless Strict has the error say so.
func (t *Target) spread(event string, args []any) (full int, err error) {
	if t.ns.match != nil {
		var errs []error // one child's trouble is not the others'
		for _, child := range t.ns.srv.children(t.ns) {
			c := *t
			c.ns = child
			n, err := c.spread(event, args)
			full += n
			if err != nil {
				errs = append(errs, err)
			}
		}
		return full, errors.Join(errs...)
	}
	b, err := t.newBroadcast(event, args, nil)
	if err != nil {
		return 0, err
	}
	defer b.finish() // also when a hook ends the goroutine
	err = t.ns.connectedAdapter().Broadcast(b, b.opts())
	if b.err != nil { // it cannot be encoded: nobody got it
		return 0, b.err
	}
	b.observe(err)
	if err != nil {
		t.ns.srv.unencoded(event, t.ns.name, err)
		err = &PublishError{Event: event, Err: err}
	}
	if b.policy == ReportWhenFull && !t.strict {
		full = b.losses.full
	}
	return full, b.undelivered(err)
}

// deliverLocal sends an event that came from another server to this server's
// sockets and returns how many it reached. ack, if not nil, gets the answers.
func (t *Target) deliverLocal(event string, args []any, ack func(id string, arg any)) (int, error) {
	var g *gathering
	if ack != nil {
		g = newGathering()
	}
	b, err := t.newBroadcast(event, args, g)
	if err != nil {
		return 0, err
	}
	n := t.ns.index.Broadcast(b, b.opts())
	b.observe(nil)
	b.finish()
	if g != nil {
		g.Count(n)
		g.servers(1)
		go g.forward(t.ns.srv, t.wait(), ack)
	}
	return n, nil
}

// newBroadcast encodes the event if somebody on this server may get it. Without
// receivers it is still checked that the event may be sent.
func (t *Target) newBroadcast(event string, args []any, g *gathering) (*broadcast, error) {
	b, err := t.prepareBroadcast(event, args, g)
	if err != nil {
		return nil, err
	}
	ns := t.ns
	if ns.rec != nil && g == nil {
		if ns.rec.local != nil && !t.flags.Has(adapter.Volatile) {
			return b, nil // encoded when the log asks for it
		}
		b.mark = misleading(event, args)
	}
	if ns.index.HasReceivers(adapter.Opts{Rooms: b.target.rooms.slice()}) {
		id := int64(-1)
		if g != nil {
			id = int64(b.ackID)
		}
		f, err := ns.encode(event, id, args, t.flags, b.policy)
		if err != nil {
			b.finish()
			return nil, err
		}
		b.forms.variants[codec.FormPlain].frame = f
	}
	return b, nil
}

// prepareBroadcast is newBroadcast without the encoding.
func (t *Target) prepareBroadcast(event string, args []any, g *gathering) (*broadcast, error) {
	b := broadcasts.Get().(*broadcast)
	b.target, b.event, b.args, b.acks = *t, event, args, g
	if g != nil {
		b.ackID = t.ns.ackID.Add(1) - 1
		g.id = b.ackID
	}
	b.policy = t.full.policy(t.ns.srv)
	b.outgoing = len(t.ns.tbl.load().outgoing.fns) > 0
	if codec.Reserved(event) {
		b.finish()
		return nil, &EncodeError{Event: event, Err: ErrReservedEvent}
	}
	return b, nil
}

// opts returns the selection; its slices live as long as b.
func (b *broadcast) opts() adapter.Opts {
	o := b.target.opts()
	o.Batch = b.target.ns.srv.engine.Engine().NewBatch()
	return o
}

// finish ends the broadcast and recycles b.
func (b *broadcast) finish() {
	b.forms.release()
	if b.bare != nil {
		b.bare.release()
	}
	if len(b.losses.list) > 0 {
		b.losses.tell(b.target.ns.srv)
	}
	for _, s := range b.reached {
		s.sendOutgoing(b.event, b.args)
	}
	clear(b.reached)
	*b = broadcast{reached: b.reached[:0], argsRoom: b.argsRoom}
	broadcasts.Put(b)
}

// receiver is a Socket as its adapter's index sees it.
type receiver Socket

// ID implements adapter.Receiver.
func (r *receiver) ID() string { return r.id }

// Connected implements adapter.Receiver.
func (r *receiver) Connected() bool { return (*Socket)(r).Connected() }

// Deliver implements adapter.Receiver. An index lock is held.
func (r *receiver) Deliver(p adapter.Packet, batch adapter.Batch) bool {
	s := (*Socket)(r)
	b := p.(*broadcast)
	if s.resume != nil && b.acks == nil && b.forms.variants[codec.FormPlain].frame != nil {
		if err := s.deliverResumable(b, batch.(*engine.Batch)); err != nil {
			if b.target.strict && err != errNotYet {
				b.failed = append(b.failed, &SocketError{ID: s.id, Err: err})
			}
			return false
		}
		b.receivers++
		// Who sends to one socket tells its outgoing catch-alls.
		if b.target.only == nil && (b.outgoing || len(s.ownHandlers().outgoing.fns) > 0) {
			b.reached = append(b.reached, s)
		}
		return true
	}
	if b.forms.variants[codec.FormPlain].frame == nil || s.state.Load() != connected {
		return false // the only receivers came after the check for receivers
	}
	if b.acks != nil {
		b.acks.reached(s)
		if !s.expect(b.ackID, b.acks) {
			b.acks.missed(s)
			return false
		}
	}
	if err := s.queueBroadcast(b, batch.(*engine.Batch), b.target.flags.Has(adapter.Volatile)); err != nil {
		if b.acks == nil {
			if b.target.strict {
				b.failed = append(b.failed, &SocketError{ID: s.id, Err: err})
			}
			return false
		}
		if s.unexpect(b.ackID) == nil {
			return true // it left just now, which has been counted as its answer
		}
		b.acks.missed(s)
		return false
	}
	b.receivers++
	if b.outgoing || len(s.ownHandlers().outgoing.fns) > 0 {
		b.reached = append(b.reached, s)
	}
	return true
}

// Disconnect implements adapter.Receiver.
func (r *receiver) Disconnect(close bool) { (*Socket)(r).Disconnect(close) }

// Info implements adapter.Receiver.
func (r *receiver) Info() adapter.SocketInfo { return (*Socket)(r).info() }
