package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

type faultyData struct{}

func (faultyData) MarshalJSON() ([]byte, error) { panic("boo") }

// faultySocket has data that cannot be described.
type faultySocket struct{ socket }

func (s *faultySocket) Info() adapter.SocketInfo {
	return adapter.SocketInfo{ID: s.id, Data: faultyData{}}
}

// Another server asks for the description of a socket whose data panics when it is encoded, on a
// goroutine that is nobody's: it gets no answer, and everything goes on.
func TestFaultyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		var log bytes.Buffer
		host := &testHost{log: slog.New(slog.NewTextHandler(&log, nil))}
		asks, asked := start(t, new(testHost), newBusDriver(b), cluster.Config{}), start(t, host, newBusDriver(b), cluster.Config{})
		s := &faultySocket{socket{id: "faulty"}}
		if err := errors.Join(asked.Index().Attach(&s.Member, s), asked.Index().Connect(&s.Member, nil)); err != nil {
			t.Fatal(err)
		}
		connect(t, asked, "sound", "room")
		synctest.Wait()
		for range 10 { // more than may be put together at a time
			if _, err := asks.FetchSockets(t.Context(), adapter.Opts{}); !errors.Is(err, cluster.ErrTimeout) {
				t.Fatalf("got %v", err)
			}
		}
		infos, err := asks.FetchSockets(t.Context(), adapter.Opts{Rooms: []string{"room"}})
		if err != nil || len(infos) != 1 {
			t.Fatalf("got %v, %v", infos, err)
		}
		if log := log.String(); !strings.Contains(log, "request not answered") || !strings.Contains(log, "faults_test.go") {
			t.Errorf("not logged: %s", log)
		}
	})
}

// faultyDriver panics where it is called on goroutines of the adapter's.
type faultyDriver struct {
	countedDriver
	armed atomic.Bool
}

func (d *faultyDriver) Publish(ctx context.Context, ps []cluster.Parcel) (int, int, error) {
	if d.armed.Load() {
		panic("boo")
	}
	return d.countedDriver.Publish(ctx, ps)
}

func (d *faultyDriver) Rooms(ctx context.Context, on, off []string) error {
	if d.armed.Load() {
		panic("boo")
	}
	return d.countedDriver.Rooms(ctx, on, off)
}

// A driver that panics is one whose broker is away: what it was to send is sent when it recovers.
func TestFaultyDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		d := &faultyDriver{countedDriver: countedDriver{newBusDriver(b)}}
		a := start(t, new(testHost), d, cluster.Config{})
		host := new(testHost)
		other := start(t, host, countedDriver{newBusDriver(b)}, cluster.Config{})
		connect(t, other, "x")
		synctest.Wait()
		d.armed.Store(true)
		connect(t, a, "y", "room")
		if err := a.Broadcast(packet("late"), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d.armed.Store(false)
		if err := a.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the event arrives", func() bool { return len(host.got()) == 1 })
	})
}
