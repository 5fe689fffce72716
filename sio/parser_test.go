package sio

import (
	"bytes"
	"context"
	"testing"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// reversed is a format of its own: JSON packets, written backwards.
type reversed struct{ codec.Parser }

func (reversed) Name() string { return "reversed" }

// turnAround returns a frame with the text of f turned around.
func turnAround(f *pool.Frame) *pool.Frame {
	defer f.Release()
	text, _, _ := codec.NextPart(f.Bytes())
	return codec.NewTextFrame(codec.Message, backwards(text[1:]))
}

func backwards(p []byte) []byte {
	p = bytes.Clone(p)
	for i, j := 0, len(p)-1; i < j; i, j = i+1, j-1 {
		p[i], p[j] = p[j], p[i]
	}
	return p
}

func (r reversed) EncodeConnect(nsp, sid, pid string) *pool.Frame {
	return turnAround(r.Parser.EncodeConnect(nsp, sid, pid))
}

func (r reversed) EncodeEvent(nsp string, id int64, event string, args []any) (*pool.Frame, error) {
	f, err := r.Parser.EncodeEvent(nsp, id, event, args)
	if err != nil {
		return nil, err
	}
	return turnAround(f), nil
}

func (r reversed) EncodeAck(nsp string, id uint64, args []any) (*pool.Frame, error) {
	f, err := r.Parser.EncodeAck(nsp, id, args)
	if err != nil {
		return nil, err
	}
	return turnAround(f), nil
}

func (r reversed) NewDecoder(l *codec.Limits) codec.Decoder {
	return reversedDecoder{r.Parser.NewDecoder(l)}
}

type reversedDecoder struct{ codec.Decoder }

func (d reversedDecoder) Text(p []byte) (*codec.In, error) { return d.Decoder.Text(backwards(p)) }

// TestOwnParser uses a parser from outside for everything that both sides say.
func TestOwnParser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Parser: reversed{codec.JSON}})
		OnAck(r.srv, "add", func(_ context.Context, s *Socket, n int) (int, error) { return n + 1, s.Broadcast().Emit("added", n) })
		peers := []*peer{r.websocket(), r.websocket()}
		for _, p := range peers {
			p.send("40")
			if got := p.next().data; len(got) < 20 || got[:3] != `4}"` || got[len(got)-1] != '0' {
				t.Fatalf("answer to CONNECT: %q", got)
			}
		}
		peers[0].send("4" + `]41,"dda"[72`)
		peers[0].want("4" + `]51[73`)
		peers[1].want("4" + `]41,"dedda"[2`)
		peers[1].send(`42["add",1]`) // this is not the server's format
		peers[1].wantEnd()
	})
}
