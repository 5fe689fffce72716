package emitter_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/emitter"
)

// log keeps the entry that was added last.
type log struct {
	stream string
	maxLen int64
	fields []string
}

func (l *log) add(_ context.Context, stream string, maxLen int64, fields []string) error {
	*l = log{stream, maxLen, fields}
	return nil
}

// Entries are those of a Node server with the adapter, but for the uid.
func TestStreamsIsTheReferences(t *testing.T) {
	var got log
	e := emitter.New(emitter.Streams(got.add, emitter.StreamsOptions{}))
	seen := make(map[string]bool)
	for _, l := range recording(t, "../cluster/testdata/vectors/redis-streams.jsonl") {
		call := step(t, e, l)
		if l.Op != "XADD" || l.Node != "A" || call == nil {
			continue
		}
		seen[l.Step] = true
		if err := call(); err != nil {
			t.Fatal(err)
		}
		want := []string{"uid", "emitter", "nsp", "/", "type", l.Fields["type"], "data", l.Fields["data"]}
		if got.stream != "socket.io" || got.maxLen != 10_000 || !reflect.DeepEqual(got.fields, want) {
			t.Errorf("%s: added %q to %q, want %q", l.Step, got.fields, got.stream, want)
		}
	}
	if len(seen) != 8 {
		t.Errorf("steps seen: %v", seen)
	}
	// An event for servers is an entry, too; servers ask each other on channels.
	if err := e.ServerSideEmit(t.Context(), "ev", []byte{1}); err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(got.fields[7])
	if err != nil {
		t.Fatal(err)
	}
	m := &cluster.Message{Type: cluster.ServerSideEmit}
	if err := m.DecodeData(data); err != nil {
		t.Fatal(err)
	}
	event, args, err := m.Payload()
	if got.fields[5] != "9" || event != "ev" || fmt.Sprint(args) != "[[1]]" || err != nil {
		t.Errorf("added %q: %q %v, %v", got.fields, event, args, err)
	}
}

func TestStreamsOptions(t *testing.T) {
	var got log
	d := emitter.Streams(got.add, emitter.StreamsOptions{StreamName: "s", StreamCount: 3, MaxLen: 7, OnlyPlaintext: true})
	e := emitter.New(d)
	// Streams by hash, as the reference computes it in JavaScript; the last one is
	// negative there, too.
	for nsp, stream := range map[string]string{"/": "s-2", "/chat": "s-1", "/foo/bar": "s--1", "/𝄞": "s-2"} {
		if err := e.Of(nsp).Emit(t.Context(), "hi"); err != nil {
			t.Fatal(err)
		}
		if got.stream != stream || got.maxLen != 7 {
			t.Errorf("%s: added to %q, %d entries, want %q, 7", nsp, got.stream, got.maxLen, stream)
		}
	}
	err := e.Emit(t.Context(), "hi", []byte{1})
	if !errors.Is(err, emitter.ErrEncode) || !errors.Is(err, cluster.ErrBinary) {
		t.Errorf("binary: %v", err)
	}
}
