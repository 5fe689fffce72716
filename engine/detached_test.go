package engine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// detacherOf returns a handler that detaches at once, consuming the first n
// bytes, and hands over the result.
func detacherOf(n int, got chan<- net.Conn) *testHandler {
	return newHandler(func(c *Conn, p []byte) int {
		if len(p) < n {
			return 0
		}
		nc, err := c.Detach()
		if err != nil {
			c.Close(err)
			return 0
		}
		got <- nc
		return n
	})
}

// TestDetachHalfClosed detaches for a client that has sent its request and shut
// down its side, like an old HTTP client: the answer still gets through.
func TestDetachHalfClosed(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		for range scaled(50) {
			got := make(chan net.Conn, 1)
			_, _, client := adopted(t, o, detacherOf(0, got))
			io.WriteString(client, "request")
			client.CloseWrite()
			d := receive(t, got)
			if p, err := io.ReadAll(d); string(p) != "request" || err != nil {
				t.Fatalf("request %q, %v", p, err)
			}
			if _, err := io.WriteString(d, "answer"); err != nil {
				t.Fatal(err)
			}
			d.Close()
			if p, err := io.ReadAll(client); string(p) != "answer" || err != nil {
				t.Fatalf("answer %q, %v", p, err)
			}
			client.Close()
		}
	})
}

// TestDetachedIsAConn uses everything net/http uses.
func TestDetachedIsAConn(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		got := make(chan net.Conn, 1)
		h := detacherOf(1, got)
		e, c, client := adopted(t, o, h)
		io.WriteString(client, "ab")
		d := receive(t, got)
		if d.RemoteAddr().String() != client.LocalAddr().String() || d.LocalAddr().String() != client.RemoteAddr().String() {
			t.Errorf("addresses %v, %v", d.LocalAddr(), d.RemoteAddr())
		}
		// A deadline in the past does not keep from what has been received.
		d.SetDeadline(time.Now().Add(-time.Second))
		if string(readN(t, d, 1)) != "b" {
			t.Error("the rest is not what was left")
		}
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read after the deadline: %v", err)
		}
		if _, err := d.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write after the deadline: %v", err)
		}
		d.SetReadDeadline(time.Time{})
		d.SetWriteDeadline(time.Time{})
		io.WriteString(d, "x")
		readN(t, client, 1)
		io.WriteString(client, "more")
		readN(t, d, 4)
		if err := d.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		if p, err := io.ReadAll(client); len(p) > 0 || err != nil {
			t.Errorf("after CloseWrite: %q, %v", p, err)
		}

		// The engine has nothing to do with it any more.
		if err := c.Send(frame([]byte("x"))); !errors.Is(err, ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		c.Close(nil)
		c.CloseAfterFlush(frame([]byte("x")), 0)
		c.Resume()
		e.Close()
		if len(h.closed) > 0 {
			t.Error("Closed was called")
		}
		io.WriteString(client, "still open")
		readN(t, d, len("still open"))
		d.Close()
	})
}

// TestDetachRefused shows when a connection cannot leave: while frames are queued
// and when it is closing. It goes on as if nothing had been asked.
func TestDetachRefused(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		asked := make(chan error, 10)
		h := newHandler(func(c *Conn, p []byte) int {
			_, err := c.Detach()
			asked <- err
			return len(p)
		})
		e, c, client := adopted(t, o, h)
		b := e.NewBatch()
		c.Queue(frame([]byte("queued")), b)
		io.WriteString(client, "x")
		if err := receive(t, asked); !errors.Is(err, ErrClosed) {
			t.Errorf("with a queued frame: %v", err)
		}
		b.Flush()
		readN(t, client, len("queued"))
		c.CloseAfterFlush(nil, waitTime)
		io.WriteString(client, "x")
		if err := receive(t, asked); !errors.Is(err, ErrClosed) {
			t.Errorf("while closing: %v", err)
		}
		client.Close()
		h.wantClosed(t, io.EOF)
	})
}

// TestAdoptDetached sends a connection through engines and out again, as happens
// to an upgrade that net/http handles, with bytes under way all the time.
func TestAdoptDetached(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		msg := bytes.Repeat([]byte("0123456789"), 30_000)
		got := make(chan net.Conn, 1)
		e, _, client := adopted(t, o, detacherOf(10, got))
		go func() {
			client.Write(msg)
			client.CloseWrite()
		}()
		const hops = 5
		for range hops {
			d := receive(t, got)
			// One hop reads a little by itself, as bufio would, and gives it back.
			carry := readN(t, d, 3)
			if _, err := e.Adopt(d, carry, detacherOf(10, got)); err != nil {
				t.Fatal(err)
			}
		}
		d := receive(t, got)
		rest, err := io.ReadAll(d)
		if err != nil || !bytes.Equal(rest, msg[10*(hops+1):]) {
			t.Fatalf("%d of %d bytes, or others: %v", len(rest), len(msg)-10*(hops+1), err)
		}
		d.Close()
	})
}
