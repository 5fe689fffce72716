package eio

import (
	"time"

	"github.com/epio-go/epio/codec"
)

// machine is the state of one session as the protocol sees it. It does no I/O
// and reads no clock: events come in with the time they happened, and what is to be done
// about them goes out as an effect. The driver around it (session*.go)
// executes effects and owns buffers, connections and timers.
//
// Source: https://socket.io/docs/v4/engine-io-protocol/. Where the protocol text is
// silent the reference server is followed, except for its known stalls: the
// heartbeat goes on across an upgrade.
//
// Engine.IO v3 has the same rules but for the heartbeat, which timing tells apart.
type machine struct {
	// beat is when the next PING is due or, while awaiting, when patience with the
	// missing PONG ends; in v3, when patience with the client's missing PING ends.
	// In phase closing it is the end of the time the CLOSE packet waits for a poll.
	beat time.Duration
	// upgradeBy is when the candidate is given up.
	upgradeBy time.Duration
	// noopAt is the earliest time of the next NOOP to a parked poll.
	noopAt time.Duration

	phase     phase
	transport Transport
	candidate stage
	target    Transport // what the candidate is

	pong    pong // whether a PING is unanswered
	held    bool // the application has paused this session: the peer cannot be heard
	parked  bool // polling: a GET waits for packets
	posting bool // polling: a POST is being received or processed
}

// stopped is which part of its delay a timer must be late by for this process to count as stopped.
// The engine's timers are late by 0.8 % of it anyway.
const stopped = 32

type phase uint8

const (
	phaseOpen    phase = iota
	phaseClosing       // closed for the application; a CLOSE packet waits for the next poll
	phaseClosed
)

// pong is what has become of the last PING.
type pong uint8

const (
	pongNone     pong = iota // answered, or none was sent
	pongAwaited              // unanswered
	pongExtended             // unanswered still, after the deadline has been extended once
)

// stage is how far a second transport has got.
type stage uint8

const (
	stageNone    stage = iota
	stageOpened        // accepted, no probe yet
	stageProbed        // probe answered
	stagePending       // UPGRADE received while a POST is in progress
)

// link tells the main transport from the candidate.
type link uint8

const (
	mainLink link = iota
	candidateLink
)

// timing holds the durations a machine works with. Immutable, one per server and
// revision of the protocol.
type timing struct {
	clientPings bool // Engine.IO v3: the client sends PING and we answer with PONG

	interval time.Duration // PONG to PING
	timeout  time.Duration // PING to the end of patience
	upgrade  time.Duration // candidate to UPGRADE
	linger   time.Duration // how long a CLOSE packet waits for a poll
}

// never is a deadline that does not come.
const never = time.Duration(1<<63 - 1)

// noopEvery is the time from the probe to the first NOOP, and between NOOPs, while
// an upgrade is in progress. One is not enough: the client may poll again before it
// pauses. Sending the first at once would be faster, but the official client's own
// tests expect none before the reference sends one.
const noopEvery = 100 * time.Millisecond

// effect is what an event leads to.
type effect struct {
	do     action
	reason Reason // with doEnd
	err    error  // with doEnd; may be nil
}

// action is a set of things the driver has to do.
type action uint16

const (
	doDeliver   action = 1 << iota // give the message to the application
	doPing                         // send PING on the main transport
	doProbe                        // answer the probe on the candidate
	doAnswer                       // answer this poll with what is buffered
	doNoop                         // answer the parked poll with NOOP
	doClosePoll                    // answer the parked poll with CLOSE
	doSwitch                       // the candidate becomes the main transport; buffered packets go there
	doHold                         // read no more from the candidate until doSwitch or doDrop
	doDrop                         // close the candidate, without a status
	doRefuse                       // refuse this request or new candidate
	doDiscard                      // drop buffered packets
	doShut                         // close the main WebSocket or WebTransport behind what is queued
	doEnd                          // tell the application that the session is over
	doRemove                       // forget the session
	doPong                         // send PONG on the main transport
)

func (a action) has(b action) bool { return a&b != 0 }

// start begins the life of a session on t.
func (m *machine) start(now time.Duration, t Transport, tm *timing) {
	*m = machine{beat: now + tm.interval, transport: t}
	if tm.clientPings {
		m.beat += tm.timeout
	}
}

// next returns the earliest time at which timer has something to do.
func (m *machine) next() time.Duration {
	if m.phase == phaseClosed {
		return never
	}
	at := m.beat
	if m.candidate != stageNone {
		at = min(at, m.upgradeBy)
		if m.candidate == stageProbed && m.parked {
			at = min(at, m.noopAt)
		}
	}
	return at
}

