package eio

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
)

var update = flag.Bool("update", false, "rewrite testdata from what the code does now")

// TestMachine runs the transcripts in testdata/machine. A line is an event, and
// indented below it is what the machine wants done and the state it is in then:
//
//	start polling                   (or websocket, webtransport; then v3, for Engine.IO v3)
//		- | open polling next=25s
//	at 25s                          (the clock moves on; the timer fires when due)
//		25s: ping | open polling awaiting next=45s
func TestMachine(t *testing.T) {
	files, err := filepath.Glob("testdata/machine/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := replay(want)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(got, want) {
				return
			}
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("transcript differs (rewrite it with -update and read the diff):\n%s", lineDiff(string(want), string(got)))
		})
	}
}

// script is a machine under test and its clock.
type script struct {
	m   machine
	tm  timing
	now time.Duration
	out bytes.Buffer
}

// replay runs the events of a transcript and returns it with fresh outcomes.
func replay(transcript []byte) ([]byte, error) {
	s := &script{tm: timing{interval: 25 * time.Second, timeout: 20 * time.Second, upgrade: 10 * time.Second, linger: 30 * time.Second}}
	lines := bufio.NewScanner(bytes.NewReader(transcript))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(&s.out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.event(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return s.out.Bytes(), lines.Err()
}

var packetTypes = map[string]codec.PacketType{
	"open": codec.Open, "close": codec.Close, "ping": codec.Ping, "pong": codec.Pong,
	"message": codec.Message, "upgrade": codec.Upgrade, "noop": codec.Noop,
}

var transportNames = map[string]Transport{"polling": Polling, "websocket": WebSocket, "webtransport": WebTransport}

func (s *script) event(f []string) error {
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	l := mainLink
	if arg(1) == "candidate" {
		l = candidateLink
	}
	switch f[0] {
	case "start":
		tr, ok := transportNames[arg(1)]
		if !ok {
			return errors.New("unknown transport")
		}
		s.tm.clientPings = arg(2) == "v3"
		s.m.start(s.now, tr, &s.tm)
		s.show("", effect{})
	case "at", "late":
		// "at" fires the timer whenever it is due; "late" moves the clock only,
		// as when the process was stopped.
		to, err := time.ParseDuration(arg(1))
		if err != nil {
			return err
		}
		if to < s.now {
			return errors.New("time runs forwards")
		}
		fired := false
		for f[0] == "at" && s.m.next() <= to {
			fired = true
			s.now = max(s.now, s.m.next())
			s.show(s.now.String()+": ", s.m.timer(s.now, &s.tm))
		}
		s.now = to
		if !fired && f[0] == "at" {
			s.show("", effect{})
		}
	case "timer":
		s.show("", s.m.timer(s.now, &s.tm))
	case "packet":
		typ, ok := packetTypes[arg(2)]
		if !ok {
			return errors.New("unknown packet type")
		}
		passes := l == mainLink && s.m.passes(typ)
		before := s.m
		e := s.m.packet(s.now, l, typ, []byte(arg(3)), &s.tm)
		if passes && (e != effect{do: doDeliver} || s.m != before) {
			return errors.New("passes, but has another effect")
		}
		s.show("", e)
	case "invalid":
		s.show("", s.m.invalid(l, errors.New("bad packet")))
	case "candidate":
		tr := WebSocket
		if name := arg(1); name != "" {
			tr = transportNames[name]
		}
		s.show("", s.m.open(s.now, tr, &s.tm))
	case "lost":
		s.show("", s.m.lost(l, TransportClose, nil))
	case "poll":
		s.show("", s.m.poll(s.now, arg(1) == "buffered"))
	case "aborted":
		s.show("", s.m.aborted())
	case "answered":
		s.m.answered()
		s.show("", effect{})
	case "post":
		s.show("", s.m.post())
	case "posted":
		var err error
		if arg(1) == "aborted" {
			err = ErrPostAborted
		}
		s.show("", s.m.posted(err))
	case "pause", "resume":
		s.m.hold(s.now, f[0] == "pause", &s.tm)
		s.show("", effect{})
	case "close":
		s.show("", s.m.close(s.now, ForcedClose, arg(1) == "buffered", &s.tm))
	case "discard":
		s.show("", s.m.discard(ForcedClose))
	default:
		return errors.New("unknown event")
	}
	return nil
}

var actionNames = []string{
	"deliver", "ping", "probe", "answer", "noop", "close-poll", "switch", "hold", "drop", "refuse", "discard", "shut", "end", "remove", "pong",
}

func (s *script) show(at string, e effect) {
	var do []string
	for i, name := range actionNames {
		if e.do.has(1 << i) {
			if name == "end" {
				name = fmt.Sprintf("end(%s", e.reason)
				if e.err != nil {
					name += "; " + e.err.Error()
				}
				name += ")"
			}
			do = append(do, name)
		}
	}
	if do == nil {
		do = []string{"-"}
	}
	m := &s.m
	state := []string{[]string{"open", "closing", "closed"}[m.phase], m.transport.String()}
	if m.candidate != stageNone {
		stage := []string{"", "opened", "probed", "pending"}[m.candidate]
		if m.target != WebSocket {
			stage += "(" + m.target.String() + ")"
		}
		state = append(state, "candidate="+stage)
	}
	if m.pong != pongNone {
		state = append(state, "awaiting")
	}
	if m.pong == pongExtended {
		state = append(state, "extended")
	}
	if m.held {
		state = append(state, "held")
	}
	if m.parked {
		state = append(state, "parked")
	}
	if m.posting {
		state = append(state, "posting")
	}
	if n := m.next(); n != never {
		state = append(state, "next="+n.String())
	}
	fmt.Fprintf(&s.out, "\t%s%s | %s\n", at, strings.Join(do, " "), strings.Join(state, " "))
}

// lineDiff shows the lines that differ, position by position.
func lineDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for i := range max(len(w), len(g)) {
		var x, y string
		if i < len(w) {
			x = w[i]
		}
		if i < len(g) {
			y = g[i]
		}
		if x != y {
			fmt.Fprintf(&b, "%d:\n  want %s\n  got  %s\n", i+1, x, y)
		}
	}
	return b.String()
}
