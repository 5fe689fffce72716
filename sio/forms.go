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
func (b *broadcast) in(f codec.Form) *variant {
	all := &b.forms
	if f == codec.FormPlain {
		return &all.variants[codec.FormPlain]
	}
	plain := all.variants[codec.FormPlain].frame
	if !all.asked {
		all.binary, all.asked = codec.HasBinary(plain.Bytes()), true
	}
	if !all.binary && f != codec.FormWebTransport {
		f &= codec.FormDeflated
	}
	v := &all.variants[f]
	if v.frame != nil {
		return v
	}
	if f&codec.FormDeflated == 0 {
		v.frame = codec.NewFrameIn(f, plain.Bytes())
		if plain.NoCompress() {
			v.frame.SetNoCompress()
		}
		return v
	}
	base := b.in(f &^ codec.FormDeflated).frame
	if v.frame = b.target.ns.srv.engine.Deflate(base); v.frame == nil {
		base.Retain(1)
		v.frame = base // remembers that there is nothing to gain
	}
	return v
}

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
	f := b.in(form).share()
	ok, err := true, error(nil)
	switch {
	case volatile && form == codec.FormPlain:
		ok = sess.QueueVolatile(f, batch)
	case volatile:
		ok = sess.QueueFormVolatile(f, batch)
	case form == codec.FormPlain:
		err = sess.Queue(f, batch)
	default:
		err = sess.QueueForm(f, batch)
	}
	if !ok {
		return ErrDropped
	}
	return s.sent(err)
}
