package sio

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFloods has four connections write, 6 MB a second together, what costs a server more than it
// costs them, while others work.
func TestFloods(t *testing.T) {
	pad := strings.Repeat("x", 10_000)
	lists := "[" + strings.Repeat("[],", 5000) + "[]]"
	objects := "[" + strings.Repeat("{},", 5000) + "{}]"
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	numbers := "[" + strings.Repeat("9", 10_000) + ",1e308,1e-999," + strings.Repeat("1", 5000) + "." + strings.Repeat("3", 5000) + "]"
	escapes := `"` + strings.Repeat(`\ud83d\ude00`, 1000) + `"`
	same := "{" + strings.Repeat(`"a":1,`, 3000) + `"a":2}`
	collide := []string{""} // the keys of which have one hash in Java
	for range 9 {
		var next []string
		for _, k := range collide {
			next = append(next, k+"Aa", k+"BB")
		}
		collide = next
	}
	ten := strings.TrimSuffix(strings.Repeat(`{"_placeholder":true,"num":0},`, 10), ",")
	for i := range 10 {
		ten = strings.Replace(ten, `"num":0`, fmt.Sprintf(`"num":%d `, i), 1)
	}
	event := func(value string) func(int, int) string {
		return func(int, int) string { return `42["any",` + value + `]` }
	}
	for _, test := range []struct {
		name, size string
		cfg        Config
		deaf       bool // the attackers do not read
		packet     func(peer, i int) string
	}{
		{"many short lists", "15 KB each, into any", Config{}, false, event(lists)},
		{"many objects", "15 KB each, into any", Config{}, false, event(objects)},
		{"deep lists", "100 levels, into any", Config{}, false, event(deep)},
		{"long numbers", "10,000 digits, into any", Config{}, false, event(numbers)},
		{"escapes", "12 KB each, into any", Config{}, false, event(escapes)},
		{"one key many times", "18 KB each, into any", Config{}, false, event(same)},
		{"keys that collide", "512 of 18 bytes, into any", Config{}, false, event(`{"` + strings.Join(collide, `":1,"`) + `":1}`)},
		{"event names that collide", "nobody handles them", Config{}, false, func(_, i int) string { return `42["` + collide[i%512] + `"]` }},
		{"attachments", "10 of 3 KB each, into any", Config{}, false, func(_, i int) string {
			if i%11 == 0 {
				return `4510-["any",[` + ten + `]]`
			}
			return "b" + pad[:3000]
		}},
		{"an attachment many times", "1,000 times 300 bytes", Config{}, false, func(_, i int) string {
			if i%2 == 0 {
				return `451-["any",[` + strings.Repeat(`{"_placeholder":true,"num":0},`, 999) + `{"_placeholder":true,"num":0}]]`
			}
			return "b" + pad[:300]
		}},
		{"placeholders without attachments", "30 KB each", Config{}, false, event(
			"[" + strings.Repeat(`{"_placeholder":true,"num":0},`, 1000) + "1]")},
		{"long event names", "10 KB each, nobody handles them", Config{}, false, func(int, int) string { return `42["` + pad + `"]` }},
		{"acks of all ids", "small", Config{}, false, func(_, i int) string { return fmt.Sprintf(`43%d["x"]`, uint64(i)*uint64(i)*uint64(i)) }},
		{"the largest ack id", "10 KB each", Config{}, false, func(int, int) string { return `4318446744073709551615["` + pad + `"]` }},
		{"events with ack ids", "small, answered", Config{}, false, func(_, i int) string { return fmt.Sprintf(`42%d["echo","x"]`, i) }},
		{"answers unread", "10 KB each", Config{}, true, func(_, i int) string { return fmt.Sprintf(`42%d["echo","%s"]`, i, pad) }},
		{"a slow handler", "10 KB each", Config{}, false, func(int, int) string { return `42["slow","` + pad + `"]` }},
		{"namespaces joined and left", "of four names", Config{}, false, func(p, i int) string {
			return []string{"40", "41"}[i%2] + fmt.Sprintf("/room/%d,", p)
		}},
		{"namespaces of new names", "joined and left", Config{}, false, func(p, i int) string {
			return []string{"40", "41"}[i%2] + fmt.Sprintf("/room/%d-%d,", p, i/2)
		}},
		{"unknown namespaces", "names of 10 KB", Config{}, false, func(p, i int) string { return fmt.Sprintf("40/%s%d-%d,", pad, p, i) }},
		{"odd namespaces", "odd bytes", Config{}, false, func(p, i int) string {
			return fmt.Sprintf("40/room/%s%d-%d,", []string{"\x00", "%2f..", "\u202e", "{n}", "?a=b", "#", "\U0001f600"}[i%7], p, i) + "{}"
		}},
		{"auth payloads", "10 KB each, joined and left", Config{}, false, func(p, i int) string {
			return []string{fmt.Sprintf(`40/auth%d,{"x":"%s"}`, p, pad), fmt.Sprintf("41/auth%d,", p)}[i%2]
		}},
		{"rooms joined and left", "by events", Config{}, false, func(p, i int) string {
			return fmt.Sprintf(`42["%s","room%d-%d"]`, []string{"join", "leave"}[i%2], p, i/2)
		}},
		{"guessed pids", "joined and left", withRecovery(Config{}), false, func(p, i int) string {
			return []string{fmt.Sprintf(`40/auth%d,{"pid":"%020d","offset":"%012d"}`, p, i, i), fmt.Sprintf("41/auth%d,", p)}[i%2]
		}},
		{"the log of recovery", "10 KB each, broadcast to nobody", withRecovery(Config{Recovery: &Recovery{LogPackets: 1000}}), false, func(int, int) string {
			return `42["relay","` + pad + `"]`
		}},
		{"ids of duplicates", "all different", Config{}, false, func(p, i int) string { return fmt.Sprintf(`42%d["once","%d-%d"]`, i, p, i) }},
		{"one id of duplicates", "from all", Config{}, false, func(_, i int) string { return fmt.Sprintf(`42%d["once","the same"]`, i) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("takes a second or two")
			}
			cfg := test.cfg
			cfg.MaxRooms = 100
			cfg.Logger = unheard
			r := loopback(t, cfg)
			handleAttacks(r)
			b := r.bystanders()
			attackers := r.attackers(4)
			b.endure(test.size, func() {
				if n := b.barrage(attackers, !test.deaf, test.packet); n == 0 {
					t.Error("nothing was sent")
				} else {
					t.Logf("%d packets were sent", n)
				}
			})
		})
	}
}

