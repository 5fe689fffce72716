package sio

import (
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// forms holds a broadcast in the forms other than the plain one that its receivers
// turned out to need. Text is the same in all of them, so there is only something here
// when there are binary attachments.
type forms struct {
	frames *[codec.FormV3Base64 + 1]*pool.Frame
	state  formState
}

type formState uint8

const (
	formsUnknown formState = iota // nobody has asked yet
	formsSame                     // no binary
	formsDiffer
)

// rewritten returns one more reference to the frame in the form f, or nil when the
// plain one will do.
func (b *broadcast) rewritten(f codec.Form) *pool.Frame {
	if f == codec.FormPlain || b.forms.state == formsSame {
		return nil
	}
	if b.forms.state == formsUnknown {
		b.forms.state = formsSame
		if !codec.HasBinary(b.frame.Bytes()) {
			return nil
		}
		b.forms.state = formsDiffer
		b.forms.frames = new([codec.FormV3Base64 + 1]*pool.Frame)
	}
	frame := &b.forms.frames[f]
	if *frame == nil {
		*frame = codec.NewFrameIn(f, b.frame.Bytes())
	}
	(*frame).Retain(1)
	return *frame
}

// release gives up the frames.
func (f *forms) release() {
	if f.frames == nil {
		return
	}
	for _, frame := range f.frames {
		if frame != nil {
			frame.Release()
		}
	}
}

// queueForm queues a frame that rewritten returned.
func (s *Socket) queueForm(f *pool.Frame, batch *engine.Batch, volatile bool) error {
	if !volatile {
		return s.sent(s.c.sess.QueueForm(f, batch))
	}
	if !s.c.sess.QueueFormVolatile(f, batch) {
		return ErrDropped
	}
	return nil
}
