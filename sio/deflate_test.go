package sio

import (
	"context"
	"strings"
	"testing"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/internal/invariants"
)

const deflateOffer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

func deflateConfig() Config {
	return Config{Engine: eio.Config{PerMessageDeflate: &eio.PerMessageDeflate{}}}
}

// everyForm opens a client for every way a message of Engine.IO v4 can travel. The
// first takes deflated, the last but one both.
func everyForm(r *rig) []*peer {
	peers := []*peer{
		r.websocketWith("", deflateOffer),
		r.websocket(),
		r.websocketWith("&b64=1", ""),
		r.polling(),
		r.websocketWith("&b64=1", deflateOffer),
		r.websocketWith("", deflateOffer),
	}
	for _, p := range peers {
		p.join("/")
	}
	return peers
}

// made returns the forms of b that exist.
func made(b *broadcast) (forms []codec.Form) {
	for f := range codec.Form(codec.Forms) {
		if b.forms.variants[f].frame != nil {
			forms = append(forms, f)
		}
	}
	return forms
}

func TestBroadcastIsCompressedOnce(t *testing.T) {
	long, short := strings.Repeat("long ", 1000), "short"
	blob := []byte(strings.Repeat("blob", 1000))
	const plain, b64, z, b64z = codec.FormPlain, codec.FormBase64, codec.FormDeflated, codec.FormBase64 | codec.FormDeflated
	tests := []struct {
		name     string
		args     []any
		compress bool
		forms    []codec.Form // each is made once
		deflated int          // messages that a client gets compressed
		smaller  bool         // the deflated variant is another frame
	}{
		{"text", []any{long}, true, []codec.Form{plain, z}, 1, true},
		{"small text", []any{short}, true, []codec.Form{plain, z}, 0, false},
		{"not to be compressed", []any{long}, false, []codec.Form{plain, z}, 0, false},
		{"binary", []any{long, blob}, true, []codec.Form{plain, b64, z, b64z}, 2, true},
		{"binary, not to be compressed", []any{long, blob}, false, []codec.Form{plain, b64, z, b64z}, 0, false},
	}
	bubble(t, func(t *testing.T) {
		r := memory(t, deflateConfig())
		peers := everyForm(r)
		for _, tt := range tests {
			target := r.srv.All().Compress(tt.compress)
			b, err := target.newBroadcast("e", tt.args, nil)
			must(t, err)
			if n := target.ns.index.Broadcast(b, b.opts()); n != len(peers) {
				t.Errorf("%s: %d receivers", tt.name, n)
			}
			if got := made(b); len(got) != len(tt.forms) || got[len(got)-1] != tt.forms[len(tt.forms)-1] {
				t.Errorf("%s: forms %v, want %v", tt.name, got, tt.forms)
			}
			all := &b.forms.variants
			if smaller := all[z].frame.Len() < all[plain].frame.Len(); smaller != tt.smaller || smaller == (all[z].frame == all[plain].frame) {
				t.Errorf("%s: %d bytes, deflated %d", tt.name, all[plain].frame.Len(), all[z].frame.Len())
			}
			sharing := 2 // clients that got this very frame
			if len(tt.args) == 1 {
				sharing = 3 // base64 makes no difference
			}
			if got := creditStep - all[z].credit; got != sharing {
				t.Errorf("%s: %d clients share the compressed frame, want %d", tt.name, got, sharing)
			}
			b.finish()
			for i, p := range peers {
				before := p.deflated
				for n := range len(tt.args) { // the text, and the attachment
					if got := p.next(); n > 0 && got.binary && got.data != string(blob) {
						t.Errorf("%s: client %d got %v", tt.name, i, got)
					}
				}
				want := tt.deflated
				if i != 0 && i < 4 {
					want = 0
				}
				if p.deflated-before != want {
					t.Errorf("%s: client %d got %d compressed messages, want %d", tt.name, i, p.deflated-before, want)
				}
			}
		}
	})
}

// Nobody has asked for compression: nothing is compressed, although it is configured.
func TestBroadcastIsNotCompressedForNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, deflateConfig())
		p, _ := r.join()
		target := r.srv.All()
		b, err := target.newBroadcast("e", []any{strings.Repeat("long ", 1000)}, nil)
		must(t, err)
		target.ns.index.Broadcast(b, b.opts())
		if got := made(b); len(got) != 1 {
			t.Errorf("forms %v", got)
		}
		b.finish()
		p.next()
	})
}

func TestCompress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, deflateConfig())
		long := strings.Repeat("long ", 1000)
		OnAck(r.srv, "echo", func(_ context.Context, _ *Socket, v string) (string, error) { return v, nil })
		p := r.websocketWith("", deflateOffer)
		s := p.join("/")
		gather := func(t Target) func() {
			return func() {
				for range Gather[None](context.Background(), t, "e", long) {
					break
				}
			}
		}
		call := func(t Target) func() {
			return func() { _, _ = Call[None](context.Background(), t, "e", long) }
		}
		for what, c := range map[string]struct {
			emit     func()
			deflated bool
		}{
			"Emit":                       {func() { s.Emit("e", long) }, true},
			"Compress(true)":             {func() { s.Compress(true).Emit("e", long) }, true},
			"Compress(false)":            {func() { s.Compress(false).Emit("e", long) }, false},
			"Volatile":                   {func() { s.Volatile().Emit("e", long) }, true},
			"Volatile, Compress(false)":  {func() { s.Volatile().Compress(false).Emit("e", long) }, false},
			"broadcast":                  {func() { r.srv.Emit("e", long) }, true},
			"broadcast, Compress(false)": {func() { r.srv.Compress(false).Emit("e", long) }, false},
			"volatile broadcast":         {func() { r.srv.Volatile().Emit("e", long) }, true},
			"room, Compress(false)":      {func() { r.srv.Compress(false).To(s.ID()).Emit("e", long) }, false},
			"Call":                       {call(s.Compress(true)), true},
			"Call, Compress(false)":      {call(s.Compress(false)), false},
			"Gather, Compress(false)":    {gather(r.srv.Compress(false)), false},
			"acknowledgement":            {func() { p.send(`421["echo","` + long + `"]`) }, true},
		} {
			p.deflated = 0
			done := make(chan struct{})
			go func() { defer close(done); c.emit() }()
			got := p.next().data
			if !strings.Contains(got, long) {
				t.Fatalf("%s: got %.50q", what, got)
			}
			if id, isCall := strings.CutPrefix(got, "42"); isCall && id[0] != '[' {
				id, _, _ = strings.Cut(id, "[")
				p.send("43" + id + "[null]")
			}
			receive(t, done)
			if c.deflated != (p.deflated == 1) {
				t.Errorf("%s: %d compressed messages", what, p.deflated)
			}
		}
	})
}

// A broadcast that is compressed allocates no more than one that is not, however many
// receive it.
func TestDeflatedBroadcastAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("memory is not recycled")
	}
	r := loopback(t, deflateConfig())
	for range 20 {
		p := r.websocketWith("", deflateOffer)
		p.join("/")
	}
	target := r.srv.All()
	args := []any{strings.Repeat("long ", 1000)}
	broadcast := func() {
		b, err := target.newBroadcast("e", args, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			b.forms.in(codec.FormDeflated, r.srv).share().Release()
		}
		b.finish()
	}
	for range 10 {
		broadcast()
	}
	if n := testing.AllocsPerRun(100, broadcast); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
