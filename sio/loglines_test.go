package sio

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a client does may be worth a line of the log, but not as many lines as it has packets, nor lines of the
// length that it likes.
func TestLogIsBounded(t *testing.T) {
	const packets = 3000
	long := strings.Repeat("x", 2000)
	for name, flood := range map[string]func(p *peer){
		"namespaces that do not exist": func(p *peer) {
			for range packets {
				p.send("40/" + long + ",")
				p.want(`44/` + long + `,{"message":"Invalid namespace"}`)
			}
		},
		"events that fail": func(p *peer) {
			for i := range packets {
				p.send("42" + strconv.Itoa(i) + `["` + long + `"]`)
				p.want("43" + strconv.Itoa(i) + `[{"error":{"message":"internal error"}}]`)
			}
		},
		"events that panic": func(p *peer) {
			for i := range packets {
				p.send("42" + strconv.Itoa(i) + `["panic"]`)
				p.want("43" + strconv.Itoa(i) + `[{"error":{"message":"internal error"}}]`)
			}
		},
		"middlewares that panic": func(p *peer) {
			for range packets {
				p.send("40/panics,")
				p.want(`44/panics,{"message":"connection refused"}`)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				r.srv.HandleFallback(HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
					if m.Event() == "panic" {
						panic("in the handler")
					}
					return errors.New("unknown")
				}))
				r.srv.Of("/panics").Use(func(context.Context, *Socket) error { panic("in the middleware") })
				p, _ := r.join()
				flood(p)

				log := r.log.String()
				lines := strings.Count(log, "level=INFO") + strings.Count(log, "level=WARN") + strings.Count(log, "level=ERROR")
				if most := 50 + 1; lines == 0 || lines > most {
					t.Errorf("%d packets bring %d lines, want some and at most %d", packets, lines, most)
				}
				for line := range strings.Lines(log) {
					if len(line) > 6000 { // a stack
						t.Fatalf("a line of %d bytes: %.300s", len(line), line)
					}
					if !strings.Contains(line, "stack=") && len(line) > 500 {
						t.Fatalf("a line of %d bytes: %.300s", len(line), line)
					}
				}

				other, _ := r.join()
				other.send("40/nowhere,")
				other.want(`44/nowhere,{"message":"Invalid namespace"}`)
				r.wantLog("connect refused", "namespace=/nowhere")

				// Some time later there is room again, and the log says what it lacks.
				time.Sleep(time.Second)
				p.send("40/again,")
				p.want(`44/again,{"message":"Invalid namespace"}`)
				r.wantLog("connect refused", "namespace=/again")
				each := 1
				if name == "middlewares that panic" {
					each = 2 // the panic, and that the client was refused
				}
				r.wantLog("lines about a connection left out", "lines="+strconv.Itoa(each*packets-lines))
			})
		})
	}
}

// Lines that no later line tells of are told of in the end.
func TestLogSaysWhatItLacks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, _ := r.join()
		for range 60 {
			p.send("40/x,")
			p.want(`44/x,{"message":"Invalid namespace"}`)
		}
		p.send("4x") // a violation
		p.wantEnd()
		synctest.Wait()
		r.wantLog("level=WARN", "lines about a connection left out", "lines=11")
	})
}
