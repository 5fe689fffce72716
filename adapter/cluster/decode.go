package cluster

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// ErrMalformed is wrapped by the errors of all functions that decode.
var ErrMalformed = errors.New("adapter/cluster: malformed message")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// Limits of what comes from other servers. They are a safeguard, not a policy: the
// content was let in by a server's own limits.
const (
	maxMessage = 256 << 20 // bytes
	maxDepth   = 512       // levels of nesting
)

// Scan checks p, which is JSON if it begins with an opening brace, and msgpack
// otherwise. The value borrows p.
func Scan(p []byte) (codec.Value, error) {
	if len(p) > maxMessage {
		return codec.Value{}, malformed("too large")
	}
	scan := codec.ScanMsgpack
	if len(p) > 0 && p[0] == '{' {
		scan = codec.ScanJSON
	}
	v, err := scan(p, maxDepth)
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return v, nil
}

// Decode decodes an envelope. The message borrows p until it has been handled. Of a
// type that is not known only what the envelope says is decoded.
func Decode(p []byte) (*Message, error) {
	v, err := Scan(p)
	if err != nil {
		return nil, err
	}
	m := new(Message)
	var data codec.Value
	for name, v := range v.Members() {
		ok := true
		switch name {
		case "type":
			m.Type, ok = typeOf(v)
		case "uid":
			m.UID, ok = v.Text()
		case "nsp":
			m.Namespace, ok = v.Text()
		case "data":
			data = v
		}
		if !ok {
			return nil, malformed(name)
		}
	}
	if v.Kind() != codec.ObjectValue || m.Type == 0 || m.UID == "" {
		return nil, malformed("no envelope")
	}
	return m, m.setData(data)
}

// typeOf reads a message's type. Numbers that are none of ours become the largest one.
func typeOf(v codec.Value) (Type, bool) {
	n, ok := v.Int()
	if n < 0 || n > math.MaxUint8 {
		n = math.MaxUint8
	}
	return Type(n), ok && n != 0
}

// DecodeData decodes the member data, from JSON or msgpack, of a message whose
// envelope came by other means: Type, UID and Namespace are set.
func (m *Message) DecodeData(p []byte) error {
	if len(p) == 0 {
		return m.setData(codec.Value{})
	}
	v, err := Scan(p)
	if err != nil {
		return err
	}
	return m.setData(v)
}

// dataMembers collects the members of data. Of several of one name the last counts.
type dataMembers struct {
	opts, packet, requestID, rooms, close, sockets, count, pid, found codec.Value
}

// setData takes over what a message of its type must hold.
//
// Everything is checked, and nothing assumed for what is missing: a selection that got
// lost would mean everybody.
func (m *Message) setData(data codec.Value) error {
	var d dataMembers
	for name, v := range data.Members() {
		switch name {
		case "opts":
			d.opts = v
		case "packet":
			d.packet = v
		case "requestId":
			d.requestID = v
		case "rooms":
			d.rooms = v
		case "close":
			d.close = v
		case "sockets":
			d.sockets = v
		case "clientCount":
			d.count = v
		case "pid":
			d.pid = v
		case "found":
			d.found = v
		}
	}
	var ok bool
	if d.requestID.Kind() != codec.NullValue {
		if m.RequestID, ok = d.requestID.Text(); !ok {
			return malformed("requestId")
		}
	}
	switch m.Type {
	case Broadcast:
		if err := m.SetPacket(d.packet); err != nil {
			return err
		}
		return m.SetOpts(d.opts)
	case SocketsJoin, SocketsLeave:
		if m.Rooms, ok = Names(d.rooms); !ok {
			return malformed("rooms")
		}
		return m.SetOpts(d.opts)
	case DisconnectSockets:
		if m.Close, ok = d.close.Bool(); !ok && d.close.Kind() != codec.NullValue {
			return malformed("close")
		}
		return m.SetOpts(d.opts)
	case FetchSockets:
		return errors.Join(m.needRequest(), m.SetOpts(d.opts))
	case FetchSocketsResponse:
		return errors.Join(m.needRequest(), m.SetSockets(d.sockets))
	case ServerSideEmit:
		return m.SetEvent(d.packet)
	case ServerSideEmitResponse, BroadcastAck:
		m.SetAnswer(d.packet)
		return m.needRequest()
	case BroadcastClientCount:
		return errors.Join(m.needRequest(), m.SetCount(d.count))
	case AllRooms:
		return m.needRequest()
	case Evict:
		if m.PID, ok = d.pid.Text(); !ok {
			return malformed("pid")
		}
		return m.needRequest()
	case EvictResponse:
		if m.Found, ok = d.found.Bool(); !ok {
			return malformed("found")
		}
		return m.needRequest()
	case AllRoomsResponse:
		if m.Rooms, ok = Names(d.rooms); !ok {
			return malformed("rooms")
		}
		return m.needRequest()
	}
	return nil
}

func (m *Message) needRequest() error {
	if m.RequestID == "" {
		return malformed("no requestId")
	}
	return nil
}

// SetPacket takes over the packet of a Broadcast. A namespace in it must be the
// message's, if that is set.
func (m *Message) SetPacket(packet codec.Value) error {
	var typ int64 = -1
	var data codec.Value
	for name, v := range packet.Members() {
		switch name {
		case "type":
			typ, _ = v.Int()
		case "data":
			data = v
		}
	}
	// Anything but an event, a disconnect order for example, would reach clients
	// behind the server's back.
	if typ != packetEvent {
		return malformed("packet")
	}
	return m.SetEvent(data)
}

// SetEvent takes over an event with its arguments, still undecoded.
func (m *Message) SetEvent(list codec.Value) error {
	for v := range list.Elements() {
		if _, ok := v.Name(); ok {
			m.raw = list
			return nil
		}
		break
	}
	return malformed("event")
}

// SetAnswer takes over the value of a ServerSideEmitResponse or BroadcastAck, still
// undecoded.
func (m *Message) SetAnswer(v codec.Value) { m.raw = v }

// SetCount takes over the value of a BroadcastClientCount.
func (m *Message) SetCount(v codec.Value) error {
	n, ok := v.Int()
	if !ok || n < 0 || n > math.MaxInt32 {
		return malformed("clientCount")
	}
	m.Count = int(n)
	return nil
}

// SetOpts takes over a selection. Both lists must be there.
func (m *Message) SetOpts(opts codec.Value) error {
	var rooms, except, flags codec.Value
	for name, v := range opts.Members() {
		switch name {
		case "rooms":
			rooms = v
		case "except":
			except = v
		case "flags":
			flags = v
		}
	}
	var o adapter.Opts
	var ok1, ok2 bool
	o.Rooms, ok1 = Names(rooms)
	o.Except, ok2 = Names(except)
	if !ok1 || !ok2 {
		return malformed("opts")
	}
	for name, v := range flags.Members() {
		on, isBool := v.Bool()
		switch {
		case name == "volatile" && on:
			o.Flags |= adapter.Volatile
		case name == "compress" && isBool && !on:
			o.Flags |= adapter.NoCompress
		case name == "expectSingleResponse" && on:
			o.Flags |= adapter.Single
		case name == "timeout":
			n, _ := v.Int()
			o.Timeout = time.Duration(min(max(n, 0), maxTimeout.Milliseconds())) * time.Millisecond
		}
	}
	m.Opts = o
	return nil
}

// Names reads a list of rooms. A number is the room it is the name of.
func Names(v codec.Value) (names []string, ok bool) {
	if v.Kind() != codec.ListValue {
		return nil, false
	}
	for e := range v.Elements() {
		name, ok := e.Name()
		if !ok {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}
