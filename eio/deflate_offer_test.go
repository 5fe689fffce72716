package eio

import (
	"strings"
	"testing"
)

func TestNegotiateDeflate(t *testing.T) {
	const yes, window = deflateAnswer, deflateAnswerWindow
	tests := []struct{ offer, want string }{
		// The examples of RFC 7692 sections 5.2, 7 and 8, and what clients send.
		{"permessage-deflate", yes},
		{"permessage-deflate; client_max_window_bits", yes},
		{"permessage-deflate; client_max_window_bits; server_max_window_bits=10", ""},
		{"permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; client_max_window_bits", yes},
		{"permessage-foo; use_y, permessage-foo", ""},
		{"permessage-foo, permessage-deflate", yes},
		{`permessage-deflate; server_no_context_takeover; client_max_window_bits="10"`, yes},

		{"", ""},
		{" \t", ""},
		{",, permessage-deflate ,", yes},
		{"permessage-deflate;server_no_context_takeover;client_no_context_takeover", yes},
		{"permessage-deflate ; server_no_context_takeover ; client_max_window_bits = 15", yes},
		{"permessage-deflate; server_max_window_bits=15", window},
		{`permessage-deflate; server_max_window_bits="15"`, window},
		{`permessage-deflate; server_max_window_bits="1\5"`, window},
		{"permessage-deflate; server_max_window_bits=14, permessage-deflate; server_max_window_bits=15, permessage-deflate", window},
		{"permessage-deflate; client_max_window_bits=8", yes},
		{"permessage-deflate; client_max_window_bits=9", yes},
		{"permessage-deflate, permessage-deflate; server_max_window_bits=15", yes},

		// Declined, and the next one taken.
		{"permessage-deflate; server_max_window_bits, permessage-deflate", yes},
		{"permessage-deflate; server_max_window_bits=16, permessage-deflate", yes},
		{"permessage-deflate; server_max_window_bits=015", ""},
		{"permessage-deflate; server_max_window_bits=+15", ""},
		{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", ""},
		{"permessage-deflate; client_max_window_bits=7", ""},
		{"permessage-deflate; client_max_window_bits=16", ""},
		{"permessage-deflate; client_max_window_bits=08", ""},
		{"permessage-deflate; client_max_window_bits=1", ""},
		{"permessage-deflate; client_max_window_bits=100", ""},
		{"permessage-deflate; client_max_window_bits=x", ""},
		{"permessage-deflate; server_no_context_takeover=1", ""},
		{"permessage-deflate; client_no_context_takeover=true, permessage-deflate", yes},
		{"permessage-deflate; unknown", ""},
		{"permessage-deflate; Server_No_Context_Takeover", ""},
		{"Permessage-Deflate", ""},
		{"x-webkit-deflate-frame", ""},

		// Not well-formed: nothing is taken from it.
		{"permessage-deflate;", ""},
		{"permessage-deflate; ", ""},
		{"permessage-deflate; client_max_window_bits=", ""},
		{"permessage-deflate; client_max_window_bits=, permessage-deflate", ""},
		{"permessage-deflate; =10", ""},
		{"permessage-deflate server_no_context_takeover", ""},
		{"permessage-deflate; client_max_window_bits=1 0", ""},
		{`permessage-deflate; client_max_window_bits="10`, ""},
		{`permessage-deflate; client_max_window_bits="10\`, ""},
		{`permessage-deflate; client_max_window_bits="1 0"`, ""},
		{`permessage-deflate; client_max_window_bits=""`, ""},
		{`permessage-deflate; client_max_window_bits="10"5`, ""},
		{`x; y="a,b", permessage-deflate`, ""}, // not a token, so not well-formed
		{`"permessage-deflate"`, ""},
		{"permessage-deflate\x00", ""},
		{"permessage-deflate, \xff", ""},
		{"permessage-deflate/1", ""},
		{"=", ""},
		{";", ""},
	}
	for _, tt := range tests {
		if got := negotiateDeflate(tt.offer); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.offer, got, tt.want)
		}
	}
	usual := tests[1].offer
	if n := testing.AllocsPerRun(100, func() { negotiateDeflate(usual) }); n != 0 {
		t.Errorf("%v allocations for %q", n, usual)
	}
}

// FuzzNegotiateDeflate checks that a header that stands in front of a good offer, with a
// comma between them, changes the answer only if it is not well-formed, and that nothing
// is answered that was not asked.
func FuzzNegotiateDeflate(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits")
	f.Add(`permessage-deflate; server_max_window_bits="15", x; y=z`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, header string) {
		if again := negotiateDeflate(" \t" + strings.ReplaceAll(header, ",", " ,\t") + " "); again != negotiateDeflate(header) && !strings.ContainsAny(header, `"\`) {
			t.Errorf("%q is answered with %q, with spaces around the commas %q", header, negotiateDeflate(header), again)
		}
		alone, then := negotiateDeflate(header), negotiateDeflate(header+",permessage-deflate")
		switch then {
		case alone:
		case deflateAnswer:
			if alone != "" {
				t.Errorf("%q alone is answered with %q", header, alone)
			}
		default:
			t.Errorf("%q is answered with %q, followed by an offer with %q", header, alone, then)
		}
	})
}
