package sio

import (
	"sync/atomic"

	"github.com/epio-go/epio/codec"
)

// Message is an incoming event. It is valid until the handler that got it
// returns; Clone keeps it. Nothing may be written to the slices it returns.
type Message struct {
	s     *Socket
	in    *codec.In
	event string // set when somebody asked for it
	own   atomic.Bool
	acked *atomic.Bool // shared with clones; nil = own
	tap   func([]any)  // told of the answer before it is sent; nil: nobody is
}

// Event returns the event's name. It is empty for the odd packet that has none.
func (m *Message) Event() string {
	if m.event == "" {
		m.event = string(m.in.Event())
	}
	return m.event
}

// Socket returns the socket the event came from.
func (m *Message) Socket() *Socket { return m.s }

// Len returns the number of arguments.
func (m *Message) Len() int { return m.in.Len() }

// Scan decodes the arguments, in order, into what dst point to. Missing
// arguments leave their destination alone; there may be more arguments than
// destinations. The error names the argument that did not fit and is a
// *codec.DecodeError.
func (m *Message) Scan(dst ...any) error {
	for i, d := range dst {
		if err := m.in.Decode(i, d); err != nil {
			return err
		}
	}
	return nil
}

// Decode decodes argument i into what v points to. See Scan.
func (m *Message) Decode(i int, v any) error { return m.in.Decode(i, v) }

// Args decodes all arguments into the types of encoding/json (objects become
// map[string]any, numbers float64), binary into []byte and, with codec.Msgpack,
// Dates into time.Time.
func (m *Message) Args() ([]any, error) {
	args := make([]any, m.in.Len())
	for i := range args {
		if err := m.in.Decode(i, &args[i]); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// Raw returns argument i as it was received: JSON, in which placeholder objects
// stand for binary, or msgpack, complete, if that is Config.Parser. It is borrowed
// until the handler returns. It panics when i is out of range.
//
// The cheapest way to pass an argument on is to emit it as json.RawMessage (if
// there are no attachments) or msgp.Raw (github.com/tinylib/msgp/msgp). As an
// argument each also works with the other parser, at the price of a conversion, in
// which binary becomes base64.
func (m *Message) Raw(i int) []byte { return m.in.Raw(i) }

// Attachments returns how many binary attachments the event has; none with
// codec.Msgpack, where binary is part of the arguments.
func (m *Message) Attachments() int { return m.in.Attachments() }

// HasAck reports whether the client asked for an acknowledgement.
func (m *Message) HasAck() bool { return m.in.HasID }

// Ack answers the event. Only the first call with arguments that can be encoded
// does; later ones, and calls for an event whose client asked for no answer, do
// nothing. It may be called from any
// goroutine, on a clone also after the handler has returned. Errors are those of
// Emit.
func (m *Message) Ack(args ...any) error {
	if !m.in.HasID || m.answered().Load() {
		return nil
	}
	f, err := m.s.ns.srv.cfg.Parser.EncodeAck(m.s.name(), m.in.ID, args)
	if err != nil {
		m.s.c.srv.unencoded(m.Event(), m.s.nsp, err)
		return &EncodeError{Err: err} // not answered yet
	}
	if m.answered().Swap(true) {
		f.Release()
		return nil
	}
	m.warnAnswer(f)
	if m.tap != nil {
		m.tap(args)
	}
	return m.s.send(f)
}

// Clone returns a copy that stays valid.
func (m *Message) Clone() *Message {
	if m.acked == nil {
		m.acked = new(atomic.Bool)
		m.acked.Store(m.own.Load())
	}
	return &Message{s: m.s, in: m.in.Clone(), event: m.event, acked: m.acked, tap: m.tap}
}

// unanswered returns what is needed to answer m later, which is not its arguments. event is
// its name.
func (m *Message) unanswered(event string) *Message {
	return &Message{s: m.s, in: &codec.In{Type: codec.Event, HasID: true, ID: m.in.ID}, event: event, tap: m.tap}
}

func (m *Message) answered() *atomic.Bool {
	if m.acked != nil {
		return m.acked
	}
	return &m.own
}
