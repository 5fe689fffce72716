package sio

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// nomad is a client whose connections keep breaking. It behaves as the official client
// does: it counts offsets when it handles events, and keeps events that come in front of
// the answer to CONNECT until it has one, be it on the next connection. One goroutine
// runs it.
type nomad struct {
	r       *rig
	n       int
	room    string
	polling bool

	sid, pid string
	offset   *string
	waiting  [][]json.RawMessage // in front of the answer
	online   bool
	back     func() // called with the answer

	got     []churned // events handled
	returns int       // connections that were recovered
}

// moved ends a connection of a nomad.
var errMoved = errors.New("moved on")

// live connects and reads until enough reports true, over and over.
func (c *nomad) live(enough func() bool, breaks func() bool) error {
	for !enough() {
		var err error
		if c.polling {
			err = c.poll(enough, breaks)
		} else {
			err = c.websocket(enough, breaks)
		}
		if errors.Is(err, errWrong) {
			return err
		}
	}
	return nil
}

var errWrong = errors.New("client")

func (c *nomad) wrong(format string, args ...any) error {
	return fmt.Errorf("%w %d: %s", errWrong, c.n, fmt.Sprintf(format, args...))
}

// breakIn has a connection that begins break within some time, if breaks reports true: of now, or of when the nomad
// is back. On a slow machine the first alone would always be before that.
func (c *nomad) breakIn(within time.Duration, breaks func() bool, end func()) *time.Timer {
	t := time.AfterFunc(time.Hour, end)
	arm := func() {
		if breaks() {
			t.Reset(rand.N(within))
		}
	}
	if c.back = arm; rand.IntN(2) == 0 {
		arm()
		c.back = func() {}
	}
	return t
}

// hello is the client's CONNECT.
func (c *nomad) hello() string {
	m := map[string]any{"room": c.room}
	if c.pid != "" {
		m["pid"] = c.pid
	}
	if c.offset != nil {
		m["offset"] = *c.offset
	}
	text, _ := json.Marshal(m)
	return "40" + string(text)
}

// packet deals with one packet.
func (c *nomad) packet(p string) error {
	switch {
	case strings.HasPrefix(p, "40"):
		var reply struct{ SID, PID string }
		if err := json.Unmarshal([]byte(p[2:]), &reply); err != nil {
			return c.wrong("%q: %v", p, err)
		}
		if c.pid != "" && (reply.PID != c.pid || reply.SID != c.sid) {
			return c.wrong("not recovered after %d returns, %d events", c.returns, len(c.got))
		}
		c.sid, c.pid, c.online = reply.SID, reply.PID, true
		c.back()
		c.returns++
		for _, args := range c.waiting {
			c.handle(args)
		}
		c.waiting = nil
	case strings.HasPrefix(p, "42"):
		var args []json.RawMessage
		if err := json.Unmarshal([]byte(p[2:]), &args); err != nil {
			return c.wrong("%q: %v", p, err)
		}
		if c.online {
			c.handle(args)
		} else {
			c.waiting = append(c.waiting, args)
		}
	default:
		return c.wrong("got %q", p)
	}
	return nil
}

func (c *nomad) handle(args []json.RawMessage) {
	last := len(args) - 1
	var s string
	if json.Unmarshal(args[last], &s) == nil {
		c.offset = &s
		args = args[:last]
	}
	var e churned
	for i, v := range []any{&e.name, &e.from, &e.n} {
		if i < len(args) {
			_ = json.Unmarshal(args[i], v) // what is wrong is missed below
		}
	}
	c.got = append(c.got, e)
}

// churned is an event: number n of those that one goroutine sent under this name.
type churned struct {
	name    string
	from, n int
}

// websocket is one connection, which ends soon if breaks reports true.
func (c *nomad) websocket(enough, breaks func() bool) error {
	c.online = false
	nc, err := c.r.dial()
	if err != nil {
		return err
	}
	p := &peer{t: c.r.t, r: c.r, nc: nc, br: bufio.NewReader(nc)}
	defer c.breakIn(30*time.Millisecond, breaks, func() { nc.Close() }).Stop()
	if rand.IntN(3) > 0 {
		defer nc.Close()
	} else {
		// Half open: the server learns of it when the client is back.
		c.r.t.Cleanup(func() { nc.Close() })
	}
	fmt.Fprintf(nc, upgradeRequest, "", c.r.addr, "")
	if _, err := http.ReadResponse(p.br, nil); err != nil {
		return err
	}
	if _, err := p.read(patience); err != nil { // OPEN
		return err
	}
	if err := p.trySend(c.hello()); err != nil {
		return err
	}
	steps := rand.IntN(60)
	for !enough() {
		got, err := p.read(patience)
		if err != nil {
			return err
		}
		if err := c.packet(got.data); err != nil {
			return err
		}
		if steps--; steps < 0 && c.online && breaks() {
			return errMoved
		}
	}
	return nil
}

