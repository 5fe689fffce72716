// Command soak lets random clients loose on a server for as long as it is told, checks what they get, and then that nothing of
// them is left.
//
//	go run ./test/soak -time 5m
//	go run -race ./test/soak -time 5m -engines epoll,netpoll,portable
//
// The server runs in a process of its own, this program started again, so that its descriptors, goroutines and memory are the
// server's alone. Clients (client.go, session.go) have an implementation of the protocols of their own, as far as it goes. What
// they do is drawn from a seed (lives.go, operations.go): connect by polling, WebSocket or an upgrade, through both doors; join
// namespaces and rooms, call and answer, send and receive, with attachments, compressed, in JSON and msgpack; lose the
// connection and recover; stop reading, send garbage, vanish, or get drained with their server.
//
// # What is checked meanwhile
//
// Messages are numbered, by the server for a socket, for a room and for a namespace, by the client for the server: each
// arrives once and in order, also across upgrades and recoveries, and those that must have arrived have. Answers belong to
// their questions. No connection ends that nobody ended. The server logs no error.
//
// # What is checked afterwards
//
// Once all clients are gone and the longest timer is over, the server holds what it held at the start, after a warm-up:
// figures.go says what is counted, and what may differ.
//
// The exit status is 0 if nothing was wrong. SIGINT ends the clients early; everything is checked all the same.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/epio-go/epio/internal/invariants"
)

func main() {
	log.SetFlags(0)
	serveChild()
	o := defaults()
	var engines string
	flag.DurationVar(&o.Time, "time", o.Time, "how long clients come and go, after the warm-up")
	flag.DurationVar(&o.WarmUp, "warm-up", o.WarmUp, "how long they do so before, to find out what the server holds then")
	flag.IntVar(&o.Clients, "clients", o.Clients, "clients at a time")
	flag.Float64Var(&o.Rate, "rate", o.Rate, "operations of all clients together in a second")
	flag.Uint64Var(&o.Seed, "seed", rand.Uint64(), "what is done at random follows from this")
	flag.DurationVar(&o.Replace, "replace", o.Replace, "time from one server that is drained and replaced to the next; 0 for never")
	flag.DurationVar(&o.Patience, "patience", o.Patience, "how long the server waits for clients: pongs, handshakes and the like. What it holds for those that have gone stays longer with it. More than a busy machine may keep a process waiting")
	flag.StringVar(&engines, "engines", strings.Join(o.Engines, ","), "engines of the servers: epoll, netpoll, portable")
	flag.Parse()
	o.Engines = strings.Split(engines, ",")
	if flag.NArg() > 0 {
		log.Fatalf("soak: unexpected argument %q", flag.Arg(0))
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	end := make(chan struct{})
	go func() {
		<-stop
		fmt.Println("interrupted: ending")
		signal.Stop(stop) // the next one ends the program
		close(end)
	}()
	ok, err := soak(o, os.Stdout, end)
	if err != nil {
		log.Fatal("soak: ", err)
	}
	if !ok {
		os.Exit(1)
	}
}

// options say what is run. Those of the server travel to its process in JSON.
type options struct {
	Time, WarmUp time.Duration
	Replace      time.Duration
	Clients      int
	Rate         float64
	Seed         uint64
	// Wait is how long what clients have left may take to go. 0 means the longest that it may take by design.
	Wait time.Duration
	// Brief does not wait for what the servers hold for a while: before figures are taken all are replaced.
	Brief bool
	// Faulty makes mistakes, for the test that they are found.
	Faulty bool

	// For the server.
	Engines      []string
	PingInterval time.Duration
	Patience     time.Duration // for pongs, handshakes, upgrades, attachments and the like
	Away         time.Duration // sio.Recovery.MaxDisconnection
}

func defaults() options {
	o := options{
		Time:         3 * time.Minute,
		WarmUp:       20 * time.Second,
		Replace:      20 * time.Second,
		Clients:      200,
		Rate:         500,
		Engines:      []string{"epoll"},
		PingInterval: 3 * time.Second,
		Patience:     30 * time.Second,
		Away:         20 * time.Second,
	}
	if invariants.Enabled { // slow, with the race detector
		o.Rate, o.Clients = 50, 100
	}
	return o
}

// answerTime is when a server that does not answer is taken to be stuck, and endTime when one that does not close what it must
// close is.
func (o *options) answerTime() time.Duration { return 4 * o.Patience }
func (o *options) endTime() time.Duration    { return 6 * o.Patience }

// longest is how long the server may hold what concerns a client that is gone: a dead connection is noticed, its session
// expires, the log is as old and is looked at once in a quarter of its age. Ten seconds more are for a busy machine.
func (o *options) longest() time.Duration {
	if o.Wait > 0 {
		return o.Wait
	}
	dead := o.PingInterval + o.Patience
	age := o.Away + dead
	return dead + age + age/2 + 10*time.Second
}
