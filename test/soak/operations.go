package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// visit is a client that behaves.
type visit struct {
	*actor
	c     *client
	socks []*sock
	over  bool // ended by itself
}

// operations are drawn by weight. Each returns when all of it is checked, or checked by what comes.
var operations = []struct {
	name   string
	weight int
	run    func(v *visit, s *sock) error
}{
	{"echo", 20, (*visit).echo},
	{"send in order", 15, (*visit).sequence},
	{"receive a burst", 12, (*visit).burst},
	{"join a room", 14, (*visit).joinRoom},
	{"leave a room", 6, (*visit).leaveRoom},
	{"broadcast to a room", 16, (*visit).broadcast},
	{"broadcast to a namespace", 1, (*visit).broadcastAll},
	{"be asked", 8, (*visit).asked},
	{"gather a room", 2, (*visit).gather},
	{"call that is not answered", 3, (*visit).never},
	{"flood", 3, (*visit).flood},
	{"read slowly", 3, (*visit).slow},
	{"idle", 4, (*visit).idle},
	{"join a namespace", 3, (*visit).joinNamespace},
	{"join a namespace that refuses", 2, (*visit).refused},
	{"leave a namespace", 2, (*visit).leaveNamespace},
	{"recover", 8, (*visit).recover},
	{"evict a room", 1, (*visit).evict},
}

var weights = func() (n int) {
	for _, o := range operations {
		n += o.weight
	}
	return n
}()

// operation does one.
func (v *visit) operation() error {
	n := v.rnd.IntN(weights)
	for _, o := range operations {
		if n -= o.weight; n < 0 {
			v.did(o.name)
			if err := o.run(v, v.socks[v.rnd.IntN(len(v.socks))]); err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
			return nil
		}
	}
	panic("unreachable")
}

// namespace draws a name: there are children of a pattern, which come and go.
func (v *visit) namespace() string {
	switch v.rnd.IntN(3) {
	case 0:
		return "/"
	case 1:
		return "/chat"
	}
	return fmt.Sprintf("/dyn/%d", v.rnd.IntN(20))
}

func (v *visit) room() string { return fmt.Sprintf("room-%d", v.rnd.IntN(12)) }

// join joins a namespace once in the life of a connection: what is left of an earlier socket could not be told from the new.
func (v *visit) join(nsp string) error {
	v.c.mu.Lock()
	known, dismissed := v.c.socks[nsp] != nil, len(v.c.dismissed) > 0
	v.c.mu.Unlock()
	switch {
	case dismissed:
		return errGone // nor what is left of one that the server has disconnected
	case known:
		return nil
	}
	s, err := v.c.join(nsp)
	if err == nil {
		v.socks = append(v.socks, s)
	}
	return err
}

// leave leaves a namespace.
func (v *visit) leave(s *sock) error {
	s.answers.Lock()
	defer s.answers.Unlock()
	s.leaving.Store(true)
	return v.c.send(packet{typ: tDisconnect, nsp: s.nsp, id: -1})
}

func (v *visit) joinNamespace(*sock) error { return v.join(v.namespace()) }

func (v *visit) leaveNamespace(s *sock) error {
	if len(v.socks) == 1 || v.c.v3 && s.nsp == "/" {
		return nil // the rest needs one, and what Engine.IO v3 does without "/" is another story
	}
	if err := s.settle(); err != nil {
		return err
	}
	v.socks = slices.DeleteFunc(v.socks, func(o *sock) bool { return o == s })
	return v.leave(s)
}

func (v *visit) refused(*sock) error {
	v.c.mu.Lock()
	known := v.c.socks["/refused"] != nil
	v.c.mu.Unlock()
	if known {
		return nil
	}
	s := &sock{c: v.c, nsp: "/refused"}
	p, err := s.enter(nil)
	if err != nil {
		return err
	}
	if p.typ != tConnectError {
		return fmt.Errorf("CONNECT was answered by %d", p.typ)
	}
	return nil
}

// value draws something to send, of some depth.
func (v *visit) value(depth int) any {
	switch n := v.rnd.IntN(8); {
	case n < 3 || depth == 0:
		return padding(v.rnd.IntN(200), false)
	case n == 3:
		return v.rnd.IntN(1 << 40)
	case n == 4:
		return padding(v.rnd.IntN(3000), v.rnd.IntN(4) == 0)
	case n == 5:
		return []any{v.value(depth - 1), v.value(depth - 1)}
	case n == 6:
		return map[string]any{"a": v.value(depth - 1), "€": true}
	}
	return padding(v.rnd.IntN(100), true)
}

