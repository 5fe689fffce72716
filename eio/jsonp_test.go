package eio

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"testing/quick"
	"unicode/utf8"

	"github.com/epio-go/epio/pool"
)

const scriptPath = pollingPathV3 + "&j=0"

func TestScripts(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, allowV3, nil)
		p := r.do("GET", scriptPath, "")
		open := scriptPayload(t, p.body, "0")
		_, packet, _ := strings.Cut(open, ":")
		sid := parseOpen(t, packet).SID
		p.wantHeader("Content-Type", "text/plain; charset=UTF-8").wantHeader("Cache-Control", "no-store")

		post := func(form string) reply {
			return r.do("POST", scriptPath+"&sid="+sid, form, "Content-Type", "application/x-www-form-urlencoded")
		}
		p = post("d="+url.QueryEscape("6:4hello2:4€10:b4AQIDBA==")).want(200, "ok").wantHeader("Content-Type", "text/html")
		r.wantSaid("hello", "€", "0x01020304")
		// No raw binary, though b64 was not asked for.
		p = r.do("GET", scriptPath+"&sid="+sid, "")
		p.want(200, `___eio[0]("6:4hello2:4€10:b4AQIDBA==");`).wantHeader("Content-Type", "text/plain; charset=UTF-8")

		// The function is that of the handshake, and made of digits only.
		post("d=2:4%22").want(200, "ok")
		r.do("GET", pollingPathV3+"&j=9&sid="+sid, "").want(200, `___eio[0]("2:4\"");`)
		for j, want := range map[string]string{"": "", "abc": "", "12)%3Balert(3": "123", "%D9%A1": "", "007": "007"} {
			p := r.do("GET", pollingPathV3+"&j="+j, "")
			scriptPayload(t, p.body, want)
		}

		// Not there, or there twice: ignored. Content of another type as well.
		for _, form := range []string{"", "x=1", "d=2:4a&d=2:4b", "D=2:4a"} {
			post(form).want(200, "ok")
		}
		r.do("POST", scriptPath+"&sid="+sid, "d=2:4a", "Content-Type", "application/octet-stream").want(200, "ok")
		post("x=1&%64=2:4a&y").want(200, "ok")
		r.wantSaid(`"`, "a")
		if len(r.app.said) != 0 {
			t.Errorf("message %q was delivered", <-r.app.said)
		}
		post("d").want(200, "ok")
		r.wantClose(ParseError)

		// Errors are no scripts.
		r.do("GET", scriptPath+"&sid=nobody", "").wantCode(CodeUnknownSession)

		// Revision 4 can do it, too.
		p = r.do("GET", pollingPath+"&j=5", "")
		sid = parseOpen(t, scriptPayload(t, p.body, "5")).SID
		r.do("POST", pollingPath+"&j=5&sid="+sid, "d=4a%1E4%5Cn%1Eb/w==").want(200, "ok")
		r.wantSaid("a", "\n", "0xff")
		r.do("GET", pollingPath+"&j=5&sid="+sid, "").want(200, `___eio[5]("4a\u001e4\n\u001eb/w==");`)

		// To WebSocket and back to ordinary frames.
		c := r.candidate(sid)
		c.send("2probe", "5")
		c.want("3probe")
		c.write(clientFrame(0x82, []byte{7}))
		c.wantBinary(7)
	})
}

// scriptPayload returns what a script calls the function with this index with.
func scriptPayload(t *testing.T, script, index string) string {
	t.Helper()
	text, ok := strings.CutPrefix(script, "___eio["+index+"](")
	text, ok2 := strings.CutSuffix(text, ");")
	var payload string
	if err := json.Unmarshal([]byte(text), &payload); !ok || !ok2 || err != nil {
		t.Fatalf("script %q: %v", script, err)
	}
	return payload
}

