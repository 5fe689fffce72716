package sio

import (
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// variant is a broadcast's frame in one form, and references to it that have not been
// handed out yet.
type variant struct {
	frame  *pool.Frame
	credit int
}

// creditStep is how many references are taken at once: the counter is shared by
// all cores that write the frame.
const creditStep = 64

// share returns one more reference.
func (v *variant) share() *pool.Frame {
	if v.credit == 0 {
		v.frame.Retain(creditStep)
		v.credit = creditStep
	}
	v.credit--
	return v.frame
}

// release gives up what was not handed out.
func (v *variant) release() {
	if v.frame != nil {
		v.frame.ReleaseN(v.credit + 1)
	}
}

// forms holds a broadcast in the plain form, which it has from the beginning, and in the
// others that its receivers turned out to need.
type forms struct {
	variants [codec.Forms]variant
	binary   bool // there are binary messages; known once asked is set
	asked    bool
}

// in returns the variant for receivers of the form f. Text is the same in all forms but that
// of WebTransport, and compressed once for all of them.
func (f *forms) in(form codec.Form, srv *Server) *variant {
	if form == codec.FormPlain {
		return &f.variants[codec.FormPlain]
	}
	plain := f.variants[codec.FormPlain].frame
	if !f.asked {
		f.binary, f.asked = codec.HasBinary(plain.Bytes()), true
	}
	if !f.binary && form != codec.FormWebTransport {
		form &= codec.FormDeflated
	}
	v := &f.variants[form]
	if v.frame != nil {
		return v
	}
	if form&codec.FormDeflated == 0 {
		v.frame = codec.NewFrameIn(form, plain.Bytes())
		v.frame.Inherit(plain)
		return v
	}
	base := f.in(form&^codec.FormDeflated, srv).frame
	if v.frame = srv.engine.Deflate(base); v.frame == nil {
		base.Retain(1)
		v.frame = base // remembers that there is nothing to gain
	}
	return v
}

// plain returns the plain form, or nil when nobody on this server listens.
func (f *forms) plain() *pool.Frame { return f.variants[codec.FormPlain].frame }

// release gives up all frames.
func (f *forms) release() {
	for i := range f.variants {
		f.variants[i].release()
	}
}

// queueBroadcast queues b. It returns ErrDropped or the errors of Emit.
func (s *Socket) queueBroadcast(b *broadcast, batch *engine.Batch, volatile bool) error {
	sess := s.c.sess
	form := sess.Form()
	all := &b.forms
	if s.resume == nil {
		all = b.withoutOffset()
	}
	f := all.in(form, s.c.srv).share()
	if volatile {
		ok := false
		if form == codec.FormPlain {
			ok = sess.QueueVolatile(f, batch)
		} else {
			ok = sess.QueueFormVolatile(f, batch)
		}
		if !ok {
			return ErrDropped
		}
		return nil
	}
	dropped, err := s.queueFull(f, form, batch, b.policy)
	if dropped > 0 || err != nil {
		err = s.sentAs(err, b.policy)
		b.losses.note(s, dropped, err)
	}
	return err
}
