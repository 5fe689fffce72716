package redis

import (
	"bytes"
	"errors"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/codec"
)

// Numbers of the reference's classic requests, the enumeration RequestType of its
// package. Answers to the first six have no number.
const (
	reqSockets = iota
	reqAllRooms
	reqRemoteJoin
	reqRemoteLeave
	reqRemoteDisconnect
	reqRemoteFetch
	reqServerSideEmit
	reqBroadcast
	respClientCount
	respAck
)

// classicChannels are the channels of a namespace.
type classicChannels struct {
	channel  string
	request  string
	response string
}

func (o *ClassicOptions) channels(nsp string) classicChannels {
	key := or(o.Key, DefaultPrefix)
	return classicChannels{
		channel:  key + "#" + nsp + "#",
		request:  key + "-request#" + nsp + "#",
		response: key + "-response#" + nsp + "#",
	}
}

// Encode implements [cluster.Driver].
func (d *classic) Encode(m *cluster.Message) (cluster.Parcel, error) {
	return d.encode(m, d.o.PublishOnSpecificResponseChannel)
}

func (c *classicChannels) encode(m *cluster.Message, specific bool) (cluster.Parcel, error) {
	p := cluster.Parcel{Dest: c.request}
	answers := c.response
	if specific {
		answers += m.To + "#"
	}
	// What the reference always writes in msgpack, and what it can read in it.
	first, binary := cluster.JSON, false
	switch m.Type {
	case cluster.Broadcast:
		first = cluster.Msgpack
		if m.RequestID == "" {
			p.Dest = c.channel
			if len(m.Opts.Rooms) == 1 {
				p.Dest += m.Opts.Rooms[0] + "#"
			}
		}
	case cluster.BroadcastAck:
		first = cluster.Msgpack
		p.Dest = answers
	case cluster.FetchSocketsResponse, cluster.AllRoomsResponse, cluster.BroadcastClientCount:
		binary = true
		p.Dest = answers
	case cluster.ServerSideEmitResponse:
		binary = true
		p.Dest = c.response // whatever the option says, as in the reference
	case cluster.ServerSideEmit:
		binary = true
	}
	var err error
	p.Data, err = encodeClassic(m, first)
	if errors.Is(err, cluster.ErrBinary) && binary {
		p.Data, err = encodeClassic(m, cluster.Msgpack)
	}
	return p, err
}

func encodeClassic(m *cluster.Message, f cluster.Format) ([]byte, error) {
	w := &cluster.Writer{Format: f}
	switch m.Type {
	case cluster.Broadcast:
		if m.RequestID == "" {
			// ["49ENrc",{"type":2,"data":["hi"],"nsp":"/"},{"rooms":[],"except":[],"flags":{}}]
			w.List(3)
			w.String(m.UID)
			w.Packet(m.Event, m.Args, m.Namespace)
			w.Opts(&m.Opts, true)
			w.EndList()
			return w.Bytes()
		}
		w.Object(5)
		requester(w, m, reqBroadcast)
		w.Key("packet")
		w.Packet(m.Event, m.Args, m.Namespace)
		w.Key("opts")
		w.Opts(&m.Opts, true)
	case cluster.SocketsJoin, cluster.SocketsLeave:
		w.Object(4)
		if m.Type == cluster.SocketsJoin {
			requester(w, m, reqRemoteJoin)
		} else {
			requester(w, m, reqRemoteLeave)
		}
		w.Key("opts")
		w.Opts(&m.Opts, false)
		w.Key("rooms")
		w.Strings(m.Rooms)
	case cluster.DisconnectSockets:
		w.Object(4)
		requester(w, m, reqRemoteDisconnect)
		w.Key("opts")
		w.Opts(&m.Opts, false)
		w.Key("close")
		w.Bool(m.Close)
	case cluster.FetchSockets:
		w.Object(4)
		requester(w, m, reqRemoteFetch)
		w.Key("opts")
		w.Opts(&m.Opts, false)
	case cluster.AllRooms:
		w.Object(3)
		requester(w, m, reqAllRooms)
	case cluster.ServerSideEmit:
		n := 3
		if m.RequestID != "" {
			n++
		}
		w.Object(n)
		requester(w, m, reqServerSideEmit)
		w.Key("data")
		w.Event(m.Event, m.Args)
	default:
		encodeClassicResponse(w, m)
	}
	w.EndObject()
	return w.Bytes()
}

// requester writes what requests begin with.
func requester(w *cluster.Writer, m *cluster.Message, typ int64) {
	w.Key("uid")
	w.String(m.UID)
	if m.RequestID != "" {
		w.Key("requestId")
		w.String(m.RequestID)
	}
	w.Key("type")
	w.Int(typ)
}

