package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

func newDriver(o Options) *driver {
	o.setDefaults()
	return &driver{o: o}
}

// Every recorded notification and row decodes, and what is encoded from that is the same
// message by the same way.
func TestVectors(t *testing.T) {
	d := newDriver(Options{})
	rows := make(map[string]cluster.Parcel) // of those encoded here, by the recorded id
	headers := 0
	for _, v := range clustertest.Vectors(t, "postgres") {
		switch v.Op {
		case "LISTEN":
			if v.Channel != d.o.ChannelPrefix+"#/" {
				t.Errorf("channel %s", v.Channel)
			}
			continue
		case "INSERT":
			if v.Table != d.o.TableName {
				t.Errorf("table %s", v.Table)
			}
			p := v.Payload(t)
			m, err := cluster.Decode(p)
			if err != nil {
				t.Fatalf("%s: %v", v.Step, err)
			}
			got, err := d.Encode(clustertest.Outgoing(t, m))
			if err != nil || got.Format != cluster.Msgpack || !reflect.DeepEqual(clustertest.Tree(t, got.Data), clustertest.Tree(t, p)) {
				t.Errorf("%s: encoded %q, want %q; %v", v.Step, got.Data, p, err)
			}
			rows[v.ID] = got
			continue
		case "NOTIFY":
		default:
			continue
		}
		h, err := parseHeader([]byte(v.Text))
		if err != nil {
			t.Fatalf("%s: %v", v.Step, err)
		}
		if h == nil {
			m, err := cluster.Decode([]byte(v.Text))
			if err != nil {
				t.Errorf("%s: %v", v.Step, err)
				continue
			}
			got, err := d.Encode(clustertest.Outgoing(t, m))
			if err != nil || got.Format != cluster.JSON || !reflect.DeepEqual(clustertest.Tree(t, got.Data), clustertest.Tree(t, []byte(v.Text))) {
				t.Errorf("%s: encoded %q, want %q; %v", v.Step, got.Data, v.Text, err)
			}
			continue
		}
		headers++
		row, ok := rows[fmt.Sprint(h.id)]
		if !ok {
			t.Fatalf("%s: header of row %d", v.Step, h.id)
		}
		before, after := headerParts(h.uid, h.typ, row.Dest)
		got := clustertest.Tree(t, fmt.Appendf(nil, "%s%d%s", before, h.id, after)).(map[string]any)
		delete(got, "opts") // ours alone
		if want := clustertest.Tree(t, []byte(v.Text)); !reflect.DeepEqual(any(got), want) {
			t.Errorf("%s: header %v, want %v", v.Step, got, want)
		}
	}
	if headers == 0 || headers != len(rows) {
		t.Errorf("%d headers of %d rows", headers, len(rows))
	}
}

// What a header of ours says comes back.
func TestHeaders(t *testing.T) {
	o := adapter.Opts{Rooms: []string{`r"1`, "é"}, Except: []string{"x"}, ExceptID: "id"}
	for _, m := range []*cluster.Message{
		{Type: cluster.Broadcast, Opts: o},
		{Type: cluster.Broadcast, RequestID: "req", Opts: o},
		{Type: cluster.BroadcastAck, To: "other", RequestID: "req"},
		{Type: cluster.ServerSideEmit},
		{Type: cluster.SocketsJoin, Opts: o},
		{Type: cluster.Broadcast, Opts: adapter.Opts{Rooms: []string{strings.Repeat("long", 2000)}}},
	} {
		text, err := hints(m)
		if err != nil {
			t.Fatal(err)
		}
		before, after := headerParts(`u"id`, m.Type, text)
		got := before + "9007199254740993" + after
		if len(got) > MaxPayload/2+200 {
			t.Errorf("%d bytes", len(got))
		}
		h, err := parseHeader([]byte(got))
		if err != nil || h == nil {
			t.Fatalf("%s: %v, %v", got, h, err)
		}
		if h.uid != `u"id` || h.typ != m.Type || h.id != 9007199254740993 || h.to != m.To {
			t.Errorf("%s: %+v", got, h)
		}
		if m.Type != cluster.Broadcast || len(m.Opts.Rooms) == 1 {
			if h.opts != nil || h.requestID != "" {
				t.Errorf("%s: %+v", got, h)
			}
			continue
		}
		want := adapter.Opts{Rooms: o.Rooms, Except: []string{"x", "id"}}
		if h.requestID != m.RequestID || h.opts == nil || !reflect.DeepEqual(h.opts.Opts, want) {
			t.Errorf("%s: %+v", got, h)
		}
	}
}

