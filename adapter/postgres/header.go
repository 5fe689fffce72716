package postgres

import (
	"bytes"
	"strconv"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/codec"
)

// attachmentMember is in every header.
const attachmentMember = `"attachmentId"`

// header is a notification that refers to a row of the table.
//
//	{"uid":"9517ff3c8a08fcb3","type":3,"attachmentId":"17"}
//
// To its three members a server of ours adds what spares others of ours the row: to
// whom an answer goes, or who a broadcast is for. The reference's overlook that.
//
//	{"uid":"…","type":3,"attachmentId":"17","opts":{"rooms":["r"],"except":[]}}
type header struct {
	uid string
	typ cluster.Type
	id  int64

	to        string           // empty if not said
	requestID string           // of a broadcast that asks for acknowledgements
	opts      *cluster.Message // holds Opts; nil if not said
}

// maxHints bounds the additional members, which must fit into the notification.
const maxHints = 4000

// hints returns the additional members of a message's header as an object; an empty one
// in most cases.
func hints(m *cluster.Message) (string, error) {
	var w cluster.Writer
	switch {
	case m.To != "":
		w.Object(1)
		w.Key("to")
		w.String(m.To)
	case m.Type == cluster.Broadcast:
		w.Object(2)
		w.Key("opts")
		w.Opts(&m.Opts, false)
		if m.RequestID != "" {
			w.Key("requestId")
			w.String(m.RequestID)
		}
	default:
		w.Object(0)
	}
	w.EndObject()
	p, err := w.Bytes()
	if len(p) > maxHints {
		return "{}", err
	}
	return string(p), err
}

// headerParts returns what comes before and after the id in a header.
func headerParts(uid string, typ cluster.Type, hints string) (before, after string) {
	b := codec.AppendJSONString([]byte(`{"uid":`), uid)
	b = append(b, `,"type":`...)
	b = strconv.AppendUint(b, uint64(typ), 10)
	b = append(b, ","+attachmentMember+`:"`...)
	if hints == "{}" {
		return string(b), `"}`
	}
	return string(b), `",` + hints[1:]
}

// parseHeader takes a notification apart. It returns nil without error if it is not a
// header but the message itself.
func parseHeader(payload []byte) (*header, error) {
	if !bytes.Contains(payload, []byte(attachmentMember)) {
		return nil, nil
	}
	v, err := cluster.Scan(payload)
	if err != nil {
		return nil, err
	}
	h := new(header)
	found := false
	for name, v := range v.Members() {
		switch name {
		case "uid":
			h.uid, _ = v.Text()
		case "type":
			n, _ := v.Int()
			h.typ = cluster.Type(min(max(n, 0), 255))
		case "to":
			h.to, _ = v.Text()
		case "requestId":
			h.requestID, _ = v.Text()
		case "opts":
			m := new(cluster.Message)
			if m.SetOpts(v) == nil {
				h.opts = m
			}
		case "attachmentId":
			// The reference writes a string. It is a number in the end.
			id, ok := v.Name()
			if !ok {
				continue // null, say: not a header
			}
			found = true
			if h.id, err = strconv.ParseInt(id, 10, 64); err != nil {
				return nil, cluster.ErrMalformed
			}
		}
	}
	if !found {
		return nil, nil
	}
	return h, nil
}
