package cluster

// Encode returns the message in JSON, or in msgpack if it holds binary in a place
// where the reference looks for some.
func (m *Message) Encode() (p []byte, f Format, err error) {
	p, err = m.EncodeAs(JSON)
	if err == ErrBinary && m.Type.mayHoldBinary() {
		p, err = m.EncodeAs(Msgpack)
		return p, Msgpack, err
	}
	return p, JSON, err
}

// EncodeAs returns the message in format f. In JSON, binary is ErrBinary.
//
//	{"type":3,"data":{"packet":{"type":2,"data":["hi",1]},"opts":{…}},"uid":"c4893c711092dfc6","nsp":"/"}
func (m *Message) EncodeAs(f Format) ([]byte, error) {
	w := NewWriter(f)
	if m.hasData() {
		w.Object(4)
	} else {
		w.Object(3)
	}
	w.Key("type")
	w.Int(int64(m.Type))
	if m.hasData() {
		w.Key("data")
		m.data(w)
	}
	w.Key("uid")
	w.String(m.UID)
	w.Key("nsp")
	w.String(m.Namespace)
	w.EndObject()
	return w.Bytes()
}

// EncodeData returns the member data alone, in JSON, or in msgpack if it holds binary;
// nil for messages without.
func (m *Message) EncodeData() (p []byte, f Format, err error) {
	if !m.hasData() {
		return nil, JSON, nil
	}
	p, err = m.EncodeDataAs(JSON)
	if err == ErrBinary && m.Type.mayHoldBinary() {
		p, err = m.EncodeDataAs(Msgpack)
		return p, Msgpack, err
	}
	return p, JSON, err
}

// EncodeDataAs is EncodeData in format f.
func (m *Message) EncodeDataAs(f Format) ([]byte, error) {
	w := NewWriter(f)
	m.data(w)
	return w.Bytes()
}

func (m *Message) hasData() bool {
	switch m.Type {
	case InitialHeartbeat, Heartbeat, AdapterClose:
		return false
	}
	return true
}

// data writes the member data, in the reference's order of members.
func (m *Message) data(w *Writer) {
	switch m.Type {
	case Broadcast:
		m.object(w, 2)
		w.Key("packet")
		w.Packet(m.Event, m.Args, "")
		m.request(w)
		w.Key("opts")
		w.Opts(&m.Opts, true)
	case SocketsJoin, SocketsLeave:
		w.Object(2)
		w.Key("opts")
		w.Opts(&m.Opts, true)
		w.Key("rooms")
		w.Strings(m.Rooms)
	case DisconnectSockets:
		w.Object(2)
		w.Key("opts")
		w.Opts(&m.Opts, true)
		w.Key("close")
		w.Bool(m.Close)
	case FetchSockets:
		m.object(w, 1)
		w.Key("opts")
		w.Opts(&m.Opts, true)
		m.request(w)
	case FetchSocketsResponse:
		m.object(w, 1)
		m.request(w)
		w.Key("sockets")
		w.Sockets(m.Sockets)
	case ServerSideEmit:
		m.object(w, 1)
		m.request(w)
		w.Key("packet")
		w.Event(m.Event, m.Args)
	case ServerSideEmitResponse, BroadcastAck:
		m.object(w, 1)
		m.request(w)
		w.Key("packet")
		w.Value(m.Arg)
	case BroadcastClientCount:
		m.object(w, 1)
		m.request(w)
		w.Key("clientCount")
		w.Int(int64(m.Count))
	case Evict:
		m.object(w, 1)
		m.request(w)
		w.Key("pid")
		w.String(m.PID)
	case EvictResponse:
		m.object(w, 1)
		m.request(w)
		w.Key("found")
		w.Bool(m.Found)
	case AllRooms:
		m.object(w, 0)
		m.request(w)
	case AllRoomsResponse:
		m.object(w, 1)
		m.request(w)
		w.Key("rooms")
		w.Strings(m.Rooms)
	}
	w.EndObject()
}

// object begins the member data with n members and the request id, if there is one.
func (m *Message) object(w *Writer, n int) {
	if m.RequestID != "" {
		n++
	}
	w.Object(n)
}

func (m *Message) request(w *Writer) {
	if m.RequestID != "" {
		w.Key("requestId")
		w.String(m.RequestID)
	}
}
