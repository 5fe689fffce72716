package adaptertest

import (
	"bytes"
	"fmt"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// loggable is a packet that goes into the log, in this process or elsewhere.
type loggable struct {
	packet
	room  string // what stands for the offset until it is known
	frame *pool.Frame
}

var _ adapter.Loggable = (*loggable)(nil)

func newLoggable(event string, args []any) *loggable {
	return &loggable{packet: packet{event: event, args: args}}
}

// Encode implements [adapter.Loggable].
func (p *loggable) Encode(room string) error {
	if p.frame != nil {
		return nil
	}
	args := append(append([]any(nil), p.args...), room)
	f, err := codec.JSON.EncodeEvent("/adaptertest", -1, p.event, args)
	if err != nil {
		return err
	}
	// Of the garbage collector, not of the pool: nobody here counts references.
	p.frame, p.room = pool.Static(bytes.Clone(f.Bytes())), room
	f.Release()
	return nil
}

// Stamp implements [adapter.Loggable].
func (p *loggable) Stamp(offset string) {
	if len(offset) != len(p.room) {
		panic(fmt.Sprintf("adaptertest: room for %d bytes, offset %q", len(p.room), offset))
	}
	text, _, _ := codec.NextPart(p.frame.Bytes())
	copy(text[bytes.LastIndex(text, []byte(p.room)):], offset)
	p.offset = offset
}

// Share implements [adapter.Loggable].
func (p *loggable) Share() *pool.Frame { return p.frame }

// missedPacket returns what a client receives.
func missedPacket(m *adapter.Missed) (received, error) {
	if m.Frame == nil {
		return received{event: m.Event, args: m.Args, offset: m.Offset}, nil
	}
	dec := codec.JSON.NewDecoder(&codec.Limits{})
	defer dec.Close()
	for rest := m.Frame.Bytes(); len(rest) > 0; {
		var data []byte
		var binary bool
		data, binary, rest = codec.NextPart(rest)
		var in *codec.In
		var err error
		if binary {
			in, err = dec.Binary(data)
		} else {
			in, err = dec.Text(data[1:])
		}
		if err != nil {
			return received{}, err
		}
		if in == nil {
			continue
		}
		defer in.Release()
		r := received{event: string(in.Event()), args: make([]any, in.Len())}
		for i := range r.args {
			if err := in.Decode(i, &r.args[i]); err != nil {
				return received{}, err
			}
		}
		last := len(r.args) - 1
		if r.args[last] != m.Offset {
			return received{}, fmt.Errorf("a packet with offset %q ends with %v", m.Offset, r.args[last])
		}
		r.offset, r.args = m.Offset, r.args[:last]
		return r, nil
	}
	return received{}, fmt.Errorf("a frame without a packet")
}
