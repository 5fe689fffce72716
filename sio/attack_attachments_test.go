package sio

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
)

// TestAttachmentsWhileOthersWork sends events with the most attachments, with placeholders of which
// many name the same one, ones that stay unfinished, and attachments nobody asked for.
func TestAttachmentsWhileOthersWork(t *testing.T) {
	const limit, attackers = 256 << 10, 4
	binary := func(n, size int) string {
		return strings.Repeat(string(clientFrame(ws.OpBinary, strings.Repeat("x", size))), n)
	}
	text := func(s string) string { return string(clientFrame(ws.OpText, s)) }
	const one = `{"_placeholder":true,"num":0}`
	var all strings.Builder
	all.WriteString(`"any",[` + one)
	for _, num := range "123456789" {
		all.WriteString(strings.Replace(`,`+one, "0", string(num), 1))
	}
	most := text(`4510-[` + all.String() + `]]`)
	for name, packets := range map[string]string{
		"the most":              most + binary(10, 1000),
		"one named often":       text(`4510-["any",[`+strings.Repeat(one+",", 500)+`1]]`) + binary(10, 1000),
		"unfinished":            most + binary(9, limit/10),
		"too large, unfinished": most + binary(9, limit),
		"nobody asked for":      binary(10, 1000),
		"one more than asked":   most + binary(11, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("takes a second")
			}
			r := loopback(t, Config{Limits: codec.Limits{MaxAttachmentBytes: limit}, Logger: unheard})
			handleAttacks(r)
			b := r.bystanders()
			peers := r.attackers(attackers)
			before := heap()
			b.endure(name, func() {
				again := 1
				if !strings.Contains(name, "unfinished") {
					again = 1 << 20
				}
				b.volley(peers, packets, again)
				wantWithin(t, "bytes", before, heap(), attackers*(2*limit+256<<10))
			})
		})
	}
}
