package eio

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

var textOK = []byte("ok")

// servePost takes the packets of a POST body and answers when all of them have
// been processed.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request, q *query) {
	s.mu.Lock()
	out := s.out
	e := s.m.post()
	if e.do.has(doRefuse) {
		overlap := e.do.has(doEnd) || e.do.has(doRemove)
		if overlap && out != nil && out.post != nil {
			out.post.overlap = true
		}
		s.finish(e)
		s.refusePolling(w, r, q, overlap)
		return
	}
	p := &post{change: make(chan struct{}, 1)}
	rc := http.NewResponseController(w)
	p.unblock = func() { rc.SetReadDeadline(time.Unix(1, 0)) }
	out.post = p
	s.mu.Unlock()

	var body *pool.Buf
	ended := false
	defer func() {
		if body != nil {
			body.Release()
		}
		if !ended {
			s.abandonPost(p)
		}
	}()
	err := ErrInvalidContent
	octets := isOctetStream(r)
	if !octets || s.v3 {
		body, err = readBody(r, s.srv.cfg.MaxPayload)
	}

	s.mu.Lock()
	p.unblock = nil
	if err == nil && s.m.phase != phaseClosed {
		// After an error the deadline stays, because net/http may read what
		// is left of the body; it sets a new one for the next request.
		rc.SetReadDeadline(time.Time{})
	}
	s.mu.Unlock()

	if err == nil {
		s.receive(r.Context(), p, s.read(body.B, octets, out.script != ""))
		body.Release()
		body = nil
	}
	ended = true
	s.endPost(w, r, p, err)
}

// abandonPost ends a session whose POST was ended by a panic: of the application's Handler, which
// ends a session on WebSocket, too, or of a body that a middleware has put in.
func (s *Session) abandonPost(p *post) {
	s.mu.Lock()
	p.unblock = nil
	if s.out != nil {
		s.out.post = nil
	}
	s.finish(s.m.posted(ErrPostAborted))
}

// endPost closes the books on a POST and then answers it: the client may send
// the next one as soon as it has the answer.
func (s *Session) endPost(w http.ResponseWriter, r *http.Request, p *post, err error) {
	s.mu.Lock()
	if s.out != nil {
		s.out.post = nil
	}
	overlap := p.overlap
	over := s.m.phase == phaseClosed
	large := s.large
	s.large = large || errors.Is(err, ErrMessageTooBig)
	cause := ErrPostAborted
	switch {
	case over || err == nil || errors.Is(err, ErrMessageTooBig):
		cause = nil
	case errors.Is(err, ErrInvalidContent):
		cause = ErrInvalidContent
	}
	s.finish(s.m.posted(cause))

	switch {
	case overlap:
		cut(w)
	case err == nil:
		s.srv.pollingHeaders(w.Header(), r, false)
		writeBody(w, http.StatusOK, "text/html", textOK)
	case errors.Is(err, ErrMessageTooBig):
		// The session goes on, as in the reference, though the official client ends it.
		if !large { // once: the client may go on like this
			s.srv.log.Info("eio: POST body too large", "remote", r.RemoteAddr, "err", err)
		}
		s.srv.report(r, &failure{code: CodeBadRequest, context: ErrorContext{Name: "PAYLOAD_TOO_LARGE", SID: s.id}, err: err})
		writeEmpty(w, http.StatusRequestEntityTooLarge)
	case errors.Is(err, ErrInvalidContent):
		writeEmpty(w, http.StatusBadRequest)
	default:
		w.Header().Set("Connection", "close")
		writeEmpty(w, http.StatusBadRequest)
	}
}

// receive runs the packets of one payload through the machine.
func (s *Session) receive(ctx context.Context, p *post, packets codec.PayloadReader) {
	s.mu.Lock()
	if s.m.phase == phaseClosed {
		s.mu.Unlock()
		return
	}
	s.occupyLocked()
	s.mu.Unlock()
	defer s.vacate()

	for {
		packet, err := packets.Next()
		if err == io.EOF {
			return
		}
		if s.srv.cfg.Hooks != nil && err == nil {
			s.observe(packet)
		}
		s.mu.Lock()
		if err != nil {
			s.finish(s.m.invalid(mainLink, err))
			return
		}
		if s.m.passes(packet.Type) {
			s.mu.Unlock()
			s.srv.handler.Message(s, packet.Data, packet.Binary)
			s.awaitResume(ctx, p)
			continue
		}
		if packet.Type == codec.Close && !s.m.parked {
			s.mu.Unlock()
			s.awaitPoll(p)
			s.mu.Lock()
		}
		e := s.m.packet(s.srv.now(), mainLink, packet.Type, packet.Data, s.timing())
		over := s.m.phase == phaseClosed
		s.finish(e)
		if over {
			return
		}
		if e.do.has(doDeliver) {
			s.srv.handler.Message(s, packet.Data, packet.Binary)
			s.awaitResume(ctx, p)
		}
	}
}

// overtaken is how long a CLOSE waits for the poll that was sent before it. Requests on
// two connections can overtake each other here, as they practically never do in a server
// with one thread; a client that closes has a poll under way, and it expects a NOOP. In
// the same way a poll can overtake the UPGRADE that was sent before it.
const overtaken = 10 * time.Millisecond

// awaitPoll blocks until a GET is parked, for a moment.
func (s *Session) awaitPoll(p *post) {
	t := time.NewTimer(overtaken)
	defer t.Stop()
	for {
		select {
		case <-p.change:
		case <-t.C:
			return
		}
		s.mu.Lock()
		done := s.m.parked || s.m.phase == phaseClosed
		s.mu.Unlock()
		if done {
			return
		}
	}
}

// awaitResume blocks while the session is paused and open.
func (s *Session) awaitResume(ctx context.Context, p *post) {
	for s.paused.Load() && !s.Closed() {
		select {
		case <-p.change:
		case <-ctx.Done():
			s.mu.Lock()
			s.finish(s.m.lost(mainLink, TransportError, ErrPostAborted))
			return
		}
	}
}

// readBody reads at most limit bytes. The caller releases the buffer.
func readBody(r *http.Request, limit int) (*pool.Buf, error) {
	if r.ContentLength > int64(limit) {
		return nil, &SizeError{Size: r.ContentLength, Limit: limit}
	}
	// The declared length is only a promise; memory follows what has arrived.
	first := int64(4 << 10)
	if r.ContentLength >= 0 {
		first = min(r.ContentLength+1, first)
	}
	b := pool.Get(int(first))
	read := false
	defer func() {
		if !read { // also when a body that is not net/http's panics
			b.Release()
		}
	}()
	for {
		if len(b.B) == cap(b.B) {
			b.Grow(1)
		}
		room := b.B[len(b.B):min(cap(b.B), limit+1)]
		n, err := r.Body.Read(room)
		b.B = b.B[:len(b.B)+n]
		switch {
		case len(b.B) > limit:
			return nil, &SizeError{Size: int64(len(b.B)), Limit: limit}
		case err == io.EOF:
			read = true
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

func isOctetStream(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == "application/octet-stream"
}

// limitBody bounds the time in which the body of r must arrive: as long as a
// peer may stay silent. It counts for refused requests too, whose body net/http
// reads before it sends the answer. Servers without deadlines, in-memory ones,
// have no slow peers.
func (srv *Server) limitBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(srv.timing.interval + srv.timing.timeout))
	}
}
