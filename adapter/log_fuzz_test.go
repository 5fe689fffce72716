package adapter

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/epio-go/epio/pool"
)

// FuzzLog reads the input as limits and a list of operations on a log, and holds it
// against a list of everything that was added, from which the oldest are struck off one by
// one for as long as a limit is exceeded. Besides, offset is a number or nothing: what a
// client says about where it was.
func FuzzLog(f *testing.F) {
	f.Add(byte(3), byte(3), byte(10), "AAAAAAAAAAAA", []byte{0, 1, 10, 1, 2, 0, 2, 20, 0, 3, 0, 1, 1, 1, 1, 2, 1, 0, 0})
	f.Add(byte(1), byte(1), byte(0), "", []byte{0, 0, 0, 0, 0, 0, 1, 200, 0, 0, 3, 1, 0})
	f.Add(byte(255), byte(40), byte(60), "****AAAAAAA_", []byte{1, 100, 2, 0, 0, 3, 4, 0, 1, 1, 2, 0, 30, 3, 0, 9, 9, 9})
	f.Fuzz(func(t *testing.T, packets, bytes, age byte, offset string, ops []byte) {
		if len(ops) > 600 {
			return
		}
		live := pool.Live()
		c := RecoveryConfig{LogPackets: 1 + int(packets), LogBytes: 1 + int(bytes)*loggedOverhead, LogAge: time.Duration(age) * time.Second}
		x := &logRun{t: t, c: c, l: newPacketLog(c), now: time.Unix(0, 0)}
		for r := opReader(ops); len(r) > 0; {
			x.step(&r)
			x.compare()
		}
		if n, ok := x.l.number(offset); ok && (n > x.l.last() || x.l.offset(n) != offset) {
			t.Errorf("%q is taken for %d of %d", offset, n, x.l.last())
		}
		x.l.clear()
		if n := pool.Live() - live; n != 0 || x.l.bytes != 0 {
			t.Errorf("%d frames are left, %d bytes", n, x.l.bytes)
		}
	})
}

// logRun is a log and what it must be like.
type logRun struct {
	t    *testing.T
	c    RecoveryConfig
	l    *packetLog
	now  time.Time
	all  []logPacket // packet n is at n-1
	kept int         // how many of the last ones
}

type logPacket struct {
	size int
	at   time.Time
	id   string // the only receiver
	opts Opts   // without id
}

func (x *logRun) step(r *opReader) {
	switch r.next(4) {
	case 0:
		x.now = x.now.Add(time.Duration(r.next(256)) * 100 * time.Millisecond)
		x.l.trim(x.now)
	case 1, 2:
		p := logPacket{size: r.next(256), at: x.now}
		e := logged{frame: testFrame(p.size), at: x.now}
		if r.next(4) == 3 {
			p.id = modelIDs[r.next(3)]
			e.to, e.alone = p.id, true
		} else {
			p.opts = r.opts()
			e.selection(&p.opts)
		}
		x.l.add(e)
		x.all = append(x.all, p)
		x.kept++
	case 3:
		s := &Session{SID: modelIDs[r.next(3)]}
		s.Rooms = append(r.names(20), s.SID)
		x.replay(s, r.next(len(x.all)+2))
	}
	for x.kept > 0 {
		size := 0
		for _, p := range x.all[len(x.all)-x.kept:] {
			size += p.size + loggedOverhead
		}
		if x.kept <= x.c.LogPackets && size <= x.c.LogBytes && x.now.Sub(x.all[len(x.all)-x.kept].at) <= x.c.LogAge {
			break
		}
		x.kept--
	}
}

// replay is a session that comes back having seen n packets.
func (x *logRun) replay(s *Session, n int) {
	missed, ok := x.l.after(nil, uint64(n), s)
	if ok != (n <= len(x.all) && n >= len(x.all)-x.kept) {
		x.t.Fatalf("replay after %d of %d, %d kept: %v", n, len(x.all), x.kept, ok)
	}
	if !ok {
		return
	}
	in := func(r string) bool { return slices.Contains(s.Rooms, r) }
	var want, got []string
	for i, p := range x.all[n:] {
		o := p.opts
		meant := (len(o.Rooms) == 0 || slices.ContainsFunc(o.Rooms, in)) && !slices.ContainsFunc(o.Except, in) && !in(o.ExceptID)
		if p.id != "" {
			meant = p.id == s.SID
		}
		if meant {
			want = append(want, fmt.Sprint(n+i+1, " of ", p.size))
		}
	}
	for _, m := range missed {
		n, ok := x.l.number(m.Offset)
		if !ok {
			x.t.Fatalf("%q is no offset", m.Offset)
		}
		got = append(got, fmt.Sprint(n, " of ", m.Frame.Len()))
	}
	if !slices.Equal(got, want) {
		x.t.Fatalf("%+v has missed %q, want %q", s, got, want)
	}
}

func (x *logRun) compare() {
	if x.l.last() != uint64(len(x.all)) || x.l.len != x.kept {
		x.t.Fatalf("%d packets, the last is %d; want %d and %d", x.l.len, x.l.last(), x.kept, len(x.all))
	}
	size := 0
	for i := range x.kept {
		size += x.all[len(x.all)-1-i].size + loggedOverhead
	}
	if x.l.bytes != size {
		x.t.Fatalf("%d bytes, want %d", x.l.bytes, size)
	}
	if len(x.l.ring) > max(16, 4*x.c.LogPackets) {
		x.t.Fatalf("a ring of %d for %d packets", len(x.l.ring), x.c.LogPackets)
	}
}
