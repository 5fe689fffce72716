// Command delivery is a list of notes that loses none and doubles none: the client repeats what was not acknowledged, and asks
// for what it missed. A map stands for the database.
//
//	cd examples && npm ci
//	go run ./delivery
//	node delivery/client.js
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/epio-go/epio/sio"
)

type note struct {
	Key    string `json:"key"` // made by the client: the same for all its attempts
	Text   string `json:"text"`
	Offset int    `json:"offset"` // made by the server: counts from 1
}

// notes are all that were written, in order, and their keys. All methods are safe for concurrent use.
type notes struct {
	mu   sync.Mutex
	list []note
	keys map[string]bool
}

// add keeps a note unless it is there already. New ones are sent under the lock, so that they leave in the order of their
// offsets; Emit does not block.
func (ns *notes) add(n note, send func(note) error) error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.keys[n.Key] {
		fmt.Println("seen before:", n.Text)
		return nil
	}
	ns.keys[n.Key] = true
	n.Offset = len(ns.list) + 1
	ns.list = append(ns.list, n)
	fmt.Println("new:", n.Text)
	return send(n)
}

// after returns the notes that are newer than an offset.
func (ns *notes) after(offset int) []note {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return append([]note(nil), ns.list[min(max(offset, 0), len(ns.list)):]...)
}

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	forget := flag.Int64("forget", 0, "how many acknowledgements to forget, to see the client repeat")
	flag.Parse()
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	all := &notes{keys: map[string]bool{}}

	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		var auth struct {
			After int `json:"after"`
		}
		if err := s.Auth(&auth); err != nil {
			return err
		}
		// The socket gets new notes from now on, so none is missed in between. One that comes twice has the same offset.
		for _, n := range all.after(auth.After) {
			if err := s.Emit("note", n); err != nil {
				return err
			}
		}
		return nil
	})
	var forgotten atomic.Int64
	srv.Handle("write", sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		var n note
		if err := m.Scan(&n); err != nil {
			return err
		}
		if err := all.add(n, func(n note) error { return srv.Emit("note", n) }); err != nil {
			return err
		}
		if forgotten.Add(1) <= *forget {
			return nil
		}
		return m.Ack(true)
	}))
	log.Fatal(srv.ListenAndServe(*addr))
}
