package nats

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func frameOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] = whole
	return b
}

// cut returns the parts of a frame.
func cut(t *testing.T, uid string, number uint32, frame []byte, limit int) (list [][]byte) {
	t.Helper()
	err := split(uid, number, frame, limit, func(p []byte) error {
		if len(p) > limit {
			t.Errorf("part of %d bytes, limit %d", len(p), limit)
		}
		list = append(list, bytes.Clone(p))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPartsMakeTheWhole(t *testing.T) {
	for _, n := range []int{1, 99, 100, 101, 5000} {
		frame := frameOf(n)
		list := cut(t, "u1", 7, frame, 16+100)
		if want := (n + 99) / 100; len(list) != want {
			t.Errorf("%d parts of %d bytes, want %d", len(list), n, want)
		}
		var ps parts
		for i, p := range list {
			got, err := ps.add(p)
			if err != nil {
				t.Fatal(err)
			}
			if last := i == len(list)-1; (got != nil) != last || last && !bytes.Equal(got, frame) {
				t.Errorf("part %d of %d: %d bytes", i, len(list), len(got))
			}
		}
		if ps.bytes != 0 || len(ps.open) != 0 {
			t.Errorf("left behind: %d bytes, %d messages", ps.bytes, len(ps.open))
		}
	}
}

// Messages of several senders come at a time, and parts get lost: what is complete comes
// out, nothing else does.
func TestPartsOfSeveralSendersWithLosses(t *testing.T) {
	var ps parts
	frames := make(map[string][]byte)
	var queues [][][]byte
	lossy := make(map[string]bool)
	for s := range 8 {
		var q [][]byte
		for n := range 20 {
			frame := frameOf(500 + 10*n)
			uid := fmt.Sprint("u", s)
			list := cut(t, uid, uint32(n), frame, 120)
			frames[string(frame)] = frame
			if (s+n)%3 == 0 {
				i := (s + n) % len(list)
				list = append(list[:i:i], list[i+1:]...)
				lossy[string(frame)] = true
			}
			q = append(q, list...)
		}
		queues = append(queues, q)
	}
	complete := 0
	for len(queues) > 0 {
		i := rand.IntN(len(queues))
		got, err := ps.add(queues[i][0])
		if err != nil && !errors.Is(err, errMissing) {
			t.Fatal(err)
		}
		if got != nil {
			complete++
			if frames[string(got)] == nil || lossy[string(got)] {
				t.Fatal("came out changed, or without a part")
			}
		}
		if queues[i] = queues[i][1:]; len(queues[i]) == 0 {
			queues = append(queues[:i], queues[i+1:]...)
		}
	}
	if want := len(frames) - len(lossy); complete != want {
		t.Errorf("%d messages, want %d", complete, want)
	}
}

func TestPartsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ps parts
		first := func(uid string, total int) error {
			_, err := ps.add(cut(t, uid, 1, make([]byte, total), 1<<10)[0])
			return err
		}
		if _, err := ps.add(cut(t, "u", 1, make([]byte, maxMessage+1), 1<<20)[0]); !errors.Is(err, errTooLarge) {
			t.Errorf("too large: %v", err)
		}
		for i := range maxPartials {
			if err := first(fmt.Sprint("u", i), 3<<10); err != nil {
				t.Fatal(i, err)
			}
		}
		if err := first("another", 3<<10); !errors.Is(err, errTooLarge) {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(partialAge + time.Second)
		if err := first("later", 3<<10); err != nil {
			t.Errorf("later: %v", err)
		}
		if len(ps.open) != 1 {
			t.Errorf("%d are open", len(ps.open))
		}
	})
}

// When the bytes of all parts become too many, those that wait for too long give way. The one that goes on just now does not,
// however long it has waited, and what is held stays counted.
func TestPartsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ps parts
		frames := make(map[string][][]byte)
		add := func(uid string, n int) (frame []byte, err error) {
			t.Helper()
			for _, p := range frames[uid][:n] {
				if frame, err = ps.add(p); err != nil {
					return nil, err
				}
			}
			frames[uid] = frames[uid][n:]
			held := 0
			for _, m := range ps.open {
				held += len(m.b)
			}
			if ps.bytes != held {
				t.Errorf("%d bytes are held, counted are %d", held, ps.bytes)
			}
			return frame, nil
		}
		for _, uid := range []string{"a", "b", "c"} {
			frames[uid] = cut(t, uid, 1, make([]byte, maxMessage), 1<<20)
		}
		for uid, n := range map[string]int{"a": 30, "b": 30, "c": 3} {
			if _, err := add(uid, n); err != nil {
				t.Fatal(uid, err)
			}
		}
		if _, err := add("c", 3); !errors.Is(err, errTooLarge) {
			t.Errorf("while all are new: %v", err)
		}
		frames["c"] = cut(t, "c", 2, make([]byte, maxMessage), 1<<20)
		if _, err := add("c", 4); err != nil { // as much as there may be
			t.Errorf("afterwards: %v", err)
		}
		time.Sleep(partialAge + time.Second)
		if frame, err := add("a", len(frames["a"])); err != nil || len(frame) != maxMessage {
			t.Errorf("the one that goes on: %d bytes, %v", len(frame), err)
		}
		if len(ps.open) != 0 {
			t.Errorf("%d are left", len(ps.open))
		}
		if _, err := add("b", 1); !errors.Is(err, errMissing) {
			t.Errorf("one that gave way: %v", err)
		}
	})
}