// poll is one connection over polling, which ends soon if breaks reports true. The
// server does not notice.
func (c *nomad) poll(enough, breaks func() bool) error {
	c.online = false
	url := "http://" + c.r.addr + "/socket.io/?EIO=4&transport=polling"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	do := func(method, body string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		resp, err := c.r.http.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return string(text), err
	}
	open, err := do(http.MethodGet, "")
	if err != nil {
		return err
	}
	sid, _, _ := strings.Cut(strings.TrimPrefix(open, `0{"sid":"`), `"`)
	url += "&sid=" + sid
	if _, err := do(http.MethodPost, c.hello()); err != nil {
		return err
	}
	defer c.breakIn(60*time.Millisecond, breaks, cancel).Stop()
	for !enough() {
		body, err := do(http.MethodGet, "")
		if err != nil {
			return err
		}
		for p := range strings.SplitSeq(body, "\x1e") {
			switch {
			case p == "1":
				return errMoved
			case p == "2" || p == "6":
			default:
				if err := c.packet(p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// TestRecoveryChurn breaks the connections of many clients again and again while
// several goroutines send to single ones, to rooms, and to all. Each client must handle
// every event that was meant for it once, and all of them in the same order.
func TestRecoveryChurn(t *testing.T) {
	const (
		clients = 24
		rounds  = 400
		rooms   = 3
	)
	cfg := withRecovery(Config{})
	cfg.Engine.PingInterval = patience * 4 // nobody answers
	r := loopback(t, cfg)
	var known sync.Map // the first sockets, by id
	r.srv.OnConnect(func(_ context.Context, s *Socket) error {
		if s.Recovered() {
			return nil
		}
		known.Store(s.ID(), s)
		var auth struct{ Room string }
		if err := s.Auth(&auth); err != nil {
			return err
		}
		if err := s.Join(auth.Room); err != nil {
			return err
		}
		return s.Emit("hello")
	})

	// Everybody comes and gets a room.
	nomads := make([]*nomad, clients)
	sockets := make([]*Socket, clients)
	never := func() bool { return false }
	for i := range nomads {
		c := &nomad{r: r, n: i, room: fmt.Sprint("room", i%rooms), polling: i%4 == 3}
		nomads[i] = c
		must(t, c.live(func() bool { return len(c.got) > 0 }, never))
		c.got = nil
		s, _ := known.Load(c.sid)
		sockets[i] = s.(*Socket)
	}

	done, late := make(chan struct{}), make(chan struct{})
	closed := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var senders, readers sync.WaitGroup
	// In bursts: then somebody is sending at any moment at which somebody comes back.
	pause := func() {
		if rand.IntN(4) == 0 {
			time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
		}
	}
	for k := range 2 {
		senders.Go(func() {
			for i := range rounds {
				_ = r.srv.Emit("all", k, i)
				pause()
			}
		})
	}
	for k := range rooms {
		senders.Go(func() {
			for i := range rounds {
				_ = r.srv.To(fmt.Sprint("room", k)).Emit("room", k, i)
				pause()
			}
		})
	}
	senders.Go(func() {
		for i := range rounds {
			for k, s := range sockets {
				if err := s.Emit("one", k, i); err != nil {
					t.Errorf("client %d: %v", k, err)
				}
			}
			pause()
		}
	})
	const each = 4 * rounds
	for _, c := range nomads {
		readers.Go(func() {
			enough := func() bool { return len(c.got) >= each || closed(late) }
			breaks := func() bool { return !closed(done) }
			if err := c.live(enough, breaks); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	close(done)
	timer := time.AfterFunc(patience/2, func() { close(late) })
	readers.Wait()
	timer.Stop()

	var all []churned
	returns := 0
	for i, c := range nomads {
		returns += c.returns
		next, counts := map[string]int{}, map[string]int{}
		var mine []churned
		for _, e := range c.got {
			name := e.name
			from := fmt.Sprint(name, e.from)
			if e.n != next[from] {
				t.Errorf("client %d got %v, want number %d", i, e, next[from])
			}
			next[from] = e.n + 1
			counts[name]++
			if name == "all" {
				mine = append(mine, e)
			}
		}
		if all == nil {
			all = mine
		}
		if len(c.got) != each || counts["all"] != 2*rounds || counts["room"] != rounds || counts["one"] != rounds {
			t.Errorf("client %d: %d events, want %d: %v", i, len(c.got), each, counts)
		}
		if !slices.Equal(mine, all) {
			t.Errorf("client %d got the events to all in another order than client 0", i)
		}
	}
	t.Logf("%d connections", returns)
	if returns < 5*clients {
		t.Errorf("only %d connections: this was not much of a test", returns)
	}
}
