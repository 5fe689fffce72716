package main

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/bench/internal/ws"
)

func TestPercentiles(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i)*time.Microsecond)
	}
	if p50, p99 := percentiles(all); p50 != 101 || p99 != 199 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if p50, p99 := percentiles(all[:1]); p50 != 1 || p99 != 1 {
		t.Errorf("of one: p50 %v, p99 %v", p50, p99)
	}
}

func TestReport(t *testing.T) {
	rows := []row{
		{kind: "go", adapter: "redis", rate: 3000, cpu: [4]float64{2, 1, 0.5, 1}, round: 0},
		{kind: "node", adapter: "redis", rate: 1000, cpu: [4]float64{20, 10, 5, 1}, round: 0},
		{kind: "node", adapter: "redis", rate: 1000, cpu: [4]float64{60, 10, 5, 1}, round: 1},
		{kind: "go", adapter: "redis", rate: 2000, cpu: [4]float64{2, 1, 0.5, 1}, round: 1},
	}
	got := report(&options{adapters: []string{"redis", "redis-sharded"}}, rows, 0)
	for _, want := range []string{
		"| events a second across nodes | 2500 | 1000 | 2.5 × (2.0–3.0) |",
		"| CPU of the sending node, µs an event | 2.00 | 40.0 | 20.0 × (10.0–30.0) |",
		"| redis-sharded | epio |", "| CPU of Redis, µs | – | – | – |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "busy") {
		t.Error("a machine that is not busy is called so")
	}
	if !strings.Contains(report(&options{}, nil, 1000), "busy") {
		t.Error("a busy machine is not called so")
	}
}

// A client counts what it gets, and notices what it does not.
func TestClientWants(t *testing.T) {
	serve := func(events ...string) *client {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			for _, e := range append([]string{`0{}`, `40{"sid":"x"}`, "2"}, events...) {
				_, _ = conn.Write(ws.Append(nil, 1, false, []byte(e)))
			}
			_, _ = io.Copy(io.Discard, conn)
		}()
		c, err := connect(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.close)
		return c
	}
	c := serve(`42["n","a",0,"xxx"]`, `42["n",1]`, `42["n",1]`)
	for n := range 2 {
		if _, err := c.want(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.want(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "event 1 came instead of 2") {
		t.Errorf("an event twice: %v", err)
	}
	if _, err := serve(`42["other"]`).want(t.Context(), 0); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("an event nobody expects: %v", err)
	}
}
