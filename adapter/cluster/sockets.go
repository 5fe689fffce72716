package cluster

import (
	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// SetSockets takes over the descriptions of a FetchSocketsResponse, still undecoded.
func (m *Message) SetSockets(list codec.Value) error {
	if list.Kind() != codec.ListValue {
		return malformed("sockets")
	}
	m.raw = list
	return nil
}

// Descriptions decodes what an incoming FetchSocketsResponse holds.
func (m *Message) Descriptions() ([]adapter.SocketInfo, error) {
	var infos []adapter.SocketInfo
	for v := range m.raw.Elements() {
		s, err := socketInfo(v)
		if err != nil {
			return nil, err
		}
		infos = append(infos, s)
	}
	return infos, nil
}

// socketInfo reads one description. What is missing in it stays empty.
func socketInfo(v codec.Value) (s adapter.SocketInfo, err error) {
	for name, v := range v.Members() {
		switch name {
		case "id":
			s.ID, _ = v.Text()
		case "rooms":
			s.Rooms, _ = Names(v)
		case "data":
			if s.Data, err = v.Any(); err != nil {
				return s, err
			}
		case "handshake":
			if v.Kind() != codec.ObjectValue {
				continue
			}
			if s.Handshake, err = handshake(v); err != nil {
				return s, err
			}
		}
	}
	if s.ID == "" {
		return s, malformed("socket without id")
	}
	return s, nil
}

func handshake(v codec.Value) (*adapter.Handshake, error) {
	h := new(adapter.Handshake)
	var err error
	for name, v := range v.Members() {
		switch name {
		case "headers":
			h.Headers, err = object(v)
		case "query":
			h.Query, err = object(v)
		case "auth":
			h.Auth, err = v.Any()
		case "time":
			h.Time, _ = v.Text()
		case "address":
			h.Address, _ = v.Text()
		case "url":
			h.URL, _ = v.Text()
		case "xdomain":
			h.XDomain, _ = v.Bool()
		case "secure":
			h.Secure, _ = v.Bool()
		case "issued":
			h.Issued, _ = v.Int()
		}
		if err != nil {
			return nil, err
		}
	}
	return h, nil
}

func object(v codec.Value) (map[string]any, error) {
	a, err := v.Any()
	o, _ := a.(map[string]any)
	return o, err
}
