package sio

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

// The engine's hooks see what package sio sends, event by event and plain, also of broadcasts to
// connections that take another form.
func TestEngineHooksSeeBroadcasts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, s)
		}
		hooks := &eio.Hooks{
			PacketCreate: func(_ *eio.Session, p codec.Packet) { note(fmt.Sprintf("out %v %.20q", p.Binary, p.Data)) },
			Packet:       func(_ *eio.Session, p codec.Packet) { note(fmt.Sprintf("in %v %.20q", p.Binary, p.Data)) },
			Drain:        func(*eio.Session) { note("drain") },
		}
		r := memory(t, Config{Engine: eio.Config{Hooks: hooks, PerMessageDeflate: &eio.PerMessageDeflate{Threshold: 10}}})
		p := r.websocketWith("", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
		s := p.join("/")
		synctest.Wait()
		mu.Lock()
		log = nil
		mu.Unlock()
		same := strings.Repeat("all the same ", 100)
		must(t, r.srv.Emit("news", same, []byte{1, 2}))
		p.want(`451-["news","` + same + `",{"_placeholder":true,"num":0}]`)
		p.wantBinary("\x01\x02")
		synctest.Wait()
		must(t, s.Volatile().Emit("v"))
		p.want(`42["v"]`)
		synctest.Wait()
		p.send("42[\"back\"]")
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []string{`out false "51-[\"news\",\"all the "`, `out true "\x01\x02"`, "drain", `out false "2[\"v\"]"`, "drain", `in false "2[\"back\"]"`}
		if !slices.Equal(log, want) {
			t.Errorf("hooks say %q, want %q", log, want)
		}
		if p.deflated == 0 {
			t.Error("nothing was compressed, so nothing was shown")
		}
	})
}
