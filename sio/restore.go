package sio

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// claim returns what a client that wants to be recovered says in its auth payload,
// {"pid":"…","offset":"…"}, as far as it can be considered. Without a pid there is no claim. What
// is no string is not decoded: it could be anything, and large.
func (s *Socket) claim() (pid, offset string, given bool) {
	if s.auth == nil || !bytes.Contains(s.auth.Data(), []byte("offset")) && !bytes.Contains(s.auth.Data(), []byte("pid")) {
		return "", "", false
	}
	var thePID, theOffset codec.Value
	for name, v := range authValue(s.auth.Data()).Members() {
		switch name {
		case "pid":
			thePID = v
		case "offset":
			theOffset = v
		}
	}
	if thePID.Len() <= maxPIDText {
		pid, _ = thePID.Text()
	}
	if len(pid) > adapter.MaxOffset {
		pid = ""
	}
	switch theOffset.Kind() {
	case codec.NullValue: // the client has got no event yet
	case codec.StringValue:
		offset, given = theOffset.Text()
	default:
		pid = "" // the application's own
	}
	return pid, offset, given
}

// maxPIDText is how long a pid may be on the wire: each byte may be an escape of six.
const maxPIDText = 6*adapter.MaxOffset + 2

// authValue returns the payload of a CONNECT, an object that the decoder has checked: JSON or
// msgpack, in which no map begins with a brace.
func authValue(p []byte) codec.Value {
	scan := codec.ScanMsgpack
	if p[0] == '{' {
		scan = codec.ScanJSON
	}
	v, err := scan(p, math.MaxInt32)
	if err != nil {
		return codec.Value{} // there is none
	}
	return v
}

// errTooMuch says that what a client has missed does not fit into its send buffer.
var errTooMuch = errors.New("sio: more was missed than Config.Engine.SendBuffer holds")

// errUnclear says that a client came with a string that may mean several places.
var errUnclear = errors.New("sio: it is not clear what the client has got")

// errUnanswered ends an attempt to connect that cannot be answered any more.
var errUnanswered = errors.New("sio: recovery failed when it had begun")

// comeBack recovers the socket of a client that was away, if it can: then the socket is
// connected. If it cannot, the socket is to be connected as a new one. An error ends the
// attempt to connect.
func (s *Socket) comeBack() (bool, error) {
	rec := s.ns.rec
	if rec == nil || s.c.old() {
		return false, nil
	}
	pid, offset, given := s.claim()
	start := s.c.srv.recoverStart()
	fresh, id := &resume{pid: newID(), offset: offset}, s.id
	s.setResume(fresh)
	if pid == "" {
		return false, nil
	}
	// Not the socket's context: a session that was taken must not get lost.
	ctx, cancel := context.WithTimeout(s.c.srv.base, storeTime+evictTime)
	defer cancel()
	if err := rec.claim(ctx, s, pid); err != nil {
		return false, err
	}
	settled := false
	defer func() {
		if !settled { // the adapter has panicked, or a middleware has called runtime.Goexit
			rec.free(s, pid)
		}
	}()
	b, err := rec.take(ctx, s, pid, offset, given)
	if err == nil {
		s.id = b.session.SID
		s.setResume(b.resume)
		s.SetData(b.session.Data)
		err = b.run(ctx)
		if err == nil || b.attached || errors.Is(err, ErrClosed) {
			settled = true
			s.recoverEnd(start, b.missed, err)
			return err == nil, err
		}
	}
	s.unrecovered(err)
	settled = true
	rec.free(s, pid)
	s.id = id
	s.setResume(fresh)
	s.SetData(nil)
	s.recoverEnd(start, 0, err)
	return false, nil
}

// setResume is for the connect job. depart may look at it meanwhile.
func (s *Socket) setResume(r *resume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume = r
}

// take takes a client's session out of the store and finds out from where it has to be
// replayed.
func (rec *recovery) take(ctx context.Context, s *Socket, pid, offset string, given bool) (*comeback, error) {
	session, err := rec.a.RestoreSession(ctx, pid)
	if err != nil {
		return nil, err
	}
	b := &comeback{s: s, session: session}
	var was resume
	ok := was.unmarshal(session.State)
	if ok {
		b.from, ok = was.resolve(offset, given)
	}
	if !ok {
		rec.a.DropSession(session)
		return nil, errUnclear
	}
	b.resume = &resume{pid: session.PID, recovered: true, waiting: true, origin: session.Since}
	b.resume.begin(b.from, offset, true)
	return b, nil
}

// unrecovered notes why a client has to start afresh.
func (s *Socket) unrecovered(err error) {
	level := slog.LevelInfo
	if !slices.ContainsFunc(ordinary, func(o error) bool { return errors.Is(err, o) }) {
		level = slog.LevelWarn
	}
	s.c.srv.log.Log(s.c.srv.base, level, "sio: client not recovered", "namespace", brief(s.nsp), "remote", s.c.remote(), "err", err)
}

// ordinary are the reasons that need nobody's attention.
var ordinary = []error{adapter.ErrNoSession, adapter.ErrOffset, errUnclear, errTooMuch}

// comeback is one attempt to recover a socket.
type comeback struct {
	s        *Socket
	session  *adapter.Session
	resume   *resume
	from     string // position to replay from
	attached bool   // to the index
	missed   int    // events that were sent again
}

// run connects the socket. Afterwards the session is used up, unless the client has gone
// in the meantime: then it is stored again.
func (b *comeback) run(ctx context.Context) error {
	s := b.s
	rec := s.ns.rec
	done := false
	defer func() {
		if !done {
			_ = b.failed(ctx, errUnanswered)
		}
	}()
	err := b.tryRun(ctx, rec)
	done = true
	if err != nil {
		return b.failed(ctx, err)
	}
	return nil
}

