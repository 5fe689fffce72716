package postgres

import (
	"bytes"
	"reflect"
	"strconv"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// Notifications: a message itself, a header, or refused; and what a header says is said again
// by the header made of it.
func FuzzNotification(f *testing.F) {
	for _, v := range clustertest.Vectors(f, "postgres") {
		if v.Op == "NOTIFY" {
			f.Add([]byte(v.Text))
		}
	}
	f.Add([]byte(`{"uid":"u","type":3,"attachmentId":"17","opts":{"rooms":["r"],"except":[]},"requestId":"x"}`))
	f.Add([]byte(`{"uid":"u","type":8,"attachmentId":17,"to":"v"}`))
	f.Add([]byte(`{"uid":"u","type":3,"attachmentId":null}`))
	f.Add([]byte(`{"uid":"u","type":3,"attachmentId":"1e9"}`))
	f.Add([]byte(`{"uid":"u","type":3,"nsp":"/","data":{"packet":{"type":2,"data":["\"attachmentId\""]},"opts":{"rooms":[],"except":[]}}}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		sent := bytes.Clone(p)
		h, err := parseHeader(p)
		if !bytes.Equal(p, sent) {
			t.Fatalf("%q was changed", sent)
		}
		if err != nil {
			if h != nil {
				t.Fatal("both")
			}
			return
		}
		if h == nil {
			return
		}
		m := &cluster.Message{Type: h.typ, To: h.to, RequestID: h.requestID}
		if h.opts != nil {
			m.Opts = h.opts.Opts
		}
		said, err := hints(m)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		before, after := headerParts(h.uid, h.typ, said)
		again := []byte(before + strconv.FormatInt(h.id, 10) + after)
		back, err := parseHeader(again)
		if err != nil || back == nil {
			t.Fatalf("%q became %q: %v", p, again, err)
		}
		if back.uid != h.uid || back.typ != h.typ || back.id != h.id {
			t.Fatalf("%q says %+v, sent again, as %q, %+v", p, h, again, back)
		}
		if said == "{}" {
			return // too long, or nothing to say
		}
		if back.to != h.to || h.to == "" && back.requestID != h.requestID {
			t.Fatalf("%q says %+v, sent again, as %q, %+v", p, h, again, back)
		}
		if h.to == "" && h.opts != nil &&
			(back.opts == nil || !reflect.DeepEqual(back.opts.Opts.Rooms, h.opts.Opts.Rooms) || !reflect.DeepEqual(back.opts.Opts.Except, h.opts.Opts.Except)) {
			t.Fatalf("%q is for %+v, sent again, as %q, for %+v", p, h.opts, again, back.opts)
		}
	})
}
