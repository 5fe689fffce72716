package nats

import (
	"bytes"
	"errors"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

func TestOffsetsHaveAnOrder(t *testing.T) {
	list := []offset{{0, 0}, {0, 1}, {0, 1 << 63}, {1, 0}, {1764200000000000000, 5}, {1764200000000000000, 36}, {1764200000000000001, 0}}
	for i, a := range list {
		for j, b := range list {
			order, ok := logged{}.Compare(a.String(), b.String())
			if want := min(max(i-j, -1), 1); order != want || !ok {
				t.Errorf("%v and %v: %d, %v", a, b, order, ok)
			}
		}
		if len(a.String()) > adapter.MaxOffset {
			t.Errorf("%s is too long", a)
		}
	}
	for _, bad := range []string{"", "-", "1", "1-", "-1", "01-1", "1-01", "1-1-1", "A-1", "1- 1", "+1-1", "zzzzzzzzzzzzzzzzzz-1"} {
		if _, ok := (logged{}).Compare("1-1", bad); ok {
			t.Errorf("%q is an offset", bad)
		}
	}
}

func TestEntries(t *testing.T) {
	d := newDriver(nil, "epio", AllRooms)
	logged{driver: d}.EnableRecovery(adapter.RecoveryConfig{})
	d.subjects = newSubjects("epio", "/chat")
	d.log.subject = d.logged()
	m := &cluster.Message{Type: cluster.Broadcast, UID: "u1", Namespace: "/chat", Event: "e", Args: []any{"x"}}
	m.Opts.Rooms = []string{"r"}
	p, err := d.Encode(m)
	if err != nil || p.Dest != "sio.epio.L2NoYXQ.log" {
		t.Fatal(p.Dest, err)
	}
	frame := append(append(appendUID(nil, entry, "u1"), byte(m.Type)), p.Data...)
	var ps parts
	for _, list := range [][][]byte{{frame}, cut(t, "u1", 1, frame, 30)} {
		var got *cluster.Message
		for i, b := range list {
			var data []byte
			if got, data, err = decodeEntry(&ps, "/chat", b); err != nil || (got != nil) != (i == len(list)-1) {
				t.Fatal(got, err)
			} else if got != nil && !bytes.Equal(data, p.Data) {
				t.Errorf("member data %q", data)
			}
		}
		event, args, err := got.Payload()
		if event != "e" || len(args) != 1 || args[0] != "x" || err != nil || got.UID != "u1" || got.Opts.Rooms[0] != "r" {
			t.Errorf("%v %v %v %v", got, event, args, err)
		}
	}
	for _, bad := range [][]byte{nil, {entry}, {whole, '{', '}'}, {entry, 1, 'u'}, {entry, 1, '*', 3}, {entry, 1, 'u', 3}, {entry, 1, 'u', 3, 0xc1}} {
		if m, _, err := decodeEntry(&ps, "/", bad); m != nil || err == nil {
			t.Errorf("%q: %v, %v", bad, m, err)
		}
	}
	if _, _, err := decodeEntry(&ps, "/", cut(t, "u1", 2, frame, 30)[1]); !errors.Is(err, errMissing) {
		t.Errorf("a later part alone: %v", err)
	}
	// What is only for who is there stays out of the log.
	m.Opts.Flags = adapter.Volatile
	if p, err := d.Encode(m); p.Dest != d.room("r") || err != nil {
		t.Error(p.Dest, err)
	}
}