func (v *visit) echo(s *sock) error {
	args := []any{v.value(2), v.value(2)}
	got, err := s.call("echo", args...)
	if err == nil && !same(args, any(got)) {
		err = fmt.Errorf("sent %.200q, got %.200q", fmt.Sprint(args), fmt.Sprint(got))
	}
	return err
}

func (v *visit) sequence(s *sock) error {
	for range 1 + v.rnd.IntN(20) {
		if err := s.emit("seq", s.sent+1); err != nil {
			return err
		}
		s.sent++
	}
	return nil
}

// ask has the server send events. They are checked as they come.
func (s *sock) ask(event string, count int, args ...any) error {
	s.mu.Lock()
	s.want += count
	s.mu.Unlock()
	n, err := s.callInt(event, append([]any{count}, args...)...)
	if err == nil && n != count {
		err = fmt.Errorf("%d of %d events were sent", n, count)
	}
	return err
}

func (v *visit) burst(s *sock) error {
	return s.ask("burst", 1+v.rnd.IntN(40), v.rnd.IntN(3000), v.rnd.IntN(3) == 0)
}

func (v *visit) joinRoom(s *sock) error {
	room := v.room()
	s.mu.Lock()
	known := s.rooms[room] != nil || len(s.rooms) > 4
	s.mu.Unlock()
	if known {
		return nil
	}
	return s.enterRoom(room)
}

// anyRoom draws one that the sock is in, or is not in.
func (v *visit) anyRoom(s *sock) string {
	s.mu.Lock()
	in := slices.Sorted(maps.Keys(s.rooms))
	s.mu.Unlock()
	if len(in) == 0 || v.rnd.IntN(3) == 0 {
		return v.room()
	}
	return in[v.rnd.IntN(len(in))]
}

func (v *visit) leaveRoom(s *sock) error { return s.leaveRoom(v.anyRoom(s)) }