// The threshold is the first size for which the table is used, and 8000 for whoever says
// more.
func TestThreshold(t *testing.T) {
	for threshold, first := range map[int]int{0: MaxPayload, 500: 500, 20000: MaxPayload, -1: MaxPayload} {
		d := newDriver(Options{PayloadThreshold: threshold})
		for _, size := range []int{first - 1, first} {
			m := &cluster.Message{Type: cluster.Broadcast, UID: "0123456789abcdef", Namespace: "/", Event: "e", Args: []any{""}}
			p, err := d.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			m.Args[0] = strings.Repeat("x", size-len(p.Data))
			if p, err = d.Encode(m); err != nil {
				t.Fatal(err)
			}
			if table := p.Format == cluster.Msgpack; table != (size == first) || !table && len(p.Data) != size {
				t.Errorf("threshold %d: %d bytes, table %t", threshold, len(p.Data), table)
			}
		}
	}
}

// No two notifications of a transaction are equal, and none is too long.
func TestBatchesHaveNoEqualNotifications(t *testing.T) {
	p := publisher{channel: "c", uid: "u", insert: insertSQL(DefaultTableName)}
	for _, size := range []int{2, MaxPayload - 3, MaxPayload - 1} {
		text := "{" + strings.Repeat(" ", size-2) + "}"
		ps := make([]cluster.Parcel, 256)
		for i := range ps {
			ps[i].Data = []byte(text)
		}
		batches := 0
		for len(ps) > 0 {
			b, n := p.batch(ps)
			if n == 0 || b.Len() != n {
				t.Fatalf("%d parcels make a batch of %d", n, b.Len())
			}
			batches++
			ps = ps[n:]
			seen := make(map[string]bool)
			for _, q := range b.QueuedQueries {
				got := q.Arguments[1].(string)
				if seen[got] || len(got) >= MaxPayload || strings.TrimRight(got, blank) != text {
					t.Fatalf("%q", got[len(text)-1:])
				}
				seen[got] = true
			}
		}
		if want := map[int]int{2: 1, MaxPayload - 3: 16, MaxPayload - 1: 256}[size]; batches != want {
			t.Errorf("%d bytes: %d batches, want %d", size, batches, want)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		err  error
		want verdict
	}{
		{nil, committed},
		{&unsentError{errors.New("x")}, rolledBack},
		{errors.New("unexpected EOF"), unknown},
		{&pgconn.PgError{Code: "57P01"}, rolledBack},
		{&pgconn.PgError{Code: "25006"}, rolledBack},
		{fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: "42P01"}), refused},
		{&pgconn.PgError{Code: "22023"}, refused},
		{&pgconn.PgError{}, refused},
		{pgx.ErrTxClosed, unknown},
	} {
		if got := judge(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
}

func TestTableNames(t *testing.T) {
	for name, want := range map[string]bool{
		"socket_io_attachments": true, "app.Attachments": true, `"My ""own"" table"`: true, `a."b.c".d`: true, "été$1": true,
		"a b": false, "a;": false, "a.": false, "1a": false, `"a`: false, `""`: false, `a"b"`: false, "a.b.c.d": false, "a\n": false,
	} {
		if tableName.MatchString(name) != want {
			t.Errorf("%q: a name is %t", name, !want)
		}
	}
}
