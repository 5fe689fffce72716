package emitter_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
)

// sent is a message as a broker gets it.
type sent struct{ channel, data string }

// broker keeps what is published.
type broker struct {
	mu  sync.Mutex
	got []sent // guarded by mu
	err error  // immutable: what publishing returns
}

func (b *broker) publish(_ context.Context, channel string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, sent{channel, string(data)})
	return b.err
}

// one returns the only message since the last call.
func (b *broker) one(t *testing.T) sent {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) != 1 {
		t.Fatalf("%d messages, want one: %q", len(b.got), b.got)
	}
	s := b.got[0]
	b.got = nil
	return s
}

// line is one line of a recording.
type line struct {
	Step, Node, Op, Channel, Enc, Text, Hex string
	Stream                                  string
	Fields                                  map[string]string
}

func recording(t *testing.T, file string) []line {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ls []line
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		ls = append(ls, l)
	}
	if err := s.Err(); err != nil || len(ls) == 0 {
		t.Fatalf("%s: %d lines, %v", file, len(ls), err)
	}
	return ls
}
