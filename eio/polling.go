package eio

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// servePolling answers a request that carries the sid of a session on polling.
//
// Source: https://socket.io/docs/v4/engine-io-protocol/#http-long-polling
func (s *Session) servePolling(w http.ResponseWriter, r *http.Request, q *query) {
	switch r.Method {
	case http.MethodGet:
		s.serveGet(w, r, q)
	case http.MethodPost:
		s.servePost(w, r, q)
	default:
		writeEmpty(w, http.StatusInternalServerError)
	}
}

// serveGet answers with what is buffered, or parks until there is something.
func (s *Session) serveGet(w http.ResponseWriter, r *http.Request, q *query) {
	s.mu.Lock()
	out := s.out
	now := s.srv.now()
	e := s.m.poll(now, out != nil && len(out.frames) > 0)
	switch {
	case e.do.has(doRefuse):
		overlap := e.do.has(doEnd)
		s.finish(e)
		s.refusePolling(w, r, q, overlap)
		return
	case e.do.has(doAnswer):
		reply := doAnswer
		if s.m.phase == phaseClosed {
			reply |= doClosePoll
		}
		body := s.takeLocked(out, reply)
		s.finish(e)
		s.answerPoll(w, r, body, out)
		return
	}
	p := &park{woken: make(chan struct{})}
	out.park = p
	probed := s.m.candidate == stageProbed
	if out.post != nil {
		out.post.signal()
	}
	s.finish(e) // may wake p at once

	ctx := r.Context()
	limit := liftWriteTimeout(w, r)
	select {
	case <-p.woken:
	case <-ctx.Done():
	}
	if limit > 0 {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
	}
	s.mu.Lock()
	out.park = nil
	if ctx.Err() != nil {
		s.finish(s.m.aborted())
		writeEmpty(w, http.StatusBadRequest) // seen only if a middleware cancelled the request
		return
	}
	s.m.answered()
	if probed && s.m.transport != Polling && s.srv.now()-now < overtaken {
		// A client that upgrades polls no more. This GET was sent behind the
		// UPGRADE and overtook it.
		s.mu.Unlock()
		s.refusePolling(w, r, q, false)
		return
	}
	body := s.takeLocked(out, p.reply)
	s.mu.Unlock()
	s.answerPoll(w, r, body, out)
}

// answerPoll writes the answer to a poll. If a hook panics meanwhile, or the writer of a
// middleware, the packets are lost and the session with them. It takes body, which was taken from out.
func (s *Session) answerPoll(w http.ResponseWriter, r *http.Request, body payload, out *outbox) {
	answered := false
	defer func() {
		s.mu.Lock()
		out.taken -= body.taken
		s.mu.Unlock()
		if !answered {
			s.lose(TransportError, ErrPollAborted)
		}
	}()
	s.srv.writePayload(w, r, body, out.script, false)
	answered = true
	s.drained(body.packets)
}

// takeLocked moves what waits in out into the answer to a poll.
func (s *Session) takeLocked(out *outbox, reply action) payload {
	n := 0
	if s.srv.cfg.Hooks != nil {
		n = packetsWaiting(out)
		s.flushed(n)
	}
	taken := out.bytes
	body := out.payload(reply, s.form())
	body.packets, body.taken = n, taken
	out.taken += taken
	s.outboxFlowLocked()
	return body
}

// liftWriteTimeout removes the deadline that an http.Server with a WriteTimeout has set for the answer to r, counted from
// the request's arrival, and returns that timeout, to begin anew when there is something to write. 0 means there is none.
func liftWriteTimeout(w http.ResponseWriter, r *http.Request) time.Duration {
	hs, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if hs == nil || hs.WriteTimeout <= 0 {
		return 0
	}
	if http.NewResponseController(w).SetWriteDeadline(time.Time{}) != nil {
		return 0 // a middleware hides the connection
	}
	return hs.WriteTimeout
}

// refusePolling answers a request that the machine refused: an overlapping one
// (which has ended the session), or one that came after the session left polling.
func (s *Session) refusePolling(w http.ResponseWriter, r *http.Request, q *query, overlap bool) {
	if overlap {
		writeEmpty(w, http.StatusBadRequest)
		return
	}
	fail := &failure{code: CodeUnknownSession, context: ErrorContext{SID: s.id}}
	if !s.Closed() {
		fail = mismatch(q.transport, s.Transport())
	}
	s.srv.refuse(w, r, false, fail)
}

// writePayload sends a polling payload, as a script if script is not empty. It takes
// body.
func (srv *Server) writePayload(w http.ResponseWriter, r *http.Request, body payload, script string, initial bool) {
	taken := false
	defer func() {
		if !taken { // also when a hook panics
			body.Release()
		}
	}()
	if script != "" {
		body.gather()
		body.Buf = newScript(script, body.Buf)
	}
	srv.pollingHeaders(w.Header(), r, initial)
	if body.frames != nil {
		taken = true
		body.send(srv, w, r)
		return
	}
	body.Buf = srv.compressed(w, r, body)
	writeBody(w, http.StatusOK, body.contentType(), body.B)
}

// pollingHeaders sets the headers common to all successful polling responses
// and lets the application change them.
func (srv *Server) pollingHeaders(h http.Header, r *http.Request, initial bool) {
	// Internet Explorer inspects responses for script unless told otherwise.
	if ua := r.UserAgent(); strings.Contains(ua, ";MSIE") || strings.Contains(ua, "Trident/") {
		h.Set("X-Xss-Protection", "0")
	}
	h.Set("Cache-Control", "no-store")
	noSniff(h)
	srv.callHeaderHooks(h, r, initial)
}

// noSniff keeps browsers from taking an answer for what its Content-Type does not say: for a page or a script of another
// site, for example.
func noSniff(h http.Header) { h["X-Content-Type-Options"] = []string{"nosniff"} }

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a failure shows as a missing next request
}

func writeEmpty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// cut ends the TCP connection of a request without an answer.
func cut(w http.ResponseWriter) {
	nc, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: resets the stream
	}
	nc.Close()
}
