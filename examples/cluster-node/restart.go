package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/adapter/nats/embedded"
	"github.com/epio-go/epio/sio"
)

// What the tests of restarts need: work that is on its way when a node is told to end, and
// a node that sends for as long as it lives.

// journal counts what a node has done. It prints that at its end.
type journal struct {
	name      string
	ns        *sio.Namespace
	worked    atomic.Int64 // calls of "work" that were begun
	said      atomic.Int64 // calls of "say" that were begun
	published atomic.Int64 // by publish, of which Emit said that they were queued
}

// rooms is to how many rooms publish sends, in turn: r0, r1, …
const rooms = 4

func (j *journal) register() {
	// work takes as long as the client says.
	sio.OnAck(j.ns, "work", func(ctx context.Context, _ *sio.Socket, ms int64) (string, error) {
		j.worked.Add(1)
		timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			return j.name, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	// say sends a client's message to a room, and says which node did.
	sio.OnAck3(j.ns, "say", func(_ context.Context, _ *sio.Socket, room, who string, n int64) (string, error) {
		j.said.Add(1)
		return j.name, j.ns.To(room).Emit("said", who, n, j.name)
	})
	sio.OnAck0(j.ns, "published", func(context.Context, *sio.Socket) (int64, error) {
		return j.published.Load(), nil
	})
}

// publish sends the numbers 0, 1, … to the rooms in turn, until ctx ends or nothing can be
// sent any more.
func (j *journal) publish(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := int64(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if j.ns.To("r"+strconv.FormatInt(n%rooms, 10)).Emit("tick", j.name, n) != nil {
			return
		}
		j.published.Store(n + 1)
	}
}

// print ends the journal: one line, for the tests.
func (j *journal) print() {
	fmt.Println("JOURNAL", j.worked.Load(), j.said.Load(), j.published.Load())
}

// serveNATS is a NATS server with JetStream, and nothing else, until ctx ends.
func serveNATS(ctx context.Context, addr, dir string) error {
	s, err := embedded.Start(embedded.Config{Clients: addr, JetStream: dir})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println("READY")
	<-ctx.Done()
	return nil
}