func encodeClassicResponse(w *cluster.Writer, m *cluster.Message) {
	responder := func(n int, typ int64) {
		w.Object(n)
		if typ > 0 {
			w.Key("type")
			w.Int(typ)
		}
		w.Key("requestId")
		w.String(m.RequestID)
	}
	switch m.Type {
	case cluster.FetchSocketsResponse:
		responder(2, 0)
		w.Key("sockets")
		w.Sockets(m.Sockets)
	case cluster.AllRoomsResponse:
		responder(2, 0)
		w.Key("rooms")
		w.Strings(m.Rooms)
	case cluster.ServerSideEmitResponse:
		responder(3, reqServerSideEmit)
		w.Key("data")
		w.Value(m.Arg)
	case cluster.BroadcastClientCount:
		responder(3, respClientCount)
		w.Key("clientCount")
		w.Int(int64(m.Count))
	case cluster.BroadcastAck:
		responder(3, respAck)
		w.Key("packet")
		w.Value(m.Arg)
	}
}

// Errors of messages that cannot be understood.
var (
	errBroadcast = errors.New("not a broadcast")
	errRequest   = errors.New("not a request")
	errResponse  = errors.New("not an answer")
)

// namespaceOf returns the namespace in a packet; a missing one is "/".
func namespaceOf(packet codec.Value) (nsp string, ok bool) {
	nsp, ok = "/", true
	for name, v := range packet.Members() {
		if name == "nsp" && v.Kind() != codec.NullValue {
			nsp, ok = v.Text()
		}
	}
	return nsp, ok
}

// receiveBroadcast takes in a broadcast.
func (d *classic) receiveBroadcast(p []byte) error {
	if bytes.HasPrefix(p, d.ownHead) {
		return nil
	}
	m, err := decodeBroadcast(p)
	if err != nil {
		return err
	}
	d.a.Receive(m)
	return nil
}

// decodeBroadcast decodes [uid, packet, opts].
func decodeBroadcast(p []byte) (*cluster.Message, error) {
	v, err := cluster.Scan(p)
	if err != nil {
		return nil, err
	}
	var parts [3]codec.Value
	n := 0
	for e := range v.Elements() {
		if n < len(parts) {
			parts[n] = e
		}
		n++
	}
	uid, ok := parts[0].Text()
	if n < len(parts) || !ok {
		return nil, errBroadcast
	}
	nsp, ok := namespaceOf(parts[1])
	if !ok {
		return nil, errBroadcast
	}
	m := &cluster.Message{Type: cluster.Broadcast, UID: uid, Namespace: nsp}
	if err := m.SetPacket(parts[1]); err != nil {
		return nil, err
	}
	return m, m.SetOpts(parts[2])
}

// requestMembers are those of requests and of answers.
type requestMembers struct {
	uid, requestID                                   string
	typ                                              int64
	hasType                                          bool
	opts, rooms, close, data, packet, sockets, count codec.Value
	sid, room                                        codec.Value // of the old form
}

func membersOf(p []byte) (r requestMembers, err error) {
	v, err := cluster.Scan(p)
	if err != nil {
		return r, err
	}
	for name, v := range v.Members() {
		switch name {
		case "uid":
			r.uid, _ = v.Text()
		case "requestId":
			r.requestID, _ = v.Text()
		case "type":
			r.typ, r.hasType = v.Int()
		case "opts":
			r.opts = v
		case "rooms":
			r.rooms = v
		case "close":
			r.close = v
		case "data":
			r.data = v
		case "packet":
			r.packet = v
		case "sockets":
			r.sockets = v
		case "clientCount":
			r.count = v
		case "sid":
			r.sid = v
		case "room":
			r.room = v
		}
	}
	return r, nil
}

// receiveRequest takes in a request.
func (d *classic) receiveRequest(p []byte) error {
	r, err := membersOf(p)
	if err != nil {
		return err
	}
	if r.uid == d.a.UID() {
		return nil
	}
	if r.isOld() {
		return d.receiveOld(&r)
	}
	m, err := r.request(d.a.Namespace())
	if m != nil && err == nil {
		d.a.Receive(m)
	}
	return err
}

