package sio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

// dedupRig is a server whose root namespace handles duplicates once.
func dedupRig(t *testing.T, d Dedup) *rig {
	t.Helper()
	r := memory(t, Config{})
	if d.Key == nil {
		d.Key = KeyArg(-1)
	}
	r.srv.Wrap(Deduplicate(d))
	return r
}

func TestDuplicatesGetTheSameAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := dedupRig(t, Dedup{})
		n := 0
		type answer struct{ N *int }
		OnAck2(r.srv, "order", func(_ context.Context, _ *Socket, what, _ string) (answer, error) {
			n++
			if what == "bad" {
				return answer{}, &Error{Message: "out of stock"}
			}
			return answer{&n}, nil // changes later
		})
		r.srv.Handle("bin", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
			n++
			return m.Ack([]byte{byte(n)}, "x")
		}))
		p, _ := r.join()
		p.send(`421["order","book","id1"]`)
		p.want(`431[{"N":1}]`)
		p.close()
		q, _ := r.join()
		q.send(`427["order","book","id1"]`, `428["order","pen","id2"]`, `429["order","book","id1"]`)
		q.want(`437[{"N":1}]`, `438[{"N":2}]`, `439[{"N":1}]`)
		q.send(`421["order","bad","id3"]`, `422["order","bad","id3"]`)
		q.want(`431[{"error":{"message":"out of stock"}}]`, `432[{"error":{"message":"out of stock"}}]`)
		q.send(`421["bin","id1"]`, `422["bin","id1"]`) // the same id, another event
		q.want(`461-1[{"_placeholder":true,"num":0},"x"]`)
		q.wantBinary("\x04")
		q.want(`461-2[{"_placeholder":true,"num":0},"x"]`)
		q.wantBinary("\x04")
		if n != 4 {
			t.Errorf("%d events were handled", n)
		}
		// Without a key everything is handled.
		q.send(`42["order","a",5]`, `42["order"]`, `42["order","a",""]`)
		q.send(`42["order","a","`+strings.Repeat("x", maxKey+1)+`"]`, `42["order","a","`+strings.Repeat("x", maxKey+1)+`"]`)
		synctest.Wait()
		if n != 4+5-1 { // a number is no string
			t.Errorf("%d events were handled", n)
		}
	})
}

// A namespace has its own ids, and does not have to be the root.
func TestDuplicatesCountPerNamespace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		mw := Deduplicate(Dedup{Key: KeyArg(0)})
		var n atomic.Int32
		for _, nsp := range []string{"/a", "/b"} {
			ns := r.srv.Of(nsp)
			ns.Wrap(mw)
			OnAck(ns, "x", func(context.Context, *Socket, string) (int32, error) { return n.Add(1), nil })
		}
		p := r.websocket()
		p.join("/a")
		p.join("/b")
		p.send(`42/a,1["x","i"]`)
		p.want(`43/a,1[1]`)
		p.send(`42/b,1["x","i"]`)
		p.want(`43/b,1[2]`)
		p.send(`42/a,2["x","i"]`)
		p.want(`43/a,2[1]`)
	})
}

// TestConcurrentDuplicates has a client come back while its event is still being handled.
func TestConcurrentDuplicates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := dedupRig(t, Dedup{})
		open := make(chan struct{})
		n := 0
		OnAck(r.srv, "x", func(context.Context, *Socket, string) (int, error) { n++; <-open; return n, nil })
		p, _ := r.join()
		p.send(`421["x","i"]`)
		synctest.Wait()
		p.close()
		q, _ := r.join()
		q.send(`421["x","i"]`)
		gone, _ := r.join()
		gone.send(`421["x","i"]`)
		synctest.Wait()
		gone.close() // and this one does not wait for ever
		synctest.Wait()
		q.wantNothing()
		close(open)
		q.want(`431[1]`)
		if n != 1 {
			t.Errorf("handled %d times", n)
		}
	})
}

// What failed without an answer is handled again, and by a duplicate that waited already.
func TestFailuresAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := dedupRig(t, Dedup{})
		n := 0
		open := make(chan struct{})
		OnAck(r.srv, "x", func(ctx context.Context, _ *Socket, _ string) (int, error) {
			switch n++; n {
			case 1:
				<-open
				<-ctx.Done()
				return 0, context.Cause(ctx)
			case 2:
				panic("oh")
			case 3:
				return 0, errors.New("broken")
			}
			return n, nil
		})
		p, _ := r.join()
		p.send(`421["x","i"]`)
		synctest.Wait()
		p.close()
		q, _ := r.join()
		q.send(`421["x","i"]`)
		close(open)
		q.want(`431[{"error":{"message":"internal error"}}]`) // the panic
		q.send(`422["x","i"]`)
		q.want(`432[{"error":{"message":"internal error"}}]`)
		q.send(`423["x","i"]`, `424["x","i"]`)
		q.want(`433[4]`, `434[4]`)
	})
}

