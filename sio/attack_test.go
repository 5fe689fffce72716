package sio

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/invariants"
)

// heap returns the bytes of memory that are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // pools forget at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// wantWithin checks that what is spent now is at most so much more than before. Builds that watch
// memory need more of it.
func wantWithin(t testing.TB, what string, before, now, more int) {
	t.Helper()
	if now-before > more && (what != "bytes" || !invariants.Enabled) {
		t.Errorf("%d more %s, at most %d are allowed", now-before, what, more)
	}
}

// flood writes packets until all are written or the connection is no longer read; in a bubble.
// It returns how many were.
func (p *peer) flood(n int, packet func(i int) string) (written func() int) {
	var done atomic.Int64
	go func() {
		for i := range n {
			if p.trySend(packet(i)) != nil {
				return
			}
			done.Add(1)
		}
	}()
	return func() int { synctest.Wait(); return int(done.Load()) }
}

// served checks that an ordinary client gets answers.
func (p *peer) served() {
	p.t.Helper()
	p.send(`429["ordinary"]`)
	p.want(`439[]`)
}

func wellBehaved(t *testing.T, r *rig) *peer {
	OnAck0(r.srv, "ordinary", func(context.Context, *Socket) (None, error) { return None{}, nil })
	p, _ := r.join()
	p.served()
	return p
}

// TestJoinChurn joins and leaves a namespace again and again while its middleware does not
// return, or its disconnect handler. The connection is not read any more.
func TestJoinChurn(t *testing.T) {
	for _, where := range []string{"middleware", "connect handler", "disconnect handler"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const limit = 10
				r := memory(t, Config{QueueEvents: limit})
				o := wellBehaved(t, r)
				release := make(chan struct{})
				var blocked atomic.Int64
				block := func(at string) {
					if at == where {
						blocked.Add(1)
						<-release
					}
				}
				ns := r.srv.Of("/slow")
				ns.Use(func(context.Context, *Socket) error { block("middleware"); return nil })
				ns.OnConnect(func(context.Context, *Socket) error { block("connect handler"); return nil })
				ns.OnDisconnect(func(*Socket, Reason) { block("disconnect handler") })
				goroutines := runtime.NumGoroutine()
				p := r.websocket()
				written := p.flood(100_000, func(i int) string { return []string{"40/slow,", "41/slow,"}[i%2] })
				// With one processor most leave before they have joined, and no handler of theirs runs.
				if n := written(); n == 100_000 && blocked.Load() >= limit {
					t.Error("everything was read")
				}
				wantWithin(t, "goroutines", goroutines, runtime.NumGoroutine(), 3*limit+20)
				o.served()
				p.close()
				close(release)
				synctest.Wait()
				o.served()
			})
		})
	}
}

// wantFewJoins has p send CONNECTs of 900 KB until the server has enough of them.
func (r *rig) wantFewJoins(p *peer, connect func(i int) string) {
	t := r.t
	t.Helper()
	memory := heap()
	joins := 0
	for ; joins < 50; joins++ {
		p.send(connect(joins))
		if _, err := p.read(patience); err != nil {
			break
		}
	}
	if joins < 5 || joins > 12 {
		t.Errorf("%d joins", joins)
	}
	r.wantLog("too many bytes of namespaces' names and auth payloads")
	wantWithin(t, "bytes", memory, heap(), 12_000_000)
}

// TestAuthPayloads has each namespace of a connection keep a large auth payload.
func TestAuthPayloads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Of("/room/{n}")
		o := wellBehaved(t, r)
		p := r.websocket()
		auth := `{"x":"` + strings.Repeat("x", 900_000) + `"}`
		r.wantFewJoins(p, func(i int) string { return fmt.Sprintf("40/room/%d,%s", i, auth) })
		o.served()

		// What was left makes room.
		p = r.websocket()
		for i := range 30 {
			p.send(fmt.Sprintf("40/room/%d,%s", i, auth))
			p.joined(fmt.Sprintf("/room/%d", i))
			p.send(fmt.Sprintf("41/room/%d,", i))
		}
	})
}

