package sio

import (
	"runtime"
	"strconv"
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

// TestRecoveryMemory logs far more packets than are kept, large and small ones, and then loses far more clients than are
// remembered, each in rooms of its own.
func TestRecoveryMemory(t *testing.T) {
	const logBytes, logPackets, sessions = 2 << 20, 2000, 100
	for name, load := range map[string]struct{ packets, size int }{
		"large": {300, 100_000},
		"small": {20_000, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{Recovery: &Recovery{LogBytes: logBytes, LogPackets: logPackets, Sessions: sessions}})
				r.traveller("/")
				text := strings.Repeat("x", load.size)
				before := heap()
				for range load.packets {
					must(t, r.srv.To("nobody").Emit("x", text))
				}
				grown := heap() - before
				st := r.srv.Stats().Namespaces[0]
				t.Logf("%d packets of %d bytes: %d are kept, in %d bytes", load.packets, load.size, st.LoggedPackets, grown)
				if st.LoggedPackets == 0 || st.LoggedPackets > logPackets {
					t.Errorf("%d packets are kept", st.LoggedPackets)
				}
				wantWithin(t, "bytes", 0, grown, logBytes+logPackets*500+200<<10)

				before = heap()
				for i := range 3 * sessions {
					c := r.traveller("/")
					for room := range 50 {
						must(t, c.socket().Join(strings.Repeat("r", 1000)+strconv.Itoa(50*i+room)))
					}
					c.lose()
				}
				grown = heap() - before
				away := r.srv.Stats().Namespaces[0].Away
				t.Logf("%d clients: %d are remembered, in %d bytes", 3*sessions, away, grown)
				if away != sessions {
					t.Errorf("%d sessions are remembered", away)
				}
				// The test keeps some KB of each client.
				wantWithin(t, "bytes", 0, grown, sessions*50*(1000+300)+3*sessions*(8<<10))
			})
		})
	}
}
