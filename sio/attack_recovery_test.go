package sio

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/invariants"
)

// TestRecoveryClaimBombs comes back with what grows when it is decoded in the place of a pid or an
// offset. Nothing but strings is decoded there.
func TestRecoveryClaimBombs(t *testing.T) {
	const size = 300_000
	lists := strings.Repeat("[],", size/3) + "[]"
	header := string([]byte{0xdd, 0, 0x04, 0x93, 0xe0}) // a list of 300,000
	for name, test := range map[string]struct {
		parser codec.Parser
		auth   string
	}{
		"json/offset":    {codec.JSON, `{"pid":"x","offset":[` + lists + `]}`},
		"json/pid":       {codec.JSON, `{"pid":[` + lists + `],"offset":"x"}`},
		"json/other":     {codec.JSON, `{"pid":"x","offset":"x","more":[` + lists + `]}`},
		"msgpack/offset": {codec.Msgpack, "\x82\xa3pid\xa1x\xa6offset" + header + strings.Repeat("\x90", size)},
		"msgpack/pid":    {codec.Msgpack, "\x82\xa6offset\xa1x\xa3pid" + header + strings.Repeat("\x90", size)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, withRecovery(Config{Parser: test.parser}))
				p := r.websocket()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if test.parser == codec.JSON {
					p.send("40" + test.auth)
				} else if _, err := p.nc.Write(clientFrame(ws.OpBinary, "\x83\xa4type\x00\xa3nsp\xa1/\xa4data"+test.auth)); err != nil {
					t.Fatal(err)
				}
				p.next()
				synctest.Wait()
				runtime.ReadMemStats(&after)
				spent := after.TotalAlloc - before.TotalAlloc
				t.Logf("%d bytes of auth payload: %d allocated", len(test.auth), spent)
				if spent > 20*size && !invariants.Enabled {
					t.Errorf("%d bytes were allocated for an auth payload of %d", spent, len(test.auth))
				}
			})
		})
	}
}