// TestUnknownNamespaces asks for namespaces that do not exist, with names as long as they can
// be, and for children that nobody stays in.
func TestUnknownNamespaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Of("/room/{n}")
		o := wellBehaved(t, r)
		p := r.websocket()
		memory, goroutines := heap(), runtime.NumGoroutine()
		long := strings.Repeat("x", 100_000)
		for i := range 50 {
			name := fmt.Sprintf("/%s%d", long, i)
			p.send("40" + name + ",")
			p.want("44" + name + `,{"message":"Invalid namespace"}`)
			name = fmt.Sprintf("/room/%d", i)
			p.send("40" + name + ",")
			p.joined(name)
			p.send("41" + name + ",")
		}
		synctest.Wait()
		wantWithin(t, "bytes", memory, heap(), 2<<20)
		wantWithin(t, "goroutines", goroutines, runtime.NumGoroutine(), 20)
		if n := len(slices.Collect(r.srv.Namespaces())); n > 3 {
			t.Errorf("%d namespaces are kept", n)
		}
		if n := len(r.log.String()); n > 100_000 {
			t.Errorf("%d bytes were logged", n)
		}
		o.served()
	})
}

// TestAckGames answers what was not asked, twice, and with ids of every size; and asks for
// answers that never come.
func TestAckGames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		o := wellBehaved(t, r)
		var kept atomic.Int64
		r.srv.Handle("never", HandlerFunc(func(context.Context, *Socket, *Message) error { kept.Add(1); return nil }))
		p, s := r.join()
		memory, goroutines := heap(), runtime.NumGoroutine()
		for i := range 20_000 {
			p.send(fmt.Sprintf(`43%d["nobody asked"]`, i*i*i))
			p.send(fmt.Sprintf(`42%d["never"]`, i%3))
		}
		p.send(`439007199254740991[]`)
		synctest.Wait()
		if n := kept.Load(); n != 20_000 {
			t.Errorf("%d events", n)
		}
		r.wantSettled(s)
		wantWithin(t, "bytes", memory, heap(), 1<<20)
		wantWithin(t, "goroutines", goroutines, runtime.NumGoroutine(), 20)
		o.served()
	})
}

// TestAttachmentFlood announces attachments and sends too many, too large ones, or none.
func TestAttachmentFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{Limits: codec.Limits{MaxAttachmentBytes: 1 << 20}}
		r := memory(t, cfg)
		o := wellBehaved(t, r)
		memory := heap()
		head := `4510-["x"` + strings.Repeat(`,{"_placeholder":true,"num":0}`, 10) + `]`
		peers := make([]*peer, 20)
		for i := range peers {
			p, _ := r.join()
			peers[i] = p
			p.send(head)
			for range 5 { // 5 of 10, 200 kB each: they wait
				p.sendBinary(strings.Repeat("x", 200_000))
			}
		}
		synctest.Wait()
		wantWithin(t, "bytes", memory, heap(), len(peers)*(2<<20))
		o.served()
		for _, p := range peers {
			p.sendBinary(strings.Repeat("x", 200_000)) // now they are too large
			p.wantEnd()
		}
		synctest.Wait()
		wantWithin(t, "bytes", memory, heap(), len(peers)*(400<<10)) // both ends are here
		o.served()
	})
}

