package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/internal/invariants"
)

func TestMain(m *testing.M) {
	serveChild()
	os.Exit(m.Run())
}

// brief are options for a run of a few seconds.
func brief() options {
	o := defaults()
	o.Time, o.WarmUp, o.Replace = 4*time.Second, time.Second, 1500*time.Millisecond
	o.Clients, o.Rate = 60, 200
	o.Seed = rand.Uint64()
	o.Brief = true
	return o
}

// TestSoak is a short run on each engine, with another seed every time.
func TestSoak(t *testing.T) {
	for _, engine := range []string{"epoll", "netpoll", "portable"} {
		t.Run("engine="+engine, func(t *testing.T) {
			t.Parallel()
			o := brief()
			o.Engines = []string{engine}
			ok, text := try(t, o)
			t.Log(text)
			if !ok {
				t.Fail()
			}
		})
	}
}

// TestFaultsAreFound runs a server that loses events and forgets things.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	o := brief()
	o.Faulty, o.Wait = true, 3*time.Second
	o.Patience = 5 * time.Second // a client whose answer was lost waits four times as long
	ok, text := try(t, o)
	if ok {
		t.Error("a faulty server passes")
	}
	want := []string{"of msg", "goroutines are left", "descriptors are left", "KiB are left"}
	if invariants.Enabled {
		want = append(want, "frames are left")
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no word of %q in\n%s", w, text)
		}
	}
}

func try(t *testing.T, o options) (bool, string) {
	t.Helper()
	var out strings.Builder
	ok, err := soak(o, &out, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return ok, out.String()
}

// TestRows shows that each figure counts.
func TestRows(t *testing.T) {
	nodes := []address{{Engine: "epoll"}, {Engine: "netpoll"}}
	var none figures
	if left := leftovers(none, none, nodes); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for _, tt := range []struct {
		name  string
		after figures
	}{
		{"descriptors", figures{Descriptors: 2}}, // one is allowed to netpoll
		{"goroutines", figures{Goroutines: 1000}},
		{"timers", figures{Timers: 1}},
		{"connections", figures{Conns: 1}},
		{"sessions", figures{Sessions: 1}},
		{"sockets", figures{Sockets: 1}},
		{"busy sockets", figures{Busy: 1}},
		{"rooms", figures{Rooms: 1}},
		{"namespaces", figures{Namespaces: 1}},
		{"sessions away", figures{Away: 1}},
		{"events logged", figures{Logged: 1}},
		{"heap, KiB", figures{Heap: heapSlack + 1<<10}},
	} {
		if left := leftovers(none, tt.after, nodes); fmt.Sprint(left) != "["+tt.name+"]" {
			t.Errorf("%s: left %v", tt.name, left)
		}
	}
}

func leftovers(before, after figures, nodes []address) (names []string) {
	for _, r := range rows(before, after, nodes) {
		if !r.back() {
			names = append(names, r.name)
		}
	}
	return names
}

// TestPackets reads back what was written, with both parsers.
func TestPackets(t *testing.T) {
	for _, parser := range []string{"json", "msgpack"} {
		for _, p := range []packet{
			{typ: tConnect, nsp: "/", id: -1},
			{typ: tConnect, nsp: "/a", id: -1, data: map[string]any{"pid": "x"}},
			{typ: tDisconnect, nsp: "/a", id: -1},
			{typ: tEvent, nsp: "/", id: -1, data: []any{"e", "1,2", 3}},
			{typ: tEvent, nsp: "/a", id: 12, data: []any{"e", []byte{1, 2}, []any{map[string]any{"b": []byte{}}}}},
			{typ: tAck, nsp: "/", id: 0, data: []any{}},
			{typ: tAck, nsp: "/a", id: 7, data: []any{[]byte("x")}},
		} {
			all, err := p.encode(parser)
			if err != nil {
				t.Fatal(err)
			}
			d := decoder{parser: parser}
			var got *packet
			for i, m := range all {
				if got, err = d.add(m); err != nil || (got != nil) != (i == len(all)-1) {
					t.Fatalf("%s %v: message %d: %v, %v", parser, p, i, got, err)
				}
			}
			if got.typ != p.typ || got.nsp != p.nsp || got.id != p.id || !same(p.data, got.data) {
				t.Errorf("%s: wrote %v, read %v", parser, p, *got)
			}
		}
	}
}