func (v *visit) leaveRooms(s *sock) error {
	s.mu.Lock()
	in := slices.Sorted(maps.Keys(s.rooms))
	s.mu.Unlock()
	for _, room := range in {
		if err := s.leaveRoom(room); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) broadcast(s *sock) error {
	how := []string{"everybody", "others", "volatile"}[v.rnd.IntN(3)]
	return s.emit("bcast", v.anyRoom(s), v.rnd.IntN(1500), v.rnd.IntN(4) == 0, how)
}

func (v *visit) broadcastAll(s *sock) error {
	return s.emit("bcast", "", v.rnd.IntN(300), false, "all")
}

func (v *visit) asked(s *sock) error {
	how := "now"
	switch v.rnd.IntN(8) {
	case 0:
		how = "never"
	case 1:
		how = "late"
	}
	got, err := s.call("askme", padding(v.rnd.IntN(100), false), how)
	if err == nil && (len(got) != 1 || got[0] != "asked") {
		err = fmt.Errorf("answer %v", got)
	}
	return err
}

func (v *visit) gather(s *sock) error {
	_, err := s.callInt("gather", v.anyRoom(s), padding(v.rnd.IntN(100), false))
	return err
}

func (v *visit) never(s *sock) error {
	s.mu.Lock()
	s.nextAck++
	id := s.nextAck
	s.mu.Unlock()
	return s.c.send(packet{typ: tEvent, nsp: s.nsp, id: id, data: []any{"never"}})
}

// flood calls more than the server queues, so that it stops reading for a while.
func (v *visit) flood(s *sock) error {
	const calls = 150
	var all []message
	answers := make([]chan []any, calls)
	s.mu.Lock()
	for i := range answers {
		answers[i] = make(chan []any, 1)
		s.nextAck++
		s.acks[s.nextAck] = answers[i]
		one, err := packet{typ: tEvent, nsp: s.nsp, id: s.nextAck, data: []any{"echo", i}}.encode(s.c.sess.node.Parser)
		if err != nil {
			panic(err)
		}
		all = append(all, one...)
	}
	gone := s.gone
	s.mu.Unlock()
	if err := s.c.sess.send(all...); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	deadline := time.After(v.run.o.answerTime())
	for i, answer := range answers {
		select {
		case a := <-answer:
			if len(a) != 1 || !same(i, a[0]) {
				return fmt.Errorf("call %d was answered %v", i, a)
			}
		case <-s.c.sess.ended:
			return errGone
		case <-gone:
			return errGone
		case <-deadline:
			return fmt.Errorf("%w to call %d of %d", errStuck, i, calls)
		}
	}
	return nil
}

// slow does not read for a while, in which less comes than the server may keep.
func (v *visit) slow(s *sock) error {
	count := 20 + v.rnd.IntN(20)
	s.mu.Lock()
	s.want += count
	s.mu.Unlock()
	v.c.sess.gate.Lock()
	err := s.emit("burst", count, 5000, false)
	time.Sleep(time.Duration(v.rnd.IntN(800)) * time.Millisecond)
	v.c.sess.gate.Unlock()
	if err != nil {
		return err
	}
	return s.settle()
}

func (v *visit) idle(*sock) error {
	select {
	case <-v.stop:
	case <-time.After(time.Duration(v.rnd.IntN(3000)) * time.Millisecond):
	}
	return nil
}

func (v *visit) evict(s *sock) error {
	room := v.anyRoom(s)
	k := s.key(room)
	v.run.evict(k, 1, 0)
	if _, err := s.callInt("evict", room, v.rnd.IntN(2) == 0); err != nil {
		return err // it may still be under way
	}
	v.run.evict(k, 0, 1)
	return nil
}

// recover loses the connection while the server goes on sending, comes back, and has missed nothing.
func (v *visit) recover(*sock) error {
	if v.c.v3 {
		return nil
	}
	for _, s := range v.socks {
		if v.rnd.IntN(4) > 0 {
			if err := s.ask("later", 5+v.rnd.IntN(25), v.rnd.IntN(40)); err != nil {
				return err
			}
		}
	}
	old := v.c.sess
	cut := time.Now()
	v.lose(old)
	<-old.ended
	defer old.shut(false)
	if v.c.excused() {
		return errGone
	}
	time.Sleep(time.Duration(v.rnd.IntN(1200)) * time.Millisecond)
	h := v.how()
	h.node, h.v3 = old.node, false
	c := v.connect(h)
	if c == nil {
		v.over = true
		return nil
	}
	was := v.c
	v.c = c
	for _, s := range v.socks {
		if err := v.comeBack(s, was, cut); err != nil {
			return err
		}
	}
	for _, s := range v.socks {
		if err := s.settle(); err != nil {
			return err
		}
	}
	return v.upgrade()
}

// lose ends a connection in one of the ways connections end, or leaves it open without reading it.
func (v *visit) lose(s *session) {
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	switch n := v.rnd.IntN(4); {
	case n == 0 && ws != nil:
		ws.nc.SetReadDeadline(time.Now()) // it is open until the client is back
	case n == 1:
		s.shut(true)
	case n == 2:
		s.half()
	default:
		s.shut(false)
	}
}

// comeBack joins a namespace again.
func (v *visit) comeBack(s *sock, was *client, cut time.Time) error {
	s.mu.Lock()
	pid, sid, offset := s.pid, s.sid, s.offset
	s.mu.Unlock()
	s.c = v.c
	auth := map[string]any{"pid": pid}
	if offset != nil {
		auth["offset"] = offset
	}
	p, err := s.enter(auth)
	if err != nil {
		return err
	}
	if p.typ != tConnect {
		return fmt.Errorf("refused: %v", p.data)
	}
	s.mu.Lock()
	recovered := s.pid == pid
	if recovered && s.sid != sid {
		err = errors.New("recovered, but with another id")
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if !recovered {
		if time.Since(cut) < v.run.o.Away/2 && !was.excused() && !v.c.excused() {
			return fmt.Errorf("%s not recovered in %s, %v after the cut", sid, s.nsp, time.Since(cut).Round(time.Millisecond))
		}
		v.did("recover: too late")
		return nil
	}
	// What the client had sent before the cut may not have arrived.
	n, err := s.callInt("resync", s.sent)
	if err == nil && n > s.sent {
		err = fmt.Errorf("the server has got event %d, %d were sent", n, s.sent)
	}
	return err
}
