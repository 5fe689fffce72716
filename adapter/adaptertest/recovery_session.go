package adaptertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
)

func sessionCarriesState(t *testing.T, cl *cluster) {
	for n := range cl.servers {
		id := fmt.Sprint("s", n)
		want := &adapter.Session{
			SID:   id,
			PID:   "secret " + id,
			Rooms: []string{id, "r", "odd *?[]#/é\x00 room"},
			Data:  map[string]any{"name": "é", "list": []any{1, "two", nil, true}, "deep": map[string]any{"n": 0.5}},
			Since: "since",
			State: []byte("\x00\xff{state}"),
		}
		cl.must(cl.recovery(n).PersistSession(cl.context(), want))
		for _, pid := range []string{"", "secret", "secret " + id + "x", strings.Repeat("p", adapter.MaxOffset), "\x00"} {
			if s, err := cl.recovery(n).RestoreSession(cl.context(), pid); !errors.Is(err, adapter.ErrNoSession) {
				t.Errorf("restoring %q: %v, %v", pid, s, err)
			}
		}
		got, err := cl.recovery(n+1).RestoreSession(cl.context(), want.PID)
		cl.must(err)
		slices.Sort(got.Rooms)
		slices.Sort(want.Rooms)
		if got.SID != want.SID || got.PID != want.PID || !slices.Equal(got.Rooms, want.Rooms) ||
			!same(got.Data, want.Data) || got.Since != want.Since || string(got.State) != string(want.State) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		cl.recovery(n + 1).DropSession(got)
	}
}

// Of many that come with the same pid, on any server, one gets the session.
func singleUse(t *testing.T, cl *cluster) {
	for round := range 10 {
		pid, _ := cl.admit(round, fmt.Sprint("s", round)).away()
		var mu sync.Mutex
		var found []*adapter.Session
		var wg sync.WaitGroup
		for i := range 3 * len(cl.servers) {
			wg.Go(func() {
				s, err := cl.recovery(i).RestoreSession(cl.context(), pid)
				if err == nil {
					mu.Lock()
					found = append(found, s)
					mu.Unlock()
				} else if !errors.Is(err, adapter.ErrNoSession) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(found) != 1 {
			t.Fatalf("the session was restored %d times", len(found))
		}
		cl.recovery(round).DropSession(found[0])
	}
}

func droppedSession(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	s, err := cl.recovery(1).RestoreSession(cl.context(), pid)
	cl.must(err)
	cl.recovery(1).DropSession(s)
	if _, err := cl.back(0, pid, offset); !errors.Is(err, adapter.ErrNoSession) {
		t.Errorf("a dropped session came back: %v", err)
	}
}

// A session that was taken may be put back, when the client has gone in between.
func persistedAgain(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	cl.admit(0, "stay") // sees what is sent in the order in which it is sent
	cl.send(0, adapter.Opts{}, 1)
	cl.settle(0)
	for n := range cl.servers {
		s, err := cl.recovery(n).RestoreSession(cl.context(), pid)
		cl.must(err)
		cl.must(cl.recovery(n).PersistSession(cl.context(), s))
	}
	cl.send(1, adapter.Opts{}, 2)
	cl.settle(1 % len(cl.servers))
	a := cl.mustBack(1, pid, offset)
	cl.send(0, adapter.Opts{}, 3)
	cl.wantNumbers(a, 1, 2, 3)
}

// The log goes on while nobody is connected.
func nobodyThere(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	for i := range 10 {
		cl.send(0, adapter.Opts{}, i)
	}
	cl.wantNumbers(cl.mustBack(0, pid, offset), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
}

// A client may come back before its old server knows that it was away.
func evictElsewhere(t *testing.T, cl *cluster) {
	if len(cl.servers) < 2 || !cl.evicts {
		t.Skip("the adapter does not ask other servers")
	}
	for n := range cl.servers {
		a := cl.admit(n, fmt.Sprint("a", n))
		cl.servers[n].keep(a)
		cl.send(n, adapter.Opts{}, 1)
		cl.settle(n)
		pid, offset := a.pid, a.lastOffset()
		cl.send(n, adapter.Opts{}, 2)
		b := cl.mustBack(n+1, pid, offset)
		cl.send(n, adapter.Opts{}, 3)
		if !a.gone() {
			t.Errorf("the old socket of %s is still there", a.id)
		}
		cl.wantNumbers(b, 2, 3)
	}
}
