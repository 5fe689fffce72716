package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/bench/internal/ws"
)

// client is a connected client. One goroutine reads; send is for one other at a time.
type client struct {
	conn net.Conn

	answers chan string   // what the node answers to calls
	events  chan event    // events "n", in the order they come
	probed  chan struct{} // closed with the first event "probe"
	probes  int           // owned by the reader
	err     error         // why reading ended; read after events is closed
	closing atomic.Bool
}

// event is the event "n".
type event struct {
	n  int
	at time.Time
}

func connect(ctx context.Context, addr string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{
		conn: conn, answers: make(chan string, 8), events: make(chan event, 1<<16), probed: make(chan struct{}),
	}
	if err := c.handshake(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return c, nil
}

func (c *client) handshake(ctx context.Context) error {
	if _, err := io.WriteString(c.conn, ws.Handshake("/socket.io/?EIO=4&transport=websocket")); err != nil {
		return err
	}
	go c.read()
	_, err := c.answer(ctx) // see packet
	return err
}

func (c *client) send(text string) error {
	_, err := c.conn.Write(ws.Append(nil, 1, true, []byte(text)))
	return err
}

// call sends an event with one argument, JSON text that may be empty, and waits for the
// answer.
func (c *client) call(ctx context.Context, event, arg string) error {
	if arg != "" {
		arg = "," + arg
	}
	if err := c.send(`421["` + event + `"` + arg + `]`); err != nil {
		return err
	}
	text, err := c.answer(ctx)
	if err == nil && !bytes.HasPrefix([]byte(text), []byte(`[{"v":`)) {
		err = fmt.Errorf("%s is refused: %s", event, text)
	}
	return err
}

func (c *client) answer(ctx context.Context) (string, error) {
	select {
	case text, ok := <-c.answers:
		if !ok {
			return "", c.err
		}
		return text, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (c *client) close() {
	c.closing.Store(true)
	c.conn.Close()
}

// read handles what comes until the connection ends.
func (c *client) read() {
	c.err = c.receive()
	close(c.answers)
	close(c.events)
}

func (c *client) receive() error {
	buf := make([]byte, 0, 64<<10)
	head := false
	for {
		if len(buf) == cap(buf) {
			return errors.New("a message is too long")
		}
		n, err := c.conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return err
		}
		at := time.Now()
		buf = buf[:len(buf)+n]
		rest := buf
		if !head {
			_, after, ok := bytes.Cut(rest, []byte("\r\n\r\n"))
			if !ok {
				continue
			}
			if !bytes.HasPrefix(rest, []byte("HTTP/1.1 101 ")) {
				return fmt.Errorf("no WebSocket: %.80q", rest)
			}
			head, rest = true, after
		}
		for {
			payload, _, n, err := ws.Next(rest)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			rest = rest[n:]
			if err := c.packet(payload, at); err != nil {
				return err
			}
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
	}
}

// packet handles an Engine.IO packet.
func (c *client) packet(p []byte, at time.Time) error {
	switch {
	case bytes.HasPrefix(p, []byte("0")):
		return c.send("40")
	case bytes.Equal(p, []byte("2")):
		return c.send("3")
	case bytes.HasPrefix(p, []byte("40")):
		c.answers <- ""
	case bytes.HasPrefix(p, []byte("431")):
		c.answers <- string(p[len("431"):])
	case bytes.HasPrefix(p, []byte(`42["probe"`)):
		if c.probes++; c.probes == 1 {
			close(c.probed)
		}
	case bytes.HasPrefix(p, []byte(`42["n",`)):
		// ["n","a",17,"xxx"] and ["n",17]
		rest := bytes.TrimPrefix(p[len(`42["n",`):], []byte(`"a",`))
		digits := rest[:max(0, bytes.IndexAny(rest, ",]"))]
		n, err := strconv.Atoi(string(digits))
		if err != nil {
			return fmt.Errorf("not a number: %.80q", p)
		}
		c.events <- event{n, at}
	default:
		return fmt.Errorf("not expected: %.80q", p)
	}
	return nil
}

// want waits for the event n, which must be the next.
func (c *client) want(ctx context.Context, n int) (time.Time, error) {
	select {
	case e, ok := <-c.events:
		if !ok {
			return time.Time{}, c.err
		}
		if e.n != n {
			return time.Time{}, fmt.Errorf("event %d came instead of %d", e.n, n)
		}
		return e.at, nil
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("event %d did not come: %w", n, context.Cause(ctx))
	}
}
