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
	ns := b.target.ns
	args := append(append(b.argsRoom[:0], b.args...), room)
	f, err := ns.srv.cfg.Parser.EncodeEvent(ns.name, -1, b.event, args)
	clear(args)
	b.argsRoom = args[:0]
	if err != nil {
		b.err = &EncodeError{Event: b.event, Err: err}
		return b.err
	}
	ns.srv.warnAttachments(b.event, f)
	if b.target.flags.Has(adapter.NoCompress) {
		f.SetNoCompress()
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
		if plain.NoCompress() {
			f.SetNoCompress()
		}
		b.bare = new(forms)
		b.bare.variants[codec.FormPlain].frame = f
	}
	return b.bare
}

// emitResumable is emit for a socket with recovery and an event without acknowledgement.
func (s *Socket) emitResumable(event string, args []any, flags adapter.Flags) error {
	switch {
	case flags.Has(adapter.Volatile):
		return s.emitMisleading(event, args, flags)
	case s.ns.rec.local != nil:
		return s.emitLogged(event, args, flags)
	case s.state.Load() == 0 && !s.resume.recovered:
		// The adapter does not reach it before it is connected.
		return s.emitMisleading(event, args, flags)
	case s.state.Load() == gone && !s.mayReturn():
		return ErrClosed
	}
	t := Target{ns: s.ns, flags: flags}
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
func (s *Socket) emitLogged(event string, args []any, flags adapter.Flags) error {
	if s.state.Load() == gone && !s.mayReturn() {
		return ErrClosed
	}
	b := broadcasts.Get().(*broadcast)
	b.target = Target{ns: s.ns, only: s, flags: flags}
	b.event, b.args = event, args
	defer b.finish()
	kept, err := s.ns.rec.local.Send(b, s.id, s.resume.pid, s.c.srv.engine.Engine().NewBatch())
	if err != nil {
		return err
	}
	if !kept {
		return ErrClosed
	}
	s.sendOutgoing(event, args)
	return b.err
}

// emitMisleading sends an event that has no offset, and notes what the client may take
// for one.
func (s *Socket) emitMisleading(event string, args []any, flags adapter.Flags) error {
	f, err := s.c.srv.cfg.Parser.EncodeEvent(s.nsp, -1, event, args)
	if err != nil {
		return &EncodeError{Event: event, Err: err}
	}
	s.c.srv.warnAttachments(event, f)
	if flags.Has(adapter.NoCompress) {
		f.SetNoCompress()
	}
	s.sendOutgoing(event, args)
	h := misleading(event, args)
	batch := s.c.srv.engine.Engine().NewBatch()
	defer batch.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() == gone {
		f.Release()
		return ErrClosed
	}
	if flags.Has(adapter.Volatile) {
		if !s.c.sess.QueueVolatile(f, batch) {
			return ErrDropped
		}
	} else if err := s.sent(s.c.sess.Queue(f, batch)); err != nil {
		return err
	}
	s.resume.mislead(h)
	return nil
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