func TestAppendJSString(t *testing.T) {
	for in, want := range map[string]string{
		"":                            `""`,
		`a"b\c`:                       `"a\"b\\c"`,
		"\b\f\n\r\t\x00\x1f\x7f":      `"\b\f\n\r\t\u0000\u001f` + "\x7f\"",
		"a\u2028b\u2029c\u2027\u202a": `"a\u2028b\u2029c` + "\u2027\u202a\"",
		"\u00a8\u20a8😨</script>":      "\"\u00a8\u20a8😨</script>\"",
	} {
		if got := string(appendJSString(nil, []byte(in))); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if err := quick.Check(func(s string) bool {
		var back string
		return json.Unmarshal(appendJSString(nil, []byte(s)), &back) == nil && back == strings.ToValidUTF8(s, "\ufffd")
	}, nil); err != nil {
		t.Error(err)
	}
}

// Forms as the client writes them, and as nobody should.
func TestFormData(t *testing.T) {
	for form, want := range map[string]string{
		"d=a":           "a",
		"d":             "",
		"d=":            "",
		"x=1&d=a&y=2":   "a",
		"%64=a":         "a",
		"d=a+b%20c%2B":  "a b c+",
		"d=a=b":         "a=b",
		"d=%":           "%",
		"d=%4":          "%4",
		"d=%4x%x4%zz":   "%4x%x4%zz",
		"d=%e2%82%AC":   "€",
		`d=a\nb`:        "a\nb",
		`d=a\\nb`:       `a\nb`,
		`d=a\\\nb`:      `a\\nb`,
		`d=\n\n\\n\\n`:  "\n\n" + `\n\n`,
		`d=%5Cn%5C%5Cn`: "\n" + `\n`,
		`d=\t\`:         `\t\`,
		"d=a%0d%0ab":    "a\r\nb",
	} {
		if got, ok := formData([]byte(form)); !ok || string(got) != want {
			t.Errorf("%q: %q %v, want %q", form, got, ok, want)
		}
	}
	for _, form := range []string{"", "&", "=", "x=1", "D=a", "d=a&d=b", "d=a&%64", "dd=a"} {
		if got, ok := formData([]byte(form)); ok {
			t.Errorf("%q: %q", form, got)
		}
	}
}

// Whatever text the client sends with a form arrives.
func FuzzFormData(f *testing.F) {
	f.Add("6:4hello", "x")
	f.Add("a\nb\\nc\\\\n\\\\\\n", "d")
	f.Add("&=%+€\u2028\\", "")
	f.Fuzz(func(t *testing.T, text, other string) {
		if strings.ContainsRune(text, '\r') || !utf8.ValidString(text) {
			t.Skip("browsers make it CR LF, and have no such text")
		}
		if _, ok := formData([]byte(other)); ok || strings.Contains(other, "&") {
			t.Skip("may have the field itself")
		}
		// As engine.io-client 3.5 does it.
		sent := strings.ReplaceAll(text, `\n`, "\\\n")
		sent = strings.ReplaceAll(sent, "\n", `\n`)
		form := url.Values{"d": {sent}}.Encode() + "&" + other
		if strings.Contains(text, `\`+"\n") {
			t.Skip("the client itself cannot tell these apart")
		}
		if got, ok := formData([]byte(form)); !ok || string(got) != text {
			t.Fatalf("%q came back as %q, %v", text, got, ok)
		}
	})
}

// Whatever a payload holds, the script says it, in every JavaScript, and nothing else.
func FuzzScript(f *testing.F) {
	f.Add("0", "4hello\x1e4\u2028\u2029\u202a")
	f.Add("12", "\"\\\x00\x1f\x7f\r\n\t\b\f</script>")
	f.Add("", "\u00a8\u0928\xe2\x80")
	f.Fuzz(func(t *testing.T, j, text string) {
		if !utf8.ValidString(text) {
			return // text of payloads is repaired before
		}
		q := parseQuery("j=" + j)
		b := pool.Get(len(text))
		b.B = append(b.B, text...)
		b = newScript(scriptHead(q.callback), b)
		defer b.Release()
		script := string(b.B)
		number, literal, ok := strings.Cut(script, "](")
		literal, ok2 := strings.CutSuffix(literal, ");")
		if number, ok3 := strings.CutPrefix(number, "___eio["); !ok || !ok2 || !ok3 || strings.Trim(number, "0123456789") != "" {
			t.Fatalf("%q", script)
		}
		var got string
		if err := json.Unmarshal([]byte(literal), &got); err != nil || got != text {
			t.Fatalf("%q became %s, which is %q, %v", text, literal, got, err)
		}
		if strings.ContainsAny(literal, "\u2028\u2029") {
			t.Fatalf("a line break inside of %q", literal)
		}
		if len(literal) > 6*len(text)+2 {
			t.Fatalf("%d bytes became %d", len(text), len(literal))
		}
	})
}