func TestCutNeedsRoom(t *testing.T) {
	for limit := range 2 + len("u1") + partFields + 1 {
		if err := split("u1", 1, frameOf(5), limit, func([]byte) error { return nil }); !errors.Is(err, errTooLarge) {
			t.Errorf("parts of %d bytes: %v", limit, err)
		}
	}
	stop := errors.New("stop")
	if err := split("u1", 1, frameOf(5), 17, func([]byte) error { return stop }); err != stop {
		t.Error(err)
	}
}

// The length of a uid is a byte, and a server has to survive the largest, which is refused.
func TestCutLongUID(t *testing.T) {
	for _, n := range []int{1, 253, 254, 255} {
		uid := strings.Repeat("u", n)
		got, rest, ok := cutUID(append(appendUID(nil, part, uid), "rest"...))
		if got != uid || string(rest) != "rest" || ok != (n == 1) {
			t.Errorf("%d bytes: %q, %q, %v", n, got, rest, ok)
		}
	}
}

func FuzzParts(f *testing.F) {
	for _, p := range [][]byte{nil, {part}, {part, 255}, {part, 1, 'u'}, {part, 1, '.', 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 9}} {
		f.Add(p, p)
	}
	_ = split("u", 1, []byte("\x01abcdef"), 18, func(p []byte) error { f.Add(bytes.Clone(p), bytes.Clone(p)); return nil })
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var ps parts
		for _, p := range [][]byte{a, b, a} {
			got, err := ps.add(p)
			if got != nil && err != nil {
				t.Fatal("both")
			}
			n := 0
			for _, m := range ps.open {
				n += len(m.b)
			}
			if n != ps.bytes || n > len(a)+2*len(b) && n > 2*len(a)+len(b) {
				t.Fatalf("%d bytes held, %d counted", n, ps.bytes)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err != nil {
		t.Errorf("zero options: %v", err)
	}
	_, err := New(Options{
		URL: "a,,b", Prefix: "a.b", Rooms: 7, QueueBytes: -1, RequestsTimeout: -1,
		HeartbeatInterval: time.Second, HeartbeatTimeout: time.Second,
	})
	for _, want := range []string{"URL", "Prefix", "Rooms", "QueueBytes", "RequestsTimeout", "HeartbeatTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}
