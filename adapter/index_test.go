package adapter

import (
	"slices"
	"testing"
)

// sock is a receiver that remembers the events it got.
type sock struct {
	Member
	id     string
	got    []string // guarded by the shard's lock, like every Deliver
	refuse bool     // Deliver says false

	leaving bool // Connected says false

	disconnected func(close bool)
}

func (s *sock) ID() string { return s.id }

func (s *sock) Connected() bool { return !s.leaving }

func (s *sock) Deliver(p Packet, b Batch) bool {
	if s.refuse {
		return false
	}
	s.got = append(s.got, p.Event())
	return true
}

func (s *sock) Disconnect(close bool) {
	if s.disconnected != nil {
		s.disconnected(close)
	}
}

func (s *sock) Info() SocketInfo { return SocketInfo{ID: s.id, Local: s} }

// take returns what s got since the last call.
func (s *sock) take() []string {
	got := s.got
	s.got = nil
	return got
}

// event is a packet without arguments.
type event string

func (e event) Event() string { return string(e) }
func (e event) Args() []any   { return nil }

// newSock attaches and connects a socket.
func newSock(t testing.TB, x *Index, id string) *sock {
	t.Helper()
	s := &sock{id: id}
	if err := x.Attach(&s.Member, s); err != nil {
		t.Fatalf("attach %s: %v", id, err)
	}
	if err := x.Connect(&s.Member, nil); err != nil {
		t.Fatalf("connect %s: %v", id, err)
	}
	return s
}

func mustJoin(t testing.TB, x *Index, s *sock, rooms ...string) {
	t.Helper()
	if err := x.Join(&s.Member, rooms...); err != nil {
		t.Fatalf("join %s: %v", s.id, err)
	}
}

// receivers broadcasts and returns the sorted ids of those that got the packet,
// once per time they got it.
func receivers(x *Index, o Opts, all ...*sock) []string {
	x.Broadcast(event("who"), o)
	ids := []string{}
	for _, s := range all {
		for range s.take() {
			ids = append(ids, s.id)
		}
	}
	slices.Sort(ids)
	return ids
}

func wantIDs(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConfigSizes(t *testing.T) {
	for _, c := range []struct {
		in              Config
		shards, stripes int
	}{
		{Config{Shards: 1, Stripes: 1}, 1, 1},
		{Config{Shards: 3, Stripes: 5}, 4, 8},
		{Config{Shards: 64}, 64, 256},
		{Config{Shards: 1000, Stripes: 1 << 20}, 64, 1 << 16},
	} {
		x := NewIndex(c.in)
		if len(x.shards) != c.shards || len(x.stripes) != c.stripes {
			t.Errorf("%+v: %d shards, %d stripes, want %d, %d", c.in, len(x.shards), len(x.stripes), c.shards, c.stripes)
		}
	}
	if n := len(NewIndex(Config{}).shards); n&(n-1) != 0 || n < 4 || n > maxShards {
		t.Errorf("default: %d shards", n)
	}
}

func TestLenAndLookup(t *testing.T) {
	x := NewIndex(Config{})
	a := newSock(t, x, "a")
	b := &sock{id: "b"}
	if err := x.Attach(&b.Member, b); err != nil {
		t.Fatal(err)
	}
	if n := x.Len(); n != 1 {
		t.Errorf("Len = %d with one connected socket", n)
	}
	if r := x.Lookup("a"); r != a {
		t.Errorf("Lookup(a) = %v", r)
	}
	for _, id := range []string{"b", "nobody"} {
		if r := x.Lookup(id); r != nil {
			t.Errorf("Lookup(%s) = %v, want nil", id, r)
		}
	}
	x.Detach(&a.Member)
	if r := x.Lookup("a"); r != nil {
		t.Errorf("Lookup(a) after Detach = %v", r)
	}
	if n := x.Len(); n != 0 {
		t.Errorf("Len = %d after Detach", n)
	}
}
