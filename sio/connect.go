package sio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// Handshake is what is known of a client that wants to join a namespace.
type Handshake struct{ s *Socket }

// Handshake returns what the client came with.
func (s *Socket) Handshake() *Handshake { return &Handshake{s} }

// AuthOf returns what the client passed as auth, decoded into T: the zero T if that was
// nothing. Returning the error from a middleware refuses the client.
func AuthOf[T any](s *Socket) (v T, err error) {
	err = s.Auth(&v)
	return v, err
}

// Auth decodes the auth payload into what v points to, see Socket.Auth.
func (h *Handshake) Auth(v any) error { return h.s.Auth(v) }

// Request returns the HTTP request that opened the connection, see
// Socket.Request.
func (h *Handshake) Request() *http.Request { return h.s.Request() }

// Engine returns the facts of the connection: addresses, time, whether it is
// encrypted. It is nil after the handshake was dropped.
func (h *Handshake) Engine() *eio.Handshake { return h.s.c.sess.Handshake() }

// connect is the connect job: it finds the namespace, runs the middlewares, and
// answers. It runs on the socket's goroutine before any of its events.
func (s *Socket) connect() {
	defer s.c.handled(int(s.size))
	start := s.c.srv.connectStart()
	attempt(s.tryConnect, func(err error) {
		if err != nil {
			s.notConnected(start, err)
			return
		}
		s.admitted = true
		s.c.joined()
		s.connectEnd(start, nil)
		attempt(s.connectHandlers, func(err error) {
			if err == nil {
				return
			}
			s.faulted("connect handler", err)
			s.report(&EventError{Event: "connect", Err: err})
			s.Disconnect(false)
		})
	})
}

func (s *Socket) connectHandlers() error {
	for _, fn := range s.ns.tbl.load().connect.fns {
		if err := fn(s.Context(), s); err != nil {
			return err
		}
	}
	return nil
}

// tryConnect is the connect job up to its answer.
func (s *Socket) tryConnect() error {
	if s.ns == nil {
		ns := s.c.srv.resolve(s.Context(), s)
		if ns == nil {
			return errNoNamespace
		}
		s.ns = ns
		s.c.mu.Lock()
		s.nsp = s.ns.name // one string for all sockets; look-ups read it meanwhile
		s.c.mu.Unlock()
	}
	s.ns.ready()
	back, err := s.comeBack()
	if err == nil && !back {
		err = s.connectNew()
	}
	return err
}

// notConnected is the end of a connect job that has failed.
func (s *Socket) notConnected(start time.Time, err error) {
	s.refuse(err)
	if s.ns != nil {
		defer s.vacate()
	}
	s.connectEnd(start, err)
}

// connectNew connects the socket of a client that starts afresh.
func (s *Socket) connectNew() error {
	if err := s.attach(); err != nil {
		return err
	}
	if err := s.middlewares(); err != nil {
		return err
	}
	if s.resume != nil {
		s.ns.rec.enter(s)
	}
	return s.accept()
}

// errNoNamespace is told to the client in the words of the reference.
var errNoNamespace = &Error{Message: "Invalid namespace"}

func (s *Socket) middlewares() error {
	use := s.ns.tbl.load().use.fns
	if len(use) == 0 {
		return nil
	}
	ctx := s.Context()
	for _, mw := range use {
		if err := protected(func() error { return mw(ctx, s) }); err != nil {
			return err
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause // gone meanwhile: nobody to answer
		}
	}
	return nil
}

// accept answers the CONNECT and makes the socket a receiver of broadcasts, in one
// step: no event of a broadcast comes before the answer, and none after it is
// missed. Whoever disconnects the socket comes before that step or after it, too,
// so that DISCONNECT never precedes CONNECT.
func (s *Socket) accept() error {
	f := s.encodeConnect()
	batch := s.c.srv.engine.Engine().NewBatch()
	defer batch.Flush()
	if s.resume != nil {
		return s.acceptLogged(f, batch)
	}
	taken, sendErr := false, ErrClosed
	err := s.index().Connect(&s.member, func() { taken, sendErr = s.answer(f, batch) })
	if !taken {
		f.Release()
	}
	return errors.Join(err, sendErr)
}

// acceptLogged is accept for a socket with recovery: it happens at a moment when no event
// of the log is on its way. It takes f.
func (s *Socket) acceptLogged(f *pool.Frame, batch *engine.Batch) error {
	release := s.index().Hold()
	defer release()
	var err error
	taken, sendErr := false, ErrClosed
	s.ns.rec.a.Admit(func(offset string) {
		s.mu.Lock()
		s.resume.begin(offset, s.resume.offset, false)
		s.resume.offset = "" // may be large
		s.mu.Unlock()
		err = s.index().Connect(&s.member, func() { taken, sendErr = s.answer(f, batch) })
	})
	if !taken {
		f.Release()
	}
	return errors.Join(err, sendErr)
}

// answer makes the socket connected and queues the answer to CONNECT. It takes f, unless
// the socket is gone.
func (s *Socket) answer(f *pool.Frame, batch *engine.Batch) (taken bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ns.deleted.Load() {
		return false, errNoNamespace
	}
	if s.state.Load() == gone {
		return false, ErrClosed
	}
	s.state.Store(connected)
	return true, s.sent(s.c.sess.Queue(f, batch))
}

// refuse tells the client and forgets the socket.
func (s *Socket) refuse(err error) {
	if err == errUnanswered {
		s.c.sess.Close(eio.ForcedClose) // the client comes again
		err = ErrClosed
	}
	if s.state.Load() == gone || errors.Is(err, ErrClosed) {
		s.c.srv.log.Debug("sio: client gone before it was connected", "namespace", brief(s.nsp), "err", briefErr(err))
		s.c.remove(s)
		s.leave(TransportClose)
		return
	}
	s.c.logger(slog.LevelInfo).Info("sio: connect refused", "namespace", brief(s.nsp), "remote", s.c.remote(), "err", briefErr(err))
	text, data := refusedText, any(nil)
	if e, ok := errors.AsType[*Error](err); ok {
		text, data = e.Message, e.Data
	} else if p, ok := errors.AsType[*PanicError](err); ok {
		s.panicked("connect middleware", p)
		s.c.logger(slog.LevelError).Error("sio: connect middleware panicked", "namespace", brief(s.nsp), "panic", p.Value, "stack", string(p.Stack))
	}
	f, encErr := s.encodeRefusal(text, data)
	if encErr != nil {
		s.c.srv.unencoded("connect_error", s.nsp, encErr)
		s.c.logger(slog.LevelError).Error("sio: data of a connect error cannot be encoded", "namespace", brief(s.nsp), "err", encErr)
		f, encErr = s.encodeRefusal(text, nil)
	}
	s.c.remove(s) // the answer may bring the next attempt
	if encErr == nil {
		_ = s.send(f) // the client may be gone by now
	}
	s.leave(ServerDisconnect)
}