// timer is called at or after next, with the current time.
func (m *machine) timer(now time.Duration, tm *timing) (e effect) {
	switch {
	case m.phase == phaseClosed:
		return e
	case now < m.beat:
	case m.phase == phaseClosing:
		return m.gone(doDiscard)
	case (tm.clientPings || m.pong != pongNone) && (m.held || now-m.beat > tm.timeout/2):
		// We are the ones who do not read: what we wait for may stand behind what the
		// application has not taken yet. Or this process was stopped, and the kernel has it.
		m.beat = now + tm.timeout
	case m.pong != pongExtended && (tm.clientPings || m.pong == pongAwaited) && now-m.beat > tm.timeout/stopped:
		// Perhaps so. Once only, or a peer that is dead would live for as long as timers
		// are late.
		m.pong = pongExtended
		m.beat = now + tm.timeout
	case tm.clientPings || m.pong != pongNone:
		return m.end(PingTimeout, nil)
	default:
		// Patience counts from when the PING was due, so that both sides agree on the
		// deadline however late the timer is, unless this process was stopped
		// for so long that no peer could answer in what is left.
		due := m.beat
		m.beat = due + tm.timeout
		if now-due > tm.timeout/2 {
			m.beat = now + tm.timeout
		}
		m.pong = pongAwaited
		e.do |= doPing
	}
	switch {
	case m.candidate == stageNone || now < m.upgradeBy:
	case now-m.upgradeBy > tm.upgrade/stopped:
		// As above: its client may believe that the switch is done. Not once only: there is
		// one candidate, and it ends with its session at the latest.
		m.upgradeBy = now + tm.upgrade
	default:
		m.candidate = stageNone
		e.do |= doDrop
	}
	if m.candidate == stageProbed && m.parked && now >= m.noopAt {
		e.do |= m.noop(now)
	}
	return e
}

// passes reports whether a packet of type t from the main transport is a message to
// deliver and nothing else. It saves asking for the time; packet would say the same.
func (m *machine) passes(t codec.PacketType) bool {
	return t == codec.Message && m.phase == phaseOpen && m.pong != pongAwaited
}

// packet is a valid packet from l. data is its content without the type.
func (m *machine) packet(now time.Duration, l link, t codec.PacketType, data []byte, tm *timing) effect {
	if m.phase == phaseClosed {
		return effect{}
	}
	if l == candidateLink {
		return m.candidatePacket(now, t, data)
	}
	if m.phase == phaseClosing {
		if t == codec.Close {
			return m.gone(doDiscard | doNoop)
		}
		return effect{}
	}
	if m.pong == pongAwaited && t != codec.Pong {
		// The peer is alive but its PONG is late, perhaps behind a large
		// message. Once only, or a peer that never answers would live for ever.
		m.pong = pongExtended
		m.beat = max(m.beat, now+tm.timeout)
	}
	switch t {
	case codec.Message:
		return effect{do: doDeliver}
	case codec.Ping:
		if !tm.clientPings {
			return m.end(TransportError, ErrHeartbeat)
		}
		m.pong = pongNone
		m.beat = now + tm.interval + tm.timeout
		return effect{do: doPong}
	case codec.Pong:
		if tm.clientPings {
			return m.end(TransportError, ErrHeartbeat)
		}
		m.pong = pongNone
		m.beat = now + tm.interval
	case codec.Close:
		return m.endQuietly(TransportClose, nil)
	}
	return effect{} // OPEN, UPGRADE and NOOP mean nothing here and are ignored, as in the reference
}

func (m *machine) candidatePacket(now time.Duration, t codec.PacketType, data []byte) effect {
	switch {
	case m.candidate == stageNone || m.candidate == stagePending:
		return effect{}
	case t == codec.Ping && string(data) == "probe":
		if m.candidate == stageOpened {
			m.candidate = stageProbed
			m.noopAt = now + noopEvery
		}
		return effect{do: doProbe}
	case t == codec.Upgrade && m.posting:
		// A client that follows the protocol has no request open now. Wait for
		// the POST, so that its messages come before those on the WebSocket.
		m.candidate = stagePending
		return effect{do: doHold}
	case t == codec.Upgrade:
		return m.upgrade()
	}
	return m.drop()
}

// upgrade makes the candidate the main transport.
func (m *machine) upgrade() effect {
	e := effect{do: doSwitch}
	m.candidate = stageNone
	m.transport = m.target
	if m.parked {
		e.do |= doNoop
	}
	if m.phase == phaseClosing {
		m.phase = phaseClosed
		e.do |= doShut | doRemove
	}
	return e
}

// drop gives the candidate up and keeps the session.
func (m *machine) drop() effect {
	if m.candidate == stageNone {
		return effect{}
	}
	m.candidate = stageNone
	return effect{do: doDrop}
}

// noop answers the parked poll and says when the next one may be answered. The
// driver reports with answered.
func (m *machine) noop(now time.Duration) action {
	m.noopAt = now + noopEvery
	return doNoop
}

// invalid is a packet from l that cannot be decoded.
func (m *machine) invalid(l link, err error) effect {
	if l == candidateLink {
		return m.drop()
	}
	if m.phase == phaseClosing {
		return effect{}
	}
	return m.end(ParseError, err)
}

