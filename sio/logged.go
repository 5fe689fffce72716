package sio

import (
	"errors"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// Encode implements adapter.Loggable.
func (b *broadcast) Encode(room string) error {
	plain := &b.forms.variants[codec.FormPlain]
	if plain.frame != nil {
		return nil
	}
	args := append(append(b.argsRoom[:0], b.args...), room)
	f, err := b.target.ns.encode(b.event, -1, args, b.target.flags, b.policy)
	clear(args)
	b.argsRoom = args[:0]
	if err != nil {
		b.err = err
		return err
	}
	plain.frame, b.room = f, room
	return nil
}

// Stamp implements adapter.Loggable.
func (b *broadcast) Stamp(offset string) {
	if !codec.Overwrite(b.forms.variants[codec.FormPlain].frame.Bytes(), b.room, offset) {
		panic("sio: no room for the offset of an event")
	}
	b.offset = offset
}

// Share implements adapter.Loggable.
func (b *broadcast) Share() *pool.Frame { return b.forms.variants[codec.FormPlain].share() }

// withoutOffset returns the broadcast's frames for clients that know nothing of
// recovery, those of protocol 4.
func (b *broadcast) withoutOffset() *forms {
	if b.offset == "" {
		return &b.forms
	}
	if b.bare == nil {
		plain := b.forms.variants[codec.FormPlain].frame
		f := codec.WithoutLast(plain.Bytes(), b.offset)
		f.Inherit(plain)
		b.bare = new(forms)
		b.bare.variants[codec.FormPlain].frame = f
	}
	return b.bare
}

// emitResumable is emit for a socket with recovery and an event without acknowledgement.
func (s *Socket) emitResumable(event string, args []any, flags adapter.Flags, p FullPolicy) error {
	switch {
	case flags.Has(adapter.Volatile):
		return s.emitMisleading(event, args, flags, p)
	case s.ns.rec.local != nil:
		return s.emitLogged(event, args, flags, p)
	case s.state.Load() == 0 && !s.resume.recovered:
		// The adapter does not reach it before it is connected.
		return s.emitMisleading(event, args, flags, p)
	case s.state.Load() == gone && !s.mayReturn():
		return ErrClosed
	}
	t := Target{ns: s.ns, flags: flags, full: chosen(p)}
	t.rooms.add([]string{s.id})
	return t.broadcast(event, args)
}

// mayReturn reports whether a socket that is gone may have a client that comes back.
func (s *Socket) mayReturn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason.recoverable() && time.Since(s.resume.goneAt) < s.c.srv.cfg.Recovery.MaxDisconnection
}

// emitLogged sends an event through the log in this process.
func (s *Socket) emitLogged(event string, args []any, flags adapter.Flags, p FullPolicy) error {
	if s.state.Load() == gone && !s.mayReturn() {
		return ErrClosed
	}
	b := broadcasts.Get().(*broadcast)
	b.target = Target{ns: s.ns, only: s, flags: flags}
	b.event, b.args, b.policy = event, args, p
	defer b.finish()
	kept, err := s.ns.rec.local.Send(b, s.id, s.resume.pid, s.c.srv.engine.Engine().NewBatch())
	if err != nil {
		return err
	}
	if !kept {
		return ErrClosed
	}
	s.sendOutgoing(event, args)
	size := b.forms.plain().Len()
	s.c.srv.traffic.sent(s.c, b.receivers, b.receivers*size)
	if s.c.srv.cfg.Hooks.Emit != nil {
		s.emitted(event, size, b.err)
	}
	return b.err
}

// emitMisleading sends an event that has no offset, and notes what the client may take
// for one.
func (s *Socket) emitMisleading(event string, args []any, flags adapter.Flags, p FullPolicy) error {
	f, err := s.ns.encode(event, -1, args, flags, p)
	if err != nil {
		return err
	}
	s.announce(f, event, args)
	size := f.Len()
	dropped, err := s.queueMisleading(f, misleading(event, args), flags.Has(adapter.Volatile), p)
	if err == nil {
		s.c.srv.traffic.sent(s.c, 1, size)
	} else if err == ErrBufferFull {
		dropped++
	}
	if dropped > 0 {
		s.c.srv.dropped(s, dropped)
	}
	if s.c.srv.cfg.Hooks.Emit != nil {
		s.emitted(event, size, err)
	}
	return err
}

// queueMisleading sends f, which a client may take for something with the offset h. It takes f.
func (s *Socket) queueMisleading(f *pool.Frame, h hash, volatile bool, p FullPolicy) (dropped int, err error) {
	batch := s.c.srv.engine.Engine().NewBatch()
	defer batch.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state.Load() == gone:
		f.Release()
		return 0, ErrClosed
	case volatile:
		if !s.c.sess.QueueVolatile(f, batch) {
			return 0, ErrDropped
		}
	default:
		dropped, err = s.queueFull(f, codec.FormPlain, batch, p)
		if err = s.sentAs(err, p); err != nil {
			return dropped, err
		}
	}
	s.resume.mislead(h)
	return dropped, nil
}

// mislead notes that the client may take h for an offset.
func (r *resume) mislead(h hash) {
	if h != 0 {
		r.trail.add(h, r.last)
	}
}

// errNotYet says that a socket is not reached by broadcasts yet, or not any more.
var errNotYet = errors.New("sio: socket not connected")

// deliverResumable queues, under an index lock or that of the log, an event without
// acknowledgement for a socket with recovery. Errors are those of queueBroadcast, and
// errNotYet.
func (s *Socket) deliverResumable(b *broadcast, batch *engine.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resume
	switch s.state.Load() {
	case connected:
	case gone:
		if b.offset != "" {
			r.missed = true
		}
		return errNotYet // the log has it
	default:
		// To nobody else than this socket, unless it waits for what it has missed.
		if b.target.only == nil || r.waiting {
			return errNotYet
		}
	}
	err := s.queueBroadcast(b, batch, b.target.flags.Has(adapter.Volatile))
	if b.offset != "" {
		// Also when it failed: then it is one that the client does not have.
		r.last = b.offset
	} else if err == nil {
		r.mislead(b.mark)
	}
	if err == ErrBufferFull && b.target.only != nil {
		b.err = err
	}
	return err
}