// request returns the message a request stands for, nil if its number is not known.
func (r *requestMembers) request(nsp string) (*cluster.Message, error) {
	if !r.hasType {
		return nil, errRequest
	}
	m := &cluster.Message{UID: r.uid, Namespace: nsp, RequestID: r.requestID}
	if m.UID == "" {
		m.UID = cluster.Emitter // which leaves it out
	}
	var err error
	var ok bool
	switch r.typ {
	case reqAllRooms:
		m.Type = cluster.AllRooms
		err = needID(m)
	case reqRemoteJoin, reqRemoteLeave:
		m.Type = cluster.SocketsJoin
		if r.typ == reqRemoteLeave {
			m.Type = cluster.SocketsLeave
		}
		if m.Rooms, ok = cluster.Names(r.rooms); !ok {
			return nil, errRequest
		}
		err = m.SetOpts(r.opts)
	case reqRemoteDisconnect:
		m.Type = cluster.DisconnectSockets
		if m.Close, ok = r.close.Bool(); !ok && r.close.Kind() != codec.NullValue {
			return nil, errRequest
		}
		err = m.SetOpts(r.opts)
	case reqRemoteFetch:
		m.Type = cluster.FetchSockets
		err = errors.Join(needID(m), m.SetOpts(r.opts))
	case reqServerSideEmit:
		m.Type = cluster.ServerSideEmit
		err = m.SetEvent(r.data)
	case reqBroadcast:
		m.Type = cluster.Broadcast
		err = errors.Join(needID(m), m.SetPacket(r.packet), m.SetOpts(r.opts))
	default:
		return nil, nil
	}
	return m, err
}

func needID(m *cluster.Message) error {
	if m.RequestID == "" {
		return errRequest
	}
	return nil
}

// isOld reports whether the request has the form of versions before 6 of the reference,
// which name one socket or ask for ids.
func (r *requestMembers) isOld() bool {
	return r.hasType && (r.typ == reqSockets || r.opts.Kind() == codec.NullValue && r.sid.Kind() != codec.NullValue)
}

// receiveOld answers requests of the old form.
func (d *classic) receiveOld(r *requestMembers) error {
	x := d.a.Index()
	w := &cluster.Writer{Format: cluster.JSON}
	w.Object(2)
	w.Key("requestId")
	w.String(r.requestID)
	if r.typ == reqSockets {
		rooms, ok := cluster.Names(r.rooms)
		if !ok || r.requestID == "" {
			return errRequest
		}
		var ids []string
		for s := range x.Sockets(adapter.Opts{Rooms: rooms}) {
			ids = append(ids, s.ID())
		}
		w.Key("sockets")
		w.Strings(ids)
	} else {
		sid, ok := r.sid.Text()
		if !ok || sid == "" {
			return errRequest
		}
		if x.Lookup(sid) == nil {
			return nil // another server has it
		}
		one := adapter.Opts{Rooms: []string{sid}}
		room, hasRoom := r.room.Name()
		switch {
		case r.typ == reqRemoteJoin && hasRoom:
			x.AddSockets(one, []string{room})
		case r.typ == reqRemoteLeave && hasRoom:
			x.DelSockets(one, []string{room})
		case r.typ == reqRemoteDisconnect:
			off, _ := r.close.Bool()
			x.DisconnectSockets(one, off)
		default:
			return errRequest
		}
	}
	w.EndObject()
	p, err := w.Bytes()
	if err != nil {
		return err
	}
	dest := d.response
	if d.o.PublishOnSpecificResponseChannel {
		dest += r.uid + "#"
	}
	return d.a.Publish(cluster.Parcel{Dest: dest, Data: p})
}

// receiveResponse takes in an answer. Most are for others.
func (d *classic) receiveResponse(p []byte) error {
	r, err := membersOf(p)
	if err != nil {
		return err
	}
	if r.requestID == "" {
		return errResponse
	}
	if !d.a.Waits(r.requestID) {
		return nil
	}
	m, err := r.response(d.a.Namespace())
	if err == nil {
		d.a.Receive(m)
	}
	return err
}

// response returns the message an answer stands for. Who sent it is not said.
func (r *requestMembers) response(nsp string) (*cluster.Message, error) {
	m := &cluster.Message{Namespace: nsp, RequestID: r.requestID}
	var err error
	var ok bool
	switch {
	case !r.hasType && r.sockets.Kind() != codec.NullValue:
		m.Type = cluster.FetchSocketsResponse
		err = m.SetSockets(r.sockets)
	case !r.hasType && r.rooms.Kind() != codec.NullValue:
		m.Type = cluster.AllRoomsResponse
		if m.Rooms, ok = cluster.Names(r.rooms); !ok {
			return nil, errResponse
		}
	case r.hasType && r.typ == reqServerSideEmit:
		m.Type = cluster.ServerSideEmitResponse
		m.SetAnswer(r.data)
	case r.hasType && r.typ == respClientCount:
		m.Type = cluster.BroadcastClientCount
		err = m.SetCount(r.count)
	case r.hasType && r.typ == respAck:
		m.Type = cluster.BroadcastAck
		m.SetAnswer(r.packet)
	default:
		return nil, errResponse
	}
	return m, err
}
