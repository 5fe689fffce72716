package adapter

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The model is what the index must look like from outside: sockets with sets of
// rooms, scanned from end to end by every operation.
type model struct {
	t     testing.TB
	x     *Index
	socks map[string]*modelSock

	// room events of the current operation: seen and expected
	events, want []RoomEvent
}

type modelSock struct {
	*sock
	connected bool
	rooms     map[string]bool
}

// Names the operations choose from: ids of sockets, rooms, and rooms nobody
// joins.
var (
	modelIDs   = []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"}
	modelNames = append(slices.Clone(modelIDs), "r0", "r1", "r2", "r3", "r4", "r5", "nowhere")
)

func newModel(t testing.TB, c Config) *model {
	md := &model{t: t, x: NewIndex(c), socks: make(map[string]*modelSock)}
	md.x.Observe(func(e RoomEvent) { md.events = append(md.events, e) })
	return md
}

// opReader doles out an operation list. It returns zeros at its end.
type opReader []byte

func (r *opReader) next(n int) int {
	if len(*r) == 0 {
		return 0
	}
	b := (*r)[0]
	*r = (*r)[1:]
	return int(b) % n
}

func (r *opReader) names(max int) []string {
	var names []string
	for range r.next(max + 1) {
		names = append(names, modelNames[r.next(len(modelNames))])
	}
	return names
}

func (r *opReader) opts() Opts {
	o := Opts{Rooms: r.names(3), Except: r.names(2)}
	if r.next(3) == 0 {
		o.ExceptID = modelIDs[r.next(len(modelIDs))]
	}
	return o
}

// run executes the operation list and compares after each step.
func (md *model) run(ops opReader) {
	md.t.Helper()
	for len(ops) > 0 {
		md.events, md.want = nil, nil
		what := md.step(&ops)
		checkIndex(md.t, md.x)
		md.compareEvents(what)
		md.compareState(what)
		if md.t.Failed() {
			md.t.FailNow()
		}
	}
	for _, id := range modelIDs {
		if s := md.socks[id]; s != nil {
			md.detach(s)
		}
	}
	checkEmpty(md.t, md.x)
}

// step executes one operation on both sides and returns its description.
func (md *model) step(ops *opReader) string {
	op := ops.next(12)
	id := modelIDs[ops.next(len(modelIDs))]
	s := md.socks[id]
	switch op {
	case 0, 1, 2: // come in; a second socket with the same id is refused
		fresh := &sock{id: id}
		err := md.x.Attach(&fresh.Member, fresh)
		if (s != nil) != errors.Is(err, ErrDuplicateID) {
			md.t.Errorf("attach %s: %v", id, err)
		}
		if s == nil {
			s = &modelSock{sock: fresh, rooms: make(map[string]bool)}
			md.socks[id] = s
		}
		if op > 0 {
			md.connect(s)
		}
		return "attach " + id
	case 3:
		if s != nil {
			md.connect(s)
		}
		return "connect " + id
	case 4:
		if s != nil {
			md.detach(s)
		}
		return "detach " + id
	case 5, 6:
		rooms := ops.names(4)
		if s != nil {
			if err := md.x.Join(&s.Member, rooms...); err != nil {
				md.t.Errorf("join %s: %v", id, err)
			}
			md.join(s, rooms...)
		}
		return fmt.Sprint("join ", id, rooms)
	case 7: // so many rooms that memberships are indexed
		if s != nil {
			for i := range 20 + ops.next(30) {
				r := fmt.Sprint("bulk", i)
				if err := md.x.Join(&s.Member, r); err != nil {
					md.t.Errorf("join %s: %v", id, err)
				}
				md.join(s, r)
			}
		}
		return "join in bulk " + id
	case 8:
		rooms := ops.names(4)
		if from := ops.next(60); from%2 == 0 {
			for i := from; i < 50; i++ {
				rooms = append(rooms, fmt.Sprint("bulk", i))
			}
		}
		if s != nil {
			md.x.Leave(&s.Member, rooms...)
			md.leave(s, rooms...)
		}
		return fmt.Sprint("leave ", id, rooms)
	case 9:
		o, rooms := ops.opts(), ops.names(3)
		selected := md.selected(o)
		md.x.AddSockets(o, rooms)
		for _, id := range selected {
			md.join(md.socks[id], rooms...)
		}
		return fmt.Sprintf("add %+v %q", o, rooms)
	case 10:
		o, rooms := ops.opts(), ops.names(3)
		selected := md.selected(o)
		md.x.DelSockets(o, rooms)
		for _, id := range selected {
			md.leave(md.socks[id], rooms...)
		}
		return fmt.Sprintf("del %+v %q", o, rooms)
	default:
		o := ops.opts()
		if ops.next(4) == 0 { // the stamps are about to wrap around
			for i := range md.x.shards {
				s := &md.x.shards[i]
				s.stamp = max(s.stamp, math.MaxUint32-uint32(ops.next(2)))
			}
		}
		md.broadcast(o)
		return fmt.Sprintf("broadcast %+v", o)
	}
}

