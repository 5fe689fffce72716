package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// testClients is enough for rooms of 10.
const testClients = 20

func testLoad(t *testing.T, s *faultyServer, stall time.Duration, payload int) *load {
	t.Helper()
	l, err := newLoad(options{
		addr: s.ln.Addr().String(), pid: os.Getpid(), protocol: s.wire, clients: testClients, payload: payload,
		time: 50 * time.Millisecond, stall: stall, rate: 1_000, rooms: 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if r := l.do("connect"); r[0].Error != "" {
		t.Fatal(r[0].Error)
	}
	return l
}

// everyWork lists a work of every kind, what it counts, and what of its messages a fault
// happens to.
var everyWork = []struct {
	name  string
	rows  []string
	unit  string
	kind  kind
	match func(p *peer) bool
	// single tells that a client waits for each message before the next one is sent to it. What
	// is lost or held back is missed then, instead of the next one being out of order.
	single bool
	// untold tells that the next message does not show that one before it was lost.
	untold bool
}{
	{name: "bcast1", unit: "delivery", kind: delivery, match: second, single: true},
	{name: "bcast4", unit: "delivery", kind: delivery, match: second},
	{name: "room5-bcast1", unit: "delivery", kind: delivery, match: second, single: true},
	{name: "room5-bcast4", unit: "delivery", kind: delivery, match: second},
	{name: "bin1", unit: "delivery", kind: delivery, match: second, single: true},
	{name: "bin4", unit: "delivery", kind: delivery, match: second},
	{name: "echo1", unit: "answer", kind: answer, match: third, single: true},
	{name: "echo4", unit: "answer", kind: answer, match: third, single: true},
	{name: "rooms", unit: "delivery", kind: delivery, match: second, untold: true},
	{name: "churn", unit: "delivery", kind: delivery, match: second},
	{name: "slow", rows: []string{"paced", "slow"}, unit: "delivery", kind: delivery, match: second},
	{name: "poll", unit: "answer", kind: answer, match: third, single: true},
	{name: "upgrade", unit: "upgrade", kind: answer, match: first},
}

// second accepts the third message to the second client, which is in every room.
func second(p *peer) bool { return p.number == 1 && p.got == 2 }

// third accepts the third message to any client.
func third(p *peer) bool { return p.got == 2 }

// first accepts the first message to any client.
func first(p *peer) bool { return p.got == 0 }

func TestHealthyServer(t *testing.T) {
	t.Parallel()
	for name, wire := range protocols {
		for _, payload := range []int{16, 100, 40_000} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := startFaulty(t, wire)
				l := testLoad(t, s, 30*time.Second, payload)
				for _, w := range everyWork {
					rows := l.do(w.name)
					if wire == plain && (w.name == "poll" || w.name == "upgrade") {
						if rows[0].Error == "" {
							t.Errorf("%s: no error without Engine.IO", w.name)
						}
						continue
					}
					if w.rows == nil {
						w.rows = []string{w.name}
					}
					if len(rows) != len(w.rows) {
						t.Fatalf("%s: %+v", w.name, rows)
					}
					for i, r := range rows {
						if r.Error != "" {
							t.Fatalf("%s: %s", w.name, r.Error)
						}
						if r.Work != w.rows[i] || r.Unit != w.unit || r.Units == 0 || r.CPU <= 0 || r.Rate <= 0 || r.Resident == 0 || r.Payload != payload {
							t.Errorf("%s: row %+v", w.name, r)
						}
						if r.P50 <= 0 || r.P99 < r.P50 || r.P999 < r.P99 || r.Max < r.P999 {
							t.Errorf("%s: latency %+v", w.name, r)
						}
					}
				}
			})
		}
	}
}

func TestFaultyServer(t *testing.T) {
	t.Parallel()
	for name, wire := range protocols {
		for _, w := range everyWork {
			if wire == plain && (w.name == "poll" || w.name == "upgrade") {
				continue
			}
			for _, f := range []fault{lose, double, swap, change} {
				t.Run(name+"/"+w.name+"/"+faultNames[f], func(t *testing.T) {
					t.Parallel()
					s := startFaulty(t, wire)
					l := testLoad(t, s, 30*time.Second, 20)
					misses := f == lose && (w.single || w.untold) || f == swap && w.single
					// A fault that shows ends the work.
					l.o.time = 30 * time.Second
					if misses {
						l.o.time, l.o.stall = 300*time.Millisecond, 200*time.Millisecond
					}
					s.arm(f, w.kind, w.match)
					r := l.do(w.name)
					if len(r) != 1 || r[0].Error == "" {
						t.Fatalf("not detected: %+v", r)
					}
					s.mu.Lock()
					if s.match != nil {
						t.Errorf("an error without a fault: %s", r[0].Error)
					}
					s.mu.Unlock()
					if stalled := strings.Contains(r[0].Error, errStall.Error()); stalled != misses {
						t.Errorf("detected by the wrong sign: %s", r[0].Error)
					}
					if r[0].Units != 0 || r[0].CPU != 0 || r[0].Rate != 0 || r[0].P50 != 0 {
						t.Errorf("figures beside an error: %+v", r[0])
					}

					// The next work has new clients.
					l.o.time, l.o.stall = 50*time.Millisecond, 30*time.Second
					if r := l.do("bcast1"); r[0].Error != "" {
						t.Errorf("after the fault: %s", r[0].Error)
					}
				})
			}
		}
	}
}

// A message to a client that must not get it is a fault too.
func TestWrongReceiver(t *testing.T) {
	t.Parallel()
	for name, wire := range protocols {
		for _, w := range everyWork {
			// In churn the next client might be one that may get the message.
			if w.kind != delivery && !strings.HasPrefix(w.name, "echo") || w.name == "churn" {
				continue
			}
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				s := startFaulty(t, wire)
				l := testLoad(t, s, 30*time.Second, 20)
				l.o.time = 30 * time.Second
				s.arm(stray, w.kind, w.match)
				if r := l.do(w.name); r[0].Error == "" {
					t.Errorf("not detected: %+v", r)
				}
			})
		}
		t.Run(name+"/left", func(t *testing.T) {
			t.Parallel()
			s := startFaulty(t, wire)
			l := testLoad(t, s, 30*time.Second, 20)
			l.o.time = 30 * time.Second
			s.arm(stuck, unknown, func(*peer) bool { return true })
			if r := l.do("churn"); r[0].Error == "" {
				t.Errorf("not detected: %+v", r)
			}
		})
	}
}

// A server may disconnect clients that do not read.
func TestSlowClientsDisconnected(t *testing.T) {
	t.Parallel()
	for name, wire := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startFaulty(t, wire)
			l := testLoad(t, s, 30*time.Second, 20)
			s.arm(kick, unknown, nil)
			rows := l.do("slow")
			if len(rows) != 2 || rows[0].Error != "" || rows[1].Error != "" || rows[1].Units == 0 {
				t.Errorf("%+v", rows)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.kicked == 0 {
				t.Error("there were no slow clients")
			}
		})
	}
}

// When the server is gone every row says so, at once.
func TestServerGone(t *testing.T) {
	t.Parallel()
	s := startFaulty(t, socketio)
	l := testLoad(t, s, 30*time.Second, 20)
	s.close()
	for _, name := range []string{"bcast1", "echo1", "connect", "poll", "slow"} {
		if r := l.do(name); len(r) != 1 || r[0].Work != name || r[0].Error == "" {
			t.Errorf("%+v", r)
		}
	}
}