// TestPayloadBombs sends, in both formats, what grows when it is decoded: deep nesting, many
// elements, many keys, the same key many times.
func TestPayloadBombs(t *testing.T) {
	const size = 200_000
	keys := func(text func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(text(i))
		}
		return b.String()
	}
	jsons := map[string]string{
		"many lists":   "[" + keys(func(int) string { return "[]" }) + "]",
		"many objects": "[" + keys(func(int) string { return "{}" }) + "]",
		"many keys":    "{" + keys(func(i int) string { return fmt.Sprintf(`"%d":1`, i) }) + "}",
		"the same key": "{" + keys(func(int) string { return `"a":1` }) + "}",
		"long numbers": "[" + keys(func(int) string { return "1e5" }) + "]",
		"one number":   strings.Repeat("9", size),
		"escapes":      `"` + strings.Repeat(`\u0000`, size/6) + `"`,
		"many nests":   "[" + keys(func(int) string { return strings.Repeat("[", 100) + strings.Repeat("]", 100) }) + "]",
	}
	for name, value := range jsons {
		t.Run("json/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				o := wellBehaved(t, r)
				var spent uint64
				On(r.srv, "x", func(context.Context, *Socket, any) error { return nil })
				r.srv.Handle("measured", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					var v any
					_ = m.Decode(0, &v)
					runtime.ReadMemStats(&after)
					spent = after.TotalAlloc - before.TotalAlloc
					return nil
				}))
				p, _ := r.join()
				p.send(`42["x",` + value + `]`)
				p.send(`42["measured",` + value + `]`)
				synctest.Wait()
				if spent == 0 || spent > 160*size && !invariants.Enabled { // what any costs; types of their own are cheaper
					t.Errorf("%d bytes decoded into %d", size, spent)
				}
				p.served()
				o.served()
			})
		})
	}
	for name, value := range map[string]string{
		"nested lists":   strings.Repeat("[", size) + strings.Repeat("]", size),
		"nested objects": strings.Repeat(`{"a":`, size/5) + "1" + strings.Repeat("}", size/5),
		"nested, open":   strings.Repeat("[", size),
		"a level more":   strings.Repeat("[", 128) + strings.Repeat("]", 128),
	} {
		t.Run("json/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				o := wellBehaved(t, r)
				for _, head := range []string{`42["x",`, `431[`, `40/other,{"x":`} {
					p, _ := r.join()
					p.send(head + value + map[bool]string{true: "}", false: "]"}[head[1] == '0'])
					p.wantEnd()
				}
				o.served()
			})
		})
	}
	for name, tt := range map[string]struct {
		data string
		err  error
	}{
		"nested lists":   {"\x92\xa1x" + strings.Repeat("\x91", size) + "\xc0", codec.ErrDepth},
		"nested objects": {"\x92\xa1x" + strings.Repeat("\x81\xa1a", size/3) + "\xc0", codec.ErrDepth},
		"nested, open":   {"\x92\xa1x" + strings.Repeat("\x91", size), codec.ErrDepth},
		"a level more":   {"\x92\xa1x" + strings.Repeat("\x91", 128) + "\xc0", codec.ErrDepth},
		"four billion":   {"\x92\xa1x\xdd\xff\xff\xff\xff", codec.ErrPayload},
		"many headers":   {"\x92\xa1x" + strings.Repeat("\xdd\xff\xff\xff\xff", size/5), codec.ErrDepth},
	} {
		t.Run("msgpack/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{Parser: codec.Msgpack})
				p := r.websocket()
				p.joinPack("/")
				memory := heap()
				packet := "\x83\xa4type\x02\xa3nsp\xa1/\xa4data" + tt.data
				if _, err := p.nc.Write(clientFrame(ws.OpBinary, packet)); err != nil {
					t.Fatal(err)
				}
				p.wantEnd()
				wantWithin(t, "bytes", memory, heap(), 1<<20)
				r.wantLog(tt.err.Error())
			})
		})
	}
}

// TestQueuedBytes floods a handler that does not return with events of every size.
func TestQueuedBytes(t *testing.T) {
	for _, size := range []int{1, 1000, 500_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				o := wellBehaved(t, r)
				release := make(chan struct{})
				r.srv.Handle("slow", HandlerFunc(func(context.Context, *Socket, *Message) error { <-release; return nil }))
				p, s := r.join()
				memory := heap()
				text := `42["slow","` + strings.Repeat("x", size) + `"]`
				written := p.flood(100_000, func(int) string { return text })
				if written() == 100_000 {
					t.Error("everything was read")
				}
				l := loadOf(s)
				if !l.held || l.events > DefaultQueueEvents+64 || int(l.bytes) > DefaultQueueBytes+2*len(text)+64*1024 {
					t.Errorf("load %+v", l)
				}
				wantWithin(t, "bytes", memory, heap(), 6<<20)
				o.served()
				p.close()
				close(release)
			})
		})
	}
}
