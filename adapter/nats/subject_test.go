package nats

import (
	"strings"
	"testing"
)

func TestSubjects(t *testing.T) {
	s := newSubjects("epio", "/chat.*>")
	for got, want := range map[string]string{
		s.all:                            "sio.epio.L2NoYXQuKj4.all",
		s.room("a b"):                    "sio.epio.L2NoYXQuKj4.room.YSBi",
		s.room("\xff\x00"):               "sio.epio.L2NoYXQuKj4.room._wA",
		s.room(""):                       "sio.epio.L2NoYXQuKj4.room.=",
		s.node("c4893c711092dfc6"):       "sio.epio.L2NoYXQuKj4.node.c4893c711092dfc6",
		namespaceOf(s.all):               s.base,
		namespaceOf(s.room("x")):         s.base,
		namespaceOf("sio.epio.x"):        "",
		newSubjects("p", "/").all:        "sio.p.Lw.all",
		s.room(strings.Repeat("a", 256)): s.base + "room." + strings.Repeat("YWFh", 85) + "YQ",
		s.room(strings.Repeat("a", 257)): s.base + "room.=6NlcwrS8GYxUtAvSFN-Vivtl9ec9LC6v4Fk89cY1wfA",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if a, b := token(strings.Repeat("a", 300)), token(strings.Repeat("a", 301)); a == b || len(a) != 44 {
		t.Errorf("long names become %s and %s", a, b)
	}
	for name, want := range map[string]bool{
		"": false, "a": true, "aZ09-_": true, "a.b": false, "*": false, ">": false, "a b": false, "é": false, "a\r\n": false,
		strings.Repeat("x", 64): true, strings.Repeat("x", 65): false,
	} {
		if isToken(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