// handleAttacks registers what floods are about.
func handleAttacks(r *rig) {
	On(r.srv, "any", func(context.Context, *Socket, any) error { return nil })
	OnAck(r.srv, "echo", func(_ context.Context, _ *Socket, s string) (string, error) { return s, nil })
	On(r.srv, "slow", func(ctx context.Context, s *Socket, _ string) error { <-ctx.Done(); return nil })
	On(r.srv, "join", func(_ context.Context, s *Socket, room string) error { _ = s.Join(room); return nil }) // too many are no failure
	On(r.srv, "leave", func(_ context.Context, s *Socket, room string) error { s.Leave(room); return nil })
	On(r.srv, "relay", func(_ context.Context, s *Socket, text string) error { return s.To("nobody").Emit("relay", text) })
	once := Deduplicate(Dedup{Key: KeyArg(-1), Entries: 1000})
	r.srv.Handle("once", once(HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { return m.Ack("done") })))
	r.srv.Of("/room/{n}")
	for p := range 4 {
		r.srv.Of(fmt.Sprintf("/auth%d", p))
	}
}

// TestCallsUnanswered asks clients thousands of times who never answer.
func TestCallsUnanswered(t *testing.T) {
	r := loopback(t, Config{})
	b := r.bystanders()
	const clients, calls = 20, 250
	_, sockets := r.clients(clients)
	b.endure(fmt.Sprintf("%d calls of %d clients", clients*calls, clients), func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var wg sync.WaitGroup
		var asked sync.WaitGroup
		for _, s := range sockets {
			for range calls {
				asked.Add(1)
				wg.Go(func() {
					asked.Done()
					if _, err := Call[string](ctx, s, "well?"); err == nil {
						t.Error("there was an answer")
					}
				})
			}
		}
		asked.Wait()
		b.rounds(b.from.Load() + bystanderRounds)
		cancel()
		wg.Wait()
		for _, s := range sockets {
			eventually(t, "nothing is waited for", func() bool { return loadOf(s) == load{} })
			s.mu.Lock()
			if len(s.acks) > 0 {
				t.Errorf("%d acknowledgements are left", len(s.acks))
			}
			s.mu.Unlock()
		}
	})
}

// TestRatesOverNamespaces has a connection with many namespaces send in all of them: its rate is one.
func TestRatesOverNamespaces(t *testing.T) {
	const burst = 2000 // the bystanders have it, too
	cfg := Config{Rates: Rates{Events: Rate{PerSecond: 1, Burst: burst}}, Logger: unheard}
	r := loopback(t, cfg)
	handleAttacks(r)
	b := r.bystanders()
	p := r.attackers(1)[0]
	b.endure("100 namespaces", func() {
		for i := range 100 {
			name := fmt.Sprintf("/room/%d", i)
			p.send("40" + name + ",")
			p.joined(name)
		}
		start := time.Now()
		event := func(_, i int) string { return fmt.Sprintf(`42/room/%d,["x"]`, i%100) }
		n := b.barrage([]*peer{p}, true, event)
		p.nc.SetWriteDeadline(time.Now().Add(bystanderTime))
		for ; n < 2*burst; n++ {
			p.send(event(0, n))
		}
		most := burst + int(time.Since(start).Seconds()) + 1
		eventually(t, "events over the rate are dropped", func() bool { return int(r.srv.Stats().Throttled) >= n-most })
	})
}
