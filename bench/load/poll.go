package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/epio-go/epio/bench/internal/ws"
)

// pollers is how many sessions the works poll and upgrade keep busy.
const pollers = 64

// poller is a session over HTTP: one connection for GET, which nearly always waits for an answer,
// and one for POST, as in browsers.
type poller struct {
	l         *load
	i         int
	get, post *httpConn
	sid       string
	queue     []byte // packets that wait for the end of the current POST
	pause     bool   // no further GET
	want      uint64 // number of the answer expected
	due       int64

	got    func(p *poller, k kind, seq uint64) error
	paused func(p *poller) error
}

// newPoller connects but asks for nothing yet.
func (l *load) newPoller(i int) (*poller, error) {
	p := &poller{l: l, i: i}
	var err error
	if p.get, err = l.openHTTP(p.answered); err != nil {
		return nil, err
	}
	if p.post, err = l.openHTTP(p.posted); err != nil {
		l.remove(p.get.fd)
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	p.l.remove(p.get.fd)
	p.l.remove(p.post.fd)
}

// begin asks for a session that was due at a moment.
func (p *poller) begin(due int64) error {
	p.sid, p.pause, p.want, p.due, p.queue = "", false, none, due, p.queue[:0]
	return p.poll()
}

func (p *poller) poll() error {
	return p.get.request([]byte(ws.Get(p.l.wire.target("polling", p.sid))))
}

// send posts a message, now or with others when the current POST is done.
func (p *poller) send(m []byte, op byte) error {
	if len(p.queue) > 0 {
		p.queue = append(p.queue, 0x1e)
	}
	if op == ws.Binary {
		p.queue = base64.StdEncoding.AppendEncode(append(p.queue, 'b'), m)
	} else {
		p.queue = append(p.queue, m...)
	}
	if p.post.busy {
		return nil
	}
	return p.flush()
}

func (p *poller) flush() error {
	r := strconv.AppendInt([]byte(ws.Post(p.l.wire.target("polling", p.sid))), int64(len(p.queue)), 10)
	r = append(append(r, "\r\n\r\n"...), p.queue...)
	p.queue = p.queue[:0]
	return p.post.request(r)
}

func (p *poller) posted(body []byte) error {
	if string(body) != "ok" {
		return fmt.Errorf("POST answered with %s", quote(body))
	}
	if len(p.queue) > 0 {
		return p.flush()
	}
	return nil
}

// call posts a call.
func (p *poller) call() error {
	p.l.calls++
	p.want = p.l.calls
	p.l.out = p.l.wire.echo(p.l.out[:0], p.l.text.number(p.want))
	return p.send(p.l.out, p.l.wire.op(false))
}

// answered handles the answer to a GET.
func (p *poller) answered(body []byte) error {
	for packet := range bytes.SplitSeq(body, []byte{0x1e}) {
		if err := p.packet(packet); err != nil {
			return err
		}
	}
	if p.pause {
		return p.paused(p)
	}
	return p.poll()
}

func (p *poller) packet(m []byte) error {
	op := byte(ws.Text)
	if len(m) > 0 && m[0] == 'b' {
		raw, err := base64.StdEncoding.AppendDecode(nil, m[1:])
		if err != nil {
			return fmt.Errorf("unexpected %s", quote(m))
		}
		m, op = raw, ws.Binary
	}
	k, payload := p.l.wire.parse(m, op)
	switch k {
	case opened:
		var handshake struct {
			SID string `json:"sid"`
		}
		if err := json.Unmarshal(payload, &handshake); err != nil || handshake.SID == "" {
			return fmt.Errorf("handshake answered with %s", quote(m))
		}
		p.sid = handshake.SID
		p.l.out = p.l.wire.connect(p.l.out[:0])
		return p.send(p.l.out, p.l.wire.op(false))
	case ping:
		return p.send([]byte("3"), ws.Text)
	case noop:
		return nil
	case connected:
		return p.got(p, k, 0)
	case answer:
		seq, ok := p.l.text.read(payload)
		if !ok {
			return fmt.Errorf("the payload was changed: %s", quote(m))
		}
		return p.got(p, k, seq)
	}
	return fmt.Errorf("unexpected %s", quote(m))
}

// openPollers opens sessions and waits until all are connected.
func (l *load) openPollers(n int) (all []*poller, err error) {
	l.expect(unknown, func(*conn, kind, uint64) error { return errors.New("unexpected message on a WebSocket") })
	ready := 0
	for i := range n {
		p, err := l.newPoller(i)
		if err != nil {
			return all, err
		}
		all = append(all, p)
		p.got = func(_ *poller, k kind, _ uint64) error {
			if k != connected {
				return errors.New("unexpected message while connecting")
			}
			ready++
			return nil
		}
		if err := p.begin(l.clock()); err != nil {
			return all, err
		}
	}
	return all, l.until(func() bool { return ready == n })
}

var errPlain = errors.New("needs Engine.IO")

// poll keeps one call under way on each of some sessions over HTTP.
func (l *load) poll() ([]result, error) {
	if l.wire == plain {
		return nil, errPlain
	}
	n := min(pollers, l.o.clients)
	all, err := l.openPollers(n)
	defer func() {
		for _, p := range all {
			p.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	latency := new(histogram)
	units, ended, over := 0, 0, false
	got := func(p *poller, k kind, seq uint64) error {
		if k != answer || seq != p.want {
			return fmt.Errorf("answer %d arrived where %d was due: lost, doubled or reordered", seq, p.want)
		}
		units++
		latency.record(l.now - p.due)
		if over {
			p.want = none
			ended++
			return nil
		}
		p.due = l.now
		return p.call()
	}
	m, err := l.meter()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		p.got, p.due = got, l.clock()
		if err := p.call(); err != nil {
			return nil, err
		}
	}
	if err := l.run(); err != nil {
		return nil, err
	}
	over = true
	if err := l.until(func() bool { return ended == n }); err != nil {
		return nil, err
	}
	r, err := m.result("answer", units)
	if err != nil {
		return nil, err
	}
	r.Clients = n
	latency.fill(&r)
	// What was doubled at the end comes before the answer to one more call.
	ended = 0
	for _, p := range all {
		if err := p.call(); err != nil {
			return nil, err
		}
	}
	return []result{r}, l.until(func() bool { return ended == n })
}