func (md *model) connect(s *modelSock) {
	if err := md.x.Connect(&s.Member, nil); err != nil {
		md.t.Errorf("connect %s: %v", s.id, err)
	}
	if !s.connected {
		s.connected = true
		md.join(s, s.id)
	}
}

func (md *model) detach(s *modelSock) {
	md.x.Detach(&s.Member)
	md.leave(s, slices.Collect(maps.Keys(s.rooms))...)
	delete(md.socks, s.id)
	if err := md.x.Join(&s.Member, "r0"); !errors.Is(err, ErrDetached) {
		md.t.Errorf("join after detach: %v", err)
	}
	if err := md.x.Connect(&s.Member, nil); !errors.Is(err, ErrDetached) {
		md.t.Errorf("connect after detach: %v", err)
	}
	md.x.Leave(&s.Member, s.id, "r0")
}

func (md *model) join(s *modelSock, rooms ...string) {
	for _, r := range rooms {
		if s.rooms[r] {
			continue
		}
		if len(md.members(r)) == 0 {
			md.want = append(md.want, RoomEvent{Kind: CreateRoom, Room: r})
		}
		md.want = append(md.want, RoomEvent{JoinRoom, r, s.id})
		s.rooms[r] = true
	}
}

func (md *model) leave(s *modelSock, rooms ...string) {
	for _, r := range rooms {
		if !s.rooms[r] {
			continue
		}
		delete(s.rooms, r)
		md.want = append(md.want, RoomEvent{LeaveRoom, r, s.id})
		if len(md.members(r)) == 0 {
			md.want = append(md.want, RoomEvent{Kind: DeleteRoom, Room: r})
		}
	}
}

func (md *model) members(room string) []string {
	var ids []string
	for id, s := range md.socks {
		if s.rooms[room] {
			ids = append(ids, id)
		}
	}
	return ids
}