// tryRun is run, but for what becomes of the session when it fails.
func (b *comeback) tryRun(ctx context.Context, rec *recovery) error {
	s := b.s
	if s.c.srv.cfg.Recovery.RunMiddlewares && len(s.ns.tbl.load().use.fns) > 0 {
		if err := b.prepare(ctx); err != nil {
			return err
		}
	}
	release := s.index().Hold()
	batch := s.c.srv.engine.Engine().NewBatch()
	err := rec.a.Replay(ctx, b.session, b.from, func(missed []adapter.Missed) error { return b.accept(missed, batch) })
	release()
	batch.Flush()
	if err != nil && b.attached && !errors.Is(err, ErrClosed) {
		// The log has lost it in the meantime. The middlewares know the socket as
		// recovered, so it is too late for another one.
		s.unrecovered(err)
		err = errUnanswered
	}
	return err
}

// failed gives the session up, or back, and returns err.
func (b *comeback) failed(ctx context.Context, err error) error {
	rec := b.s.ns.rec
	if !errors.Is(err, ErrClosed) {
		rec.a.DropSession(b.session)
	} else if e := rec.a.PersistSession(ctx, b.session); e != nil {
		b.s.c.srv.log.Warn("sio: session not stored", "namespace", brief(b.s.nsp), "id", b.session.SID, "err", e)
	}
	return err
}

// prepare runs the middlewares in the restored socket.
func (b *comeback) prepare(ctx context.Context) error {
	s := b.s
	// The middlewares shall only see a socket as recovered that most likely will be.
	probed := errors.New("probed")
	err := s.ns.rec.a.Replay(ctx, b.session, b.from, func([]adapter.Missed) error { return probed })
	if err != probed {
		return err
	}
	if err := b.attach(); err != nil {
		return err
	}
	return s.middlewares()
}

// attach makes the socket known, in its rooms.
func (b *comeback) attach() error {
	s := b.s
	own := func(room string) bool { return room == s.id }
	rooms := slices.DeleteFunc(slices.Clone(b.session.Rooms), own)
	if limit := s.c.srv.cfg.MaxRooms; limit > 0 && len(rooms) > limit {
		return ErrTooManyRooms // another server's limit is higher
	}
	if err := s.attach(); err != nil {
		return err
	}
	b.attached = true
	return s.index().Join(&s.member, rooms...)
}

// segment is what surely travels in one piece, also in a TLS record through a tunnel, so
// that a client gets all of it or nothing.
const segment = 1200

// accept makes the socket a receiver and sends it what it has missed, and the answer to
// its CONNECT. No event of the log is on its way meanwhile.
//
// What was missed goes in front of the answer, as in the reference: the client keeps
// it until it has the answer. But a client whose connection ends in between keeps it, too,
// and would get it again at its next return. So it goes in front only if it travels in one
// piece with the answer, and else behind it: then the client counts from event to event,
// and even a bad connection makes progress each time.
func (b *comeback) accept(missed []adapter.Missed, batch *engine.Batch) error {
	s := b.s
	if s.state.Load() == gone {
		return ErrClosed
	}
	frames := make([]*pool.Frame, 0, len(missed)+1)
	defer func() {
		for _, f := range frames {
			f.Release()
		}
	}()
	size := 0
	for i := range missed {
		f, err := s.missedFrame(&missed[i])
		if err != nil {
			return err
		}
		frames = append(frames, f)
		size += f.Len()
	}
	answer := s.encodeConnect()
	frames = append(frames, answer)
	answerLen := answer.Len()
	size += answerLen
	switch {
	case size > s.c.srv.sendBuffer()-s.c.sess.Buffered():
		return errTooMuch
	case size <= segment:
		frames = append(frames[:0], joinFrames(frames, size))
	default:
		copy(frames[1:], frames)
		frames[0] = answer
	}
	if !b.attached {
		if err := b.attach(); err != nil {
			return err
		}
	}
	sendErr := ErrClosed
	err := s.index().Connect(&s.member, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state.Load() == gone {
			return
		}
		s.state.Store(connected)
		s.resume.waiting = false
		if len(missed) > 0 {
			s.resume.last = missed[len(missed)-1].Offset
		}
		sendErr = nil
		b.missed = len(missed)
		s.c.srv.traffic.sent(s.c, b.missed, size-answerLen)
		for i, f := range frames {
			frames[i] = nil
			if sendErr == nil {
				sendErr = s.c.sess.Queue(f, batch)
			} else {
				f.Release()
			}
		}
		frames = nil
		if sendErr != nil {
			// Part of it may be on its way, and a gap must not be.
			go s.c.sess.Discard(eio.TransportClose)
			sendErr = ErrClosed
		}
	})
	if err == nil && !slices.Contains(b.session.Rooms, s.id) {
		s.index().Leave(&s.member, s.id)
	}
	return errors.Join(err, sendErr)
}

// missedFrame returns an event as it goes to the client. The caller owns it.
func (s *Socket) missedFrame(m *adapter.Missed) (*pool.Frame, error) {
	if m.Frame != nil {
		m.Frame.Retain(1)
		return m.Frame, nil
	}
	return s.c.srv.cfg.Parser.EncodeEvent(s.nsp, -1, m.Event, append(slices.Clip(m.Args), m.Offset))
}

// joinFrames returns frames as one, and releases them.
func joinFrames(frames []*pool.Frame, size int) *pool.Frame {
	all := pool.Get(size)
	for _, f := range frames {
		all.B = append(all.B, f.Bytes()...)
		f.Release()
	}
	return all.Seal(0)
}
