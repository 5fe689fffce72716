package adaptertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/epio-go/epio/adapter"
)

// wantNumbers waits until s has got these first arguments, and sees that nothing
// else came.
func (cl *cluster) wantNumbers(s *socket, want ...int) {
	cl.t.Helper()
	for n := range cl.servers {
		cl.settle(n)
	}
	var got []int
	for _, r := range s.take() {
		got = append(got, number(r.args[0]))
	}
	if !slices.Equal(got, want) {
		cl.t.Errorf("%s got %v, want %v", s.id, got, want)
	}
}

func replaySelects(t *testing.T, cl *cluster) {
	for from := range cl.servers {
		for to := range cl.servers {
			// Away with the rooms r and s; joined and left in the meantime by others.
			a := cl.admit(from, fmt.Sprintf("a%d%d", from, to), "r", "s", "left")
			cl.admit(to, fmt.Sprintf("b%d%d", from, to), "r", "elsewhere")
			cl.synced()
			cl.send(to, adapter.Opts{}, 0)
			cl.settle(to)
			a.server.Index().Leave(&a.Member, "left")
			a.take()
			pid, offset := a.away()
			for i, c := range []struct {
				o   adapter.Opts
				hit bool
			}{
				{adapter.Opts{}, true},
				{adapter.Opts{Rooms: []string{"r"}}, true},
				{adapter.Opts{Rooms: []string{"elsewhere"}}, false},
				{adapter.Opts{Rooms: []string{"elsewhere", "s"}}, true},
				{adapter.Opts{Rooms: []string{"left"}}, false},
				{adapter.Opts{Rooms: []string{"r", "s"}, Except: []string{"s"}}, false},
				{adapter.Opts{Except: []string{"elsewhere"}}, true},
				{adapter.Opts{Except: []string{"elsewhere", "r"}}, false},
				{adapter.Opts{Except: []string{a.id}}, false},
				{adapter.Opts{Rooms: []string{a.id}}, true},
				{adapter.Opts{Rooms: []string{"r"}, ExceptID: a.id}, false},
				{adapter.Opts{Rooms: []string{"r"}, ExceptID: "b"}, true},
				{adapter.Opts{Rooms: []string{"nowhere"}}, false},
				{adapter.Opts{Flags: adapter.NoCompress}, true},
			} {
				n := 100 + i
				if !c.hit {
					n = -n
				}
				cl.send(i, c.o, n)
				cl.settle(i % len(cl.servers)) // in this order
			}
			cl.must(cl.servers[from].Broadcast(newLoggable("volatile", []any{-1}), adapter.Opts{Flags: adapter.Volatile}))
			cl.settle(from)
			a = cl.mustBack(to, pid, offset)
			cl.send(from, adapter.Opts{Rooms: []string{"s"}}, 200)
			cl.wantNumbers(a, 100, 101, 103, 106, 109, 111, 113, 200)
		}
	}
}

func replayCarriesValues(t *testing.T, cl *cluster) {
	args := []any{
		nil, true, 1 << 40, 0.5, "text \" \\ é 𝄞 \u2028",
		[]byte{0, 1, 0xff},
		[]any{1, map[string]any{"three": []byte("3"), "k": nil}},
		"last string",
	}
	stay := cl.admit(0, "stay")
	for n := range cl.servers {
		pid, offset := cl.admit(n, fmt.Sprint("a", n)).away()
		cl.must(cl.servers[n].Broadcast(newLoggable("values", args), adapter.Opts{}))
		cl.must(cl.servers[n].Broadcast(newLoggable("no arguments", nil), adapter.Opts{}))
		cl.settle(n)
		back := cl.mustBack(n+1, pid, offset)
		for k := range cl.servers {
			cl.settle(k) // what was on its way when it came back follows
		}
		want, got := stay.take(), back.take()
		if len(got) != 2 || len(want) != 2 || !same(got[0].args, args) || got[0].event != "values" ||
			got[1].event != "no arguments" || len(got[1].args) != 0 ||
			got[0].offset != want[0].offset || got[1].offset != want[1].offset {
			t.Errorf("missed %v, others got %v", got, want)
		}
	}
}

// A client that has got nothing yet comes back with the offset of its admission.
func replayFromTheBeginning(t *testing.T, cl *cluster) {
	for n := range cl.servers {
		a := cl.admit(n, fmt.Sprint("a", n))
		for range 3 { // any number of times
			pid, offset := a.away()
			a = cl.mustBack(n+1, pid, offset)
		}
		pid, offset := a.away()
		cl.send(n, adapter.Opts{}, 1)
		cl.send(n, adapter.Opts{}, 2)
		a = cl.mustBack(n, pid, offset)
		cl.send(n, adapter.Opts{}, 3)
		cl.wantNumbers(a, 1, 2, 3)
		pid, offset = a.away()
		cl.send(n, adapter.Opts{}, 4)
		cl.wantNumbers(cl.mustBack(n+1, pid, offset), 4)
	}
}

// A client is told nothing that was said before it came.
func replayFromBefore(t *testing.T, cl *cluster) {
	stay := cl.admit(0, "stay")
	cl.send(0, adapter.Opts{}, 1)
	cl.send(0, adapter.Opts{}, 2)
	cl.settle(0)
	before := stay.take()[0].offset
	for n := range cl.servers {
		pid, _ := cl.admit(n, fmt.Sprint("a", n)).away()
		cl.send(n, adapter.Opts{}, 3)
		cl.settle(n)
		cl.wantNumbers(cl.mustBack(n+1, pid, before), 3)
	}
}

func badOffsets(t *testing.T, cl *cluster) {
	s := cl.admit(0, "stay")
	cl.send(0, adapter.Opts{}, 1)
	cl.settle(0)
	good := s.take()[0].offset
	for i, bad := range []string{
		"", " ", "x", good + "x", "x" + good, "-1", "18446744073709551616",
		"99999999999999-0", strings.Repeat("9", adapter.MaxOffset), "é\x00*", "pid of stay",
	} {
		pid, _ := cl.admit(i, fmt.Sprint("a", i)).away()
		r := cl.recovery(i + 1)
		session, err := r.RestoreSession(cl.context(), pid)
		cl.must(err)
		err = r.Replay(cl.context(), session, bad, func([]adapter.Missed) error {
			t.Errorf("offset %q was accepted", bad)
			return nil
		})
		if !errors.Is(err, adapter.ErrOffset) {
			t.Errorf("offset %q: %v", bad, err)
		}
		r.DropSession(session)
		if _, err := r.RestoreSession(cl.context(), pid); !errors.Is(err, adapter.ErrNoSession) {
			t.Errorf("after a bad offset: %v", err)
		}
	}
}

func refusedReplay(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	r := cl.recovery(1)
	session, err := r.RestoreSession(cl.context(), pid)
	cl.must(err)
	refusal := errors.New("gone")
	for range 2 {
		err := r.Replay(cl.context(), session, offset, func([]adapter.Missed) error { return refusal })
		if !errors.Is(err, refusal) {
			t.Errorf("got %v", err)
		}
		cl.send(1, adapter.Opts{}, 1) // counts, although nobody is there and nothing is stored
	}
	cl.must(r.PersistSession(cl.context(), session))
	cl.wantNumbers(cl.mustBack(0, pid, offset), 1, 1)
}