// TestLateAnswers has the handler return before there is an answer.
func TestLateAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := dedupRig(t, Dedup{})
		later := make(chan *Message, 2)
		r.srv.Handle("x", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { later <- m.Clone(); return nil }))
		p, _ := r.join()
		p.send(`421["x","i"]`)
		m := receive(t, later)
		p.close()
		q, _ := r.join()
		q.send(`425["x","i"]`, `426["x","i"]`)
		synctest.Wait()
		q.wantNothing()
		wantErr(t, m.Ack("done"), ErrClosed) // its client is gone
		q.want(`436["done"]`)                // which has given up number 5
		q.send(`427["x","i"]`)
		q.want(`437["done"]`)
		wantNone(t, later)
	})
}

// TestDedupIsBounded remembers no more than it may, and no longer.
func TestDedupIsBounded(t *testing.T) {
	for _, test := range []struct {
		name string
		d    Dedup
		size int
		keep int // how many of 10 are remembered
	}{
		{"entries", Dedup{Entries: 3}, 1, 3},
		{"bytes", Dedup{Bytes: 8000}, 1500, 2},
		{"too large", Dedup{Bytes: 1000}, 1500, 0},
		{"defaults", Dedup{}, 1, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := dedupRig(t, test.d)
				n := 0
				OnAck(r.srv, "x", func(context.Context, *Socket, string) (string, error) {
					n++
					return strings.Repeat("x", test.size), nil
				})
				p, _ := r.join()
				for i := range 10 {
					p.send(fmt.Sprintf(`421["x","%d"]`, i))
					p.next()
				}
				for i := 9; i >= 10-test.keep; i-- {
					p.send(fmt.Sprintf(`421["x","%d"]`, i))
					p.next()
				}
				if n != 10 {
					t.Fatalf("%d of %d were forgotten", n-10, test.keep)
				}
				if test.keep < 10 {
					p.send(fmt.Sprintf(`421["x","%d"]`, 9-test.keep))
					p.next()
					if n != 11 {
						t.Error("more is remembered than may be")
					}
				}
			})
		})
	}
	bubble(t, func(t *testing.T) {
		r := dedupRig(t, Dedup{TTL: 10 * time.Second})
		n := 0
		OnAck(r.srv, "x", func(context.Context, *Socket, string) (int, error) { n++; return n, nil })
		p, _ := r.join()
		p.send(`421["x","i"]`)
		p.want(`431[1]`)
		time.Sleep(9 * time.Second)
		p.send(`422["x","i"]`)
		p.want(`432[1]`)
		time.Sleep(time.Second)
		p.send(`423["x","i"]`)
		p.want(`433[2]`)
	})
}

func TestFreeze(t *testing.T) {
	value := map[string]any{"a": []byte{1, 2}, "b": []any{int64(1) << 60, "x", nil, true}}
	for _, p := range []codec.Parser{codec.JSON, codec.Msgpack} {
		for _, args := range [][]any{{}, {1, "x"}, {value}, {[]byte("raw"), value}, {strings.Repeat("long", 50_000)}} {
			if p == codec.JSON && len(args) > 0 {
				if _, ok := args[len(args)-1].(map[string]any); ok {
					value["b"] = []any{1, "x", nil, true} // beside binary, numbers are those of JavaScript
				}
			}
			want, err := p.EncodeAck("/", 7, args)
			must(t, err)
			frozen, size, err := freeze(p, args)
			must(t, err)
			got, err := p.EncodeAck("/", 7, frozen)
			must(t, err)
			if got.Len() != want.Len() || size < got.Len() {
				t.Errorf("%s %.50v: %d bytes, counted as %d, want %d", p.Name(), args, got.Len(), size, want.Len())
			}
			want.Release()
			got.Release()
		}
	}
	if _, _, err := freeze(codec.JSON, []any{make(chan int)}); err == nil {
		t.Error("a channel was encoded")
	}
}

func TestDeduplicatePanics(t *testing.T) {
	for _, d := range []Dedup{{}, {Key: KeyArg(0), Entries: -1}, {Key: KeyArg(0), Bytes: -1}, {Key: KeyArg(0), TTL: -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was accepted", d)
				}
			}()
			Deduplicate(d)
		}()
	}
}
