package memconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// outcome is what Read or Write returned.
type outcome struct {
	n   int
	err error
}

// start runs a call that may block and returns where its outcome will be.
func start(fn func() (int, error)) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		n, err := fn()
		ch <- outcome{n, err}
	}()
	return ch
}

func wantBlocked(t *testing.T, ch <-chan outcome) {
	t.Helper()
	synctest.Wait()
	if len(ch) > 0 {
		t.Fatalf("did not block: %+v", <-ch)
	}
}

func wantOutcome(t *testing.T, ch <-chan outcome, n int, err error) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-ch:
		if o.n != n || !errors.Is(o.err, err) {
			t.Errorf("got %d, %v, want %d, %v", o.n, o.err, n, err)
		}
	default:
		t.Error("blocked")
	}
}

// TestPipeCarriesBytes moves more than the buffers hold in both directions at once.
func TestPipeCarriesBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeSize(1000)
		msg := bytes.Repeat([]byte("0123456789"), 5000)
		for _, c := range []*Conn{a, b} {
			go func() {
				c.Write(msg)
				c.CloseWrite()
			}()
		}
		for _, c := range []*Conn{a, b} {
			if got, err := io.ReadAll(c); !bytes.Equal(got, msg) || err != nil {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		}
	})
}

func TestWriteBlocksWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeSize(10)
		if n, err := a.Write(make([]byte, 10)); n != 10 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		w := start(func() (int, error) { return a.Write(make([]byte, 15)) })
		wantBlocked(t, w)
		io.ReadFull(b, make([]byte, 10))
		wantBlocked(t, w)
		io.ReadFull(b, make([]byte, 10))
		wantOutcome(t, w, 15, nil)
	})
}

// TestClose shows what either end sees when one is closed.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeSize(10)
		a.Write([]byte("last"))
		reader := start(func() (int, error) { return a.Read(make([]byte, 10)) })
		b.Write(make([]byte, 10))
		wantOutcome(t, reader, 10, nil)
		reader = start(func() (int, error) { return a.Read(make([]byte, 10)) })
		b.Write(make([]byte, 10))
		wantOutcome(t, reader, 10, nil)
		b.Write(make([]byte, 10))
		writer := start(func() (int, error) { return b.Write([]byte("x")) })
		wantBlocked(t, writer)

		a.Close()
		a.Close()
		wantOutcome(t, writer, 0, io.ErrClosedPipe)
		wantOutcome(t, start(func() (int, error) { return a.Read(make([]byte, 10)) }), 0, net.ErrClosed)
		wantOutcome(t, start(func() (int, error) { return a.Write([]byte("x")) }), 0, net.ErrClosed)
		wantOutcome(t, start(func() (int, error) { return b.Read(make([]byte, 10)) }), 4, nil)
		wantOutcome(t, start(func() (int, error) { return b.Read(make([]byte, 10)) }), 0, io.EOF)
	})
}

// TestCloseWakesReader unblocks both ends' readers.
func TestCloseWakesReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		ra := start(func() (int, error) { return a.Read(make([]byte, 1)) })
		rb := start(func() (int, error) { return b.Read(make([]byte, 1)) })
		wantBlocked(t, ra)
		wantBlocked(t, rb)
		a.Close()
		wantOutcome(t, ra, 0, net.ErrClosed)
		wantOutcome(t, rb, 0, io.EOF)
	})
}

// TestCloseWrite ends one direction only.
func TestCloseWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		a.Write([]byte("request"))
		a.CloseWrite()
		if got, err := io.ReadAll(b); string(got) != "request" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		wantOutcome(t, start(func() (int, error) { return a.Write([]byte("x")) }), 0, net.ErrClosed)
		b.Write([]byte("answer"))
		b.Close()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestDeadlines expire while a call waits and before it is made, and can be taken
// back.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeSize(1)
		a.SetReadDeadline(time.Now().Add(time.Second))
		read := func() (int, error) { return a.Read(make([]byte, 1)) }
		begin := time.Now()
		if o := <-start(read); !errors.Is(o.err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", o.err, time.Since(begin))
		}
		wantOutcome(t, start(read), 0, os.ErrDeadlineExceeded)
		b.Write([]byte("x"))
		wantOutcome(t, start(read), 1, nil) // what is there can be read
		a.SetReadDeadline(time.Time{})
		r := start(read)
		wantBlocked(t, r)
		b.Write([]byte("x"))
		wantOutcome(t, r, 1, nil)

		a.Write([]byte("x"))
		write := func() (int, error) { return a.Write([]byte("y")) }
		a.SetWriteDeadline(time.Now().Add(time.Minute))
		w := start(write)
		wantBlocked(t, w)
		a.SetWriteDeadline(time.Now().Add(-time.Minute)) // shortens a running wait
		wantOutcome(t, w, 0, os.ErrDeadlineExceeded)
		a.SetDeadline(time.Time{})
		w = start(write)
		wantBlocked(t, w)
		b.Read(make([]byte, 1))
		wantOutcome(t, w, 1, nil)
	})
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen()
		dialed := make(chan net.Conn, 1)
		go func() {
			c, err := l.Dial()
			if err != nil {
				t.Error(err)
			}
			dialed <- c
		}()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		client := <-dialed
		client.Write([]byte("hello"))
		got := make([]byte, 5)
		if _, err := io.ReadFull(server, got); string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
		if client.RemoteAddr() != server.LocalAddr() || client.LocalAddr() != server.RemoteAddr() {
			t.Error("the ends disagree about their addresses")
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			waiting <- err
		}()
		synctest.Wait()
		l.Close()
		l.Close()
		if err := <-waiting; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if _, err := l.Dial(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial: %v", err)
		}
		if l.Addr().Network() != "memory" {
			t.Errorf("address %v", l.Addr())
		}
	})
}
