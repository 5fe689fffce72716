package eio

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats is what a server has done since NewServer, and what it holds now. Counters
// never decrease.
type Stats struct {
	// Sessions is how many there are, see Server.Sessions. Slow of them are, by
	// Config.Flow. Conns is the number of connections in the engine: WebSockets and WebTransports, and on
	// the listeners of Serve connections that have not sent their request yet.
	Sessions, Slow, Conns int
	// Polling, WebSocket and WebTransport count sessions by the transport they began with,
	// Upgraded those that went from polling to another.
	Polling, WebSocket, WebTransport, Upgraded int64
	// Refused counts refused requests by their code.
	Refused map[ErrorCode]int64
	// Closed counts ended sessions by reason and by the transport they ended on. Reasons of an
	// application are counted as "other" when there are 32 counters.
	Closed map[Closing]int64
	// Addresses is how many client addresses Config.Admission remembers.
	Addresses int
}

// Closing is how a session ended.
type Closing struct {
	Reason    Reason
	Transport Transport
}

// maxClosings bounds the memory for reasons.
const maxClosings = 32

// stats counts. What it counts costs far more than an atomic addition.
type stats struct {
	begun    [WebTransport + 1]atomic.Int64 // by Transport
	upgraded atomic.Int64
	refused  [len(codeMessages)]atomic.Int64

	mu sync.Mutex
	// guarded by mu
	closed map[Closing]int64
}

func (st *stats) opened(t Transport) { st.begun[t].Add(1) }

func (st *stats) refuse(c ErrorCode) { st.refused[c].Add(1) }

// close counts the end of a session. It may be called under its lock.
func (st *stats) close(c Closing) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed == nil {
		st.closed = make(map[Closing]int64)
	}
	if _, known := st.closed[c]; !known && len(st.closed) >= maxClosings {
		c.Reason = "other"
	}
	st.closed[c]++
}

// Stats returns a snapshot. The parts of it are not from one moment.
func (srv *Server) Stats() Stats {
	st := &srv.stats
	out := Stats{
		Sessions:     srv.Sessions(),
		Slow:         srv.flows.count(),
		Conns:        srv.engine.Conns(),
		Polling:      st.begun[Polling].Load(),
		WebSocket:    st.begun[WebSocket].Load(),
		WebTransport: st.begun[WebTransport].Load(),
		Upgraded:     st.upgraded.Load(),
		Refused:      make(map[ErrorCode]int64),
	}
	for c := range st.refused {
		if n := st.refused[c].Load(); n > 0 {
			out.Refused[ErrorCode(c)] = n
		}
	}
	st.mu.Lock()
	out.Closed = maps.Clone(st.closed)
	st.mu.Unlock()
	if a := srv.admission; a != nil {
		out.Addresses = a.addresses()
	}
	return out
}
