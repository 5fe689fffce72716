package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

type options struct {
	addr     string
	pid      int
	protocol protocol
	clients  int
	payload  int
	time     time.Duration
	stall    time.Duration
	rate     int
	rooms    int
	work     string
	mallocs  string
	json     bool
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench-load: ")
	var o options
	var name string
	flag.StringVar(&o.addr, "addr", "127.0.0.1:3000", "server, on a loopback address")
	flag.IntVar(&o.pid, "pid", 0, "process of the server; 0 leaves CPU and memory out")
	flag.StringVar(&name, "protocol", "socketio", "socketio, msgpack (socket.io-msgpack-parser) or plain (WebSocket only)")
	flag.IntVar(&o.clients, "clients", 1000, "connections")
	flag.IntVar(&o.payload, "payload", 64, "bytes of payload, at least 16")
	flag.DurationVar(&o.time, "time", 3*time.Second, "length of each work")
	flag.DurationVar(&o.stall, "stall", 20*time.Second, "longest silence of the server")
	flag.IntVar(&o.rate, "rate", 20_000, "deliveries per second in the works paced and slow")
	flag.IntVar(&o.rooms, "rooms", 10_000, "rooms of 10 in the work rooms")
	flag.StringVar(&o.work, "work", "connect,idle,bcast1,bcast16,echo1,echo64", "what to do, in this order")
	flag.StringVar(&o.mallocs, "mallocs", "", "URL that tells the server's allocations as {\"mallocs\":N}; empty leaves them out")
	flag.BoolVar(&o.json, "json", false, "print JSON lines")
	flag.Parse()
	var ok bool
	if o.protocol, ok = protocols[name]; !ok {
		log.Fatalf("unknown protocol %q", name)
	}
	if o.clients < 1 || o.payload < digits || o.time <= 0 || o.stall < time.Millisecond || o.rate < 1 || o.rooms < 1 {
		log.Fatal("-clients, -rate and -rooms must be at least 1, -payload 16, -stall 1ms and -time more than 0")
	}
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

// run does every work and prints its rows.
func run(o options) error {
	for name := range strings.SplitSeq(o.work, ",") {
		if _, err := find(name); err != nil {
			return err
		}
	}
	l, err := newLoad(o)
	if err != nil {
		return err
	}
	defer l.close()
	if !o.json {
		fmt.Println(header)
	}
	for name := range strings.SplitSeq(o.work, ",") {
		for _, r := range l.do(name) {
			if !o.json {
				fmt.Println(r)
				continue
			}
			if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// work is something to do with the clients. It returns its row or rows.
type work func(l *load) ([]result, error)

// find returns the work of a name.
func find(name string) (work, error) {
	if w, ok := works[name]; ok {
		return w, nil
	}
	var n, room int
	one := func(f func(l *load) (result, error)) (work, error) {
		return func(l *load) ([]result, error) {
			r, err := f(l)
			return []result{r}, err
		}, nil
	}
	switch {
	case scan(name, "bcast%d", &n):
		return one(func(l *load) (result, error) { return l.broadcast(n, false) })
	case scan(name, "bin%d", &n):
		return one(func(l *load) (result, error) { return l.broadcast(n, true) })
	case scan(name, "room%d-bcast%d", &room, &n):
		return one(func(l *load) (result, error) { return l.room(room, n) })
	case scan(name, "echo%d", &n):
		return one(func(l *load) (result, error) { return l.echo(n) })
	}
	return nil, fmt.Errorf("unknown work %q", name)
}

// scan reads the numbers of a name, which are at least 1.
func scan(name, format string, n ...*int) bool {
	to := make([]any, len(n))
	for i := range n {
		to[i] = n[i]
	}
	if _, err := fmt.Sscanf(name, format, to...); err != nil {
		return false
	}
	values := make([]any, len(n))
	for i := range n {
		values[i] = *n[i]
	}
	return name == fmt.Sprintf(format, values...) && !slices.ContainsFunc(n, func(n *int) bool { return *n < 1 })
}

// do does one work. What went wrong is told in the row, and the next work gets new
// clients.
func (l *load) do(name string) []result {
	w, err := find(name)
	if err == nil && name != "connect" && l.conns == nil {
		err = l.reconnect()
	}
	var rows []result
	if err == nil {
		rows, err = w(l)
	}
	if err == nil {
		err = l.barrier(nil)
	}
	clients := len(l.conns)
	resident, residentErr := l.resident()
	if err = errors.Join(err, residentErr); err != nil {
		l.disconnect()
		rows = []result{{Work: name, Clients: l.o.clients, Payload: l.o.payload, Error: err.Error()}}
		return rows
	}
	for i := range rows {
		r := &rows[i]
		if r.Work == "" {
			r.Work = name
		}
		if r.Clients == 0 {
			r.Clients = clients
		}
		r.Payload = l.o.payload
		r.Resident = resident
	}
	return rows
}
