package engine

import (
	"runtime"
	"testing"

	"github.com/epio-go/epio/pool"
	"golang.org/x/sys/unix"
)

// TestSenderIsNotKept shows that whoever sends writes a bounded number of others'
// frames and leaves the rest to a goroutine, even when the socket takes
// everything.
func TestSenderIsNotKept(t *testing.T) {
	noLeaks(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the goroutine runs when we let it
	fd, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	e := New(Options{SendBuffer: 1 << 30})
	defer e.Close()
	f := pool.Static(make([]byte, 200)) // too large to be packed
	left := 0
	for range 10 { // the scheduler may have other ideas
		c := &epollConn{}
		c.e, c.link, c.fd = e, c, fd
		b := e.NewBatch()
		for range 100 * maxIov {
			if err := c.Queue(f, b); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Send(f); err != nil {
			t.Fatal(err)
		}
		left = max(left, c.Buffered())
		b.Flush()
		eventually(t, "everything is written", func() bool { return c.Buffered() == 0 })
	}
	if left == 0 {
		t.Error("a sender wrote everything that was queued")
	}
}
