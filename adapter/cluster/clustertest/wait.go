package clustertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// Eventually waits until ok, and fails the test after 20 s.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// Open makes an adapter and initializes it. It is closed with the test, if not before.
func Open(t testing.TB, f adapter.Factory, h adapter.Host) *cluster.Adapter {
	t.Helper()
	a := f(h).(*cluster.Adapter)
	t.Cleanup(func() { Close(t, a) })
	if err := a.Init(context.Background()); err != nil {
		t.Fatal(err)
	}
	return a
}

// Close closes an adapter.
func Close(t testing.TB, a *cluster.Adapter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}

// WantServers waits until all adapters count all.
func WantServers(t testing.TB, as ...*cluster.Adapter) {
	t.Helper()
	for i, a := range as {
		Eventually(t, fmt.Sprintf("server %d counts %d", i, len(as)), func() bool {
			n, err := a.ServerCount(context.Background())
			return err == nil && n == len(as)
		})
	}
}

// Flows sends events whose names begin with name until one arrives, whatever was lost before.
func Flows(t testing.TB, from *cluster.Adapter, to *Host, o adapter.Opts, name string, args ...any) {
	t.Helper()
	n := 0
	Eventually(t, "broadcasts flow: "+name, func() bool {
		n++
		// While the queue waits it fills up, so not each time.
		if n%25 == 1 {
			if err := from.Broadcast(Event(fmt.Sprint(name, n), args...), o); err != nil {
				t.Fatal(err)
			}
		}
		return to.Has(name)
	})
}

// Away checks what a server does while the broker cannot be reached: clients here are served, and requests end. It returns
// the error of a request whose answer has those here alone.
func Away(t testing.TB, a *cluster.Adapter, s *Socket, what string) error {
	t.Helper()
	before, start := s.Delivered(), time.Now()
	for i := range 10 {
		if err := a.Broadcast(Packet(fmt.Sprint("away", i)), adapter.Opts{}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := s.Delivered() - before; n != 10 {
		t.Errorf("%s: %d of 10 delivered here", what, n)
	}
	// With heartbeats it is no error when the others have been given up meanwhile.
	infos, missing := a.FetchSockets(context.Background(), adapter.Opts{})
	if len(infos) != 1 {
		t.Errorf("%s: fetched %v, %v", what, infos, missing)
	}
	if _, err := a.BroadcastWithAck(Packet("q"), adapter.Opts{Timeout: time.Second}, NoAcks{}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("%s: took %v", what, d)
	}
	return missing
}