// selected returns the sorted ids that o selects.
func (md *model) selected(o Opts) []string {
	var ids []string
	for id, s := range md.socks {
		in := func(r string) bool { return s.rooms[r] }
		if s.connected &&
			(len(o.Rooms) == 0 || slices.ContainsFunc(o.Rooms, in)) &&
			!slices.ContainsFunc(o.Except, in) && !in(o.ExceptID) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (md *model) broadcast(o Opts) {
	want := md.selected(o)
	n := md.x.Broadcast(event("who"), o)
	if n != len(want) {
		md.t.Errorf("broadcast %+v: %d receivers, want %d", o, n, len(want))
	}
	if n > 0 && !md.x.HasReceivers(o) {
		md.t.Errorf("HasReceivers(%+v) is false", o)
	}
	for id, s := range md.socks {
		times := 0
		if slices.Contains(want, id) {
			times = 1
		}
		if got := s.take(); len(got) != times {
			md.t.Errorf("broadcast %+v reached %s %d times, want %d", o, id, len(got), times)
		}
	}
	var ids []string
	for r := range md.x.Sockets(o) {
		ids = append(ids, r.ID())
	}
	slices.Sort(ids)
	if !slices.Equal(ids, want) {
		md.t.Errorf("Sockets(%+v) = %q, want %q", o, ids, want)
	}
}

// compareEvents compares as sets, since a disconnect leaves rooms in no
// particular order, and checks the order within each room.
func (md *model) compareEvents(what string) {
	byRoom := func(events []RoomEvent) map[string][]RoomEvent {
		m := make(map[string][]RoomEvent)
		for _, e := range events {
			m[e.Room] = append(m[e.Room], e)
		}
		return m
	}
	got, want := byRoom(md.events), byRoom(md.want)
	if len(got) != len(want) {
		md.t.Errorf("%s: events %v, want %v", what, md.events, md.want)
	}
	for r, w := range want {
		g := got[r]
		for i, e := range g {
			first, last := i == 0, i == len(g)-1
			if (e.Kind == CreateRoom && !first) || (e.Kind == DeleteRoom && !last) {
				md.t.Errorf("%s: events %v, want %v", what, g, w)
			}
		}
		// Several sockets join or leave one room in any order.
		slices.SortFunc(g, compareEvent)
		slices.SortFunc(w, compareEvent)
		if !slices.Equal(g, w) {
			md.t.Errorf("%s: events %v, want %v", what, g, w)
		}
	}
}

func compareEvent(a, b RoomEvent) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}

func (md *model) compareState(what string) {
	rooms := make(map[string]int)
	connected := 0
	for id, s := range md.socks {
		got := md.x.SocketRooms(id)
		if s.rooms[id] && (len(got) == 0 || got[0] != id) {
			md.t.Errorf("%s: rooms of %s = %q, own room not first", what, id, got)
		}
		slices.Sort(got)
		if want := slices.Sorted(maps.Keys(s.rooms)); !slices.Equal(got, want) {
			md.t.Errorf("%s: rooms of %s = %q, want %q", what, id, got, want)
		}
		for r := range s.rooms {
			rooms[r]++
		}
		for _, r := range modelNames {
			if md.x.InRoom(&s.Member, r) != s.rooms[r] {
				md.t.Errorf("%s: InRoom(%s, %s) = %v", what, id, r, !s.rooms[r])
			}
		}
		if s.connected {
			connected++
		}
		if got := md.x.Lookup(id); (got == Receiver(s.sock)) != s.connected {
			md.t.Errorf("%s: Lookup(%s) = %v", what, id, got)
		}
	}
	if md.x.Len() != connected {
		md.t.Errorf("%s: Len = %d, want %d", what, md.x.Len(), connected)
	}
	for _, r := range modelNames {
		if n := md.x.RoomSize(r); n != rooms[r] || md.x.HasRoom(r) != (n > 0) {
			md.t.Errorf("%s: RoomSize(%s) = %d, want %d", what, r, n, rooms[r])
		}
	}
	got, want := md.x.AllRooms(), slices.Sorted(maps.Keys(rooms))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		md.t.Errorf("%s: AllRooms = %q, want %q", what, got, want)
	}
}

var modelConfigs = []Config{
	{Shards: 1, Stripes: 1},
	{Shards: 2, Stripes: 4},
	{Shards: 8},
	{Shards: 64, Stripes: 16},
}

func TestIndexAgainstModel(t *testing.T) {
	for _, c := range modelConfigs {
		t.Run(fmt.Sprintf("shards=%d", c.Shards), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(4) {
				ops := make(opReader, 1500)
				rng := rand.New(rand.NewPCG(seed, uint64(c.Shards)))
				for i := range ops {
					ops[i] = byte(rng.Uint32())
				}
				newModel(t, c).run(ops)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// FuzzIndex reads the input as an operation list: each operation is a byte for
// its kind, one for the socket, and as many as it has choices to make.
func FuzzIndex(f *testing.F) {
	f.Add(byte(0), []byte{1, 0, 1, 1, 5, 1, 1, 0, 11, 2, 1, 0, 0, 1, 1, 4, 0})
	f.Add(byte(1), []byte{0, 0, 5, 0, 1, 0, 3, 0, 8, 0, 1, 0, 1, 4, 0})
	f.Add(byte(2), []byte{1, 3, 7, 3, 29, 8, 3, 0, 10, 4, 3})
	f.Fuzz(func(t *testing.T, config byte, ops []byte) {
		if len(ops) > 512 {
			return // longer lists only find the same faults later
		}
		newModel(t, modelConfigs[int(config)%len(modelConfigs)]).run(ops)
	})
}