// open is a second transport, t, that asks to become the main one. Only polling is ever
// left: no client can pause another transport, so messages would get lost.
func (m *machine) open(now time.Duration, t Transport, tm *timing) effect {
	if m.phase == phaseClosed || m.transport != Polling || m.candidate != stageNone {
		return effect{do: doRefuse}
	}
	m.candidate, m.target = stageOpened, t
	m.upgradeBy = now + tm.upgrade
	return effect{}
}

// lost is a transport that is gone.
func (m *machine) lost(l link, r Reason, err error) effect {
	if l == candidateLink {
		return m.drop()
	}
	if m.phase == phaseClosing {
		return m.gone(doDiscard)
	}
	return m.end(r, err)
}

// poll is a GET. buffered tells whether packets wait for it.
func (m *machine) poll(now time.Duration, buffered bool) effect {
	switch {
	case m.phase == phaseClosed || m.transport != Polling:
		return effect{do: doRefuse}
	case m.parked:
		e := m.lost(mainLink, TransportError, ErrPollOverlap)
		e.do |= doRefuse
		return e
	case buffered:
		return effect{do: doAnswer} // CLOSE has to wait for the next poll, see close
	case m.phase == phaseClosing:
		return m.gone(doAnswer)
	}
	m.parked = true
	if m.candidate == stageProbed && now >= m.noopAt {
		return effect{do: m.noop(now)}
	}
	return effect{}
}

// answered says that the parked poll is not parked any more.
func (m *machine) answered() { m.parked = false }

// post is the start of a POST.
func (m *machine) post() effect {
	switch {
	case m.phase == phaseClosed || m.transport != Polling:
		return effect{do: doRefuse}
	case m.posting:
		e := m.lost(mainLink, TransportError, ErrPostOverlap)
		e.do |= doRefuse
		return e
	}
	m.posting = true
	return effect{}
}

// aborted is the end of a parked poll whose client went away. One that waited while the
// session left polling says nothing about the transport that is in use now.
func (m *machine) aborted() effect {
	m.parked = false
	if m.transport != Polling {
		return effect{}
	}
	return m.lost(mainLink, TransportError, ErrPollAborted)
}

// posted is the end of a POST, all packets of which have been processed. err is not nil
// when it broke off; then the session is over, and with it a candidate that waits.
func (m *machine) posted(err error) effect {
	m.posting = false
	if err != nil {
		return m.lost(mainLink, TransportError, err)
	}
	if m.candidate == stagePending && m.phase != phaseClosed {
		return m.upgrade()
	}
	return effect{}
}

// hold says whether the application takes messages from this session.
func (m *machine) hold(now time.Duration, held bool, tm *timing) {
	if m.held && !held && (m.pong != pongNone || tm.clientPings) && m.phase == phaseOpen {
		m.beat = max(m.beat, now+tm.timeout)
	}
	m.held = held
}

// close ends the session in good order: what is buffered still goes out. On polling
// it goes out alone, and CLOSE with the poll after that: the official Socket.IO client
// handles a CLOSE before the messages of the same payload.
func (m *machine) close(now time.Duration, r Reason, buffered bool, tm *timing) effect {
	switch {
	case m.phase != phaseOpen:
		return effect{}
	case m.transport != Polling:
		m.phase = phaseClosed
		return effect{do: doShut | doEnd | doRemove, reason: r}
	case m.parked && !buffered:
		e := m.gone(doClosePoll | doEnd)
		e.reason = r
		return e
	}
	m.phase = phaseClosing
	m.beat = now + tm.linger
	return effect{do: doEnd, reason: r}
}

// discard ends the session at once.
func (m *machine) discard(r Reason) effect {
	if m.phase == phaseClosing {
		return m.gone(doDiscard)
	}
	return m.end(r, nil)
}

// end is the sudden end of an open session. A parked poll learns of it by a CLOSE
// packet.
func (m *machine) end(r Reason, err error) effect {
	if m.phase != phaseOpen {
		return effect{}
	}
	e := m.gone(doDiscard | doEnd | doClosePoll)
	e.reason, e.err = r, err
	return e
}

// endQuietly is end where the peer asked for it: a parked poll gets a NOOP.
func (m *machine) endQuietly(r Reason, err error) effect {
	if m.phase != phaseOpen {
		return effect{}
	}
	e := m.gone(doDiscard | doEnd | doNoop)
	e.reason, e.err = r, err
	return e
}

// gone leaves nothing behind.
func (m *machine) gone(do action) effect {
	if !m.parked {
		do &^= doNoop | doClosePoll
	} else if !do.has(doNoop | doClosePoll | doAnswer) {
		do |= doClosePoll
	}
	if m.candidate != stageNone {
		do |= doDrop
	}
	if m.transport != Polling {
		do |= doShut
	}
	m.phase, m.candidate = phaseClosed, stageNone
	return effect{do: do | doRemove}
}
