package eio

import (
	"fmt"
	"hash/maphash"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/epio-go/epio/internal/gcra"
)

// Defaults of Admission.
const (
	DefaultIPv6Bits     = 64
	DefaultMaxAddresses = 1 << 16
)

// Rate is how often something may happen. The zero value is no limit.
type Rate struct {
	// PerSecond is the average, over a long time. At most 1e9.
	PerSecond float64
	// Burst is how many may come at once after a pause. Default: PerSecond,
	// rounded up.
	Burst int
}

// Normalize fills in the default and returns what is wrong, or "".
func (r *Rate) Normalize() string {
	switch p := r.PerSecond; {
	case p < 0 || math.IsNaN(p) || p > 1e9:
		return fmt.Sprintf("%v a second is not between 0 and 1e9", p)
	case r.Burst < 0:
		return fmt.Sprintf("burst %d is negative", r.Burst)
	case r.Burst == 0:
		r.Burst = int(math.Ceil(p))
	}
	return ""
}

// Admission bounds handshakes. The zero value has no limits. A handshake is judged once its
// request is known to be valid, before AllowRequest is asked and before there is a session;
// requests of sessions that exist are never refused. What is refused gets code 8 and
// HTTP 429 when it is for its address, code 9 and HTTP 503 when it is for the server, with Retry-After
// where a time is known. The official client ignores that header and tries again by its own backoff.
//
// An address is the client's IPv4 address, or the network of its IPv6 address. Clients
// without one, on Unix sockets for example, have no limits of their own.
type Admission struct {
	// ConnsPerAddress bounds the sessions of one address. 0 means no limit.
	ConnsPerAddress int
	// HandshakesPerAddress bounds how often an address may open a session.
	HandshakesPerAddress Rate
	// Handshakes bounds how often all of them together may, so that a wave of
	// reconnecting clients comes in at the pace that the application can take.
	Handshakes Rate
	// Overloaded, if not nil, is asked before each handshake, for how long the server does not want any
	// more; 0 lets it in. It may block and runs on the goroutine of the request.
	Overloaded func() time.Duration

	// Proxies lists the networks of reverse proxies. For a request from one of them, the
	// address is the last in AddressHeader that is no proxy's itself. A peer without an address, on a Unix
	// socket, counts as a proxy if there are any. Default: the peer's address counts, and headers, which
	// anybody can send, do not.
	Proxies []netip.Prefix
	// AddressHeader has the addresses of client and proxies, in this order. Default
	// "X-Forwarded-For".
	AddressHeader string
	// ClientAddr tells the address instead; an invalid one is not limited. It may block and
	// runs on the goroutine of the request.
	ClientAddr func(r *http.Request) netip.Addr

	// IPv6Bits is the length of the prefix that is one IPv6 client. Default 64: that is what a
	// customer gets at least, and can change addresses in.
	IPv6Bits int
	// MaxAddresses bounds the addresses that are remembered beside those with sessions. Beyond
	// it those are forgotten that matter least. Default 65,536, of some 60 bytes each.
	MaxAddresses int
}

// normalize fills in defaults and returns pairs of field and problem.
func (a *Admission) normalize() (problems [][2]string) {
	bad := func(field, format string, args ...any) {
		problems = append(problems, [2]string{field, fmt.Sprintf(format, args...)})
	}
	if a.ConnsPerAddress < 0 {
		bad("ConnsPerAddress", "%d is negative", a.ConnsPerAddress)
	}
	if p := a.HandshakesPerAddress.Normalize(); p != "" {
		bad("HandshakesPerAddress", "%s", p)
	}
	if p := a.Handshakes.Normalize(); p != "" {
		bad("Handshakes", "%s", p)
	}
	for _, p := range a.Proxies {
		if !p.IsValid() {
			bad("Proxies", "holds an invalid prefix")
		}
	}
	a.Proxies = slices.Clone(a.Proxies)
	if a.AddressHeader == "" {
		a.AddressHeader = "X-Forwarded-For"
	}
	if a.IPv6Bits == 0 {
		a.IPv6Bits = DefaultIPv6Bits
	}
	if a.IPv6Bits < 0 || a.IPv6Bits > 128 {
		bad("IPv6Bits", "%d is not between 1 and 128", a.IPv6Bits)
	}
	if a.MaxAddresses == 0 {
		a.MaxAddresses = DefaultMaxAddresses
	}
	if a.MaxAddresses < 0 {
		bad("MaxAddresses", "%d is negative", a.MaxAddresses)
	}
	return problems
}

// on reports whether there is anything to check.
func (a *Admission) on() bool {
	return a.perAddress() || a.Handshakes.PerSecond > 0 || a.Overloaded != nil
}

func (a *Admission) perAddress() bool {
	return a.ConnsPerAddress > 0 || a.HandshakesPerAddress.PerSecond > 0
}

// hooked reports whether a handshake needs user code.
func (a *Admission) hooked() bool {
	return a.Overloaded != nil || a.ClientAddr != nil && a.perAddress()
}

// admission applies an Admission.
type admission struct {
	// immutable
	cfg        Admission
	rate       gcra.Limit
	ratePer    gcra.Limit
	seed       maphash.Seed
	perShard   int
	handshakes gcra.Shared
	shards     [16]addressShard

	mu sync.Mutex
	// guarded by mu
	sessions map[*Session]netip.Addr // to know whose place is free again
}

// addressShard knows some of the addresses.
type addressShard struct {
	mu sync.Mutex
	m  map[netip.Addr]address
}

// address is what is known of one.
type address struct {
	bucket gcra.Bucket
	conns  int32 // sessions, and handshakes on their way to be one
}

func newAdmission(cfg Admission) *admission {
	if !cfg.on() {
		return nil
	}
	a := &admission{
		cfg:      cfg,
		rate:     gcra.New(cfg.Handshakes.PerSecond, cfg.Handshakes.Burst),
		ratePer:  gcra.New(cfg.HandshakesPerAddress.PerSecond, cfg.HandshakesPerAddress.Burst),
		seed:     maphash.MakeSeed(),
		sessions: make(map[*Session]netip.Addr),
	}
	a.perShard = max(cfg.MaxAddresses/len(a.shards), 1)
	for i := range a.shards {
		a.shards[i].m = make(map[netip.Addr]address)
	}
	return a
}

// isProxy reports whether the peer is a proxy of ours.
func (a *Admission) isProxy(peer netip.Addr) bool {
	if len(a.Proxies) == 0 {
		return false
	}
	if !peer.IsValid() {
		return true
	}
	peer = peer.Unmap().WithZone("")
	for _, p := range a.Proxies {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// of returns the address that r counts for.
func (a *Admission) of(r *http.Request) netip.Addr {
	if !a.perAddress() {
		return netip.Addr{}
	}
	if a.ClientAddr != nil {
		return a.key(a.ClientAddr(r))
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	addr := peer.Addr()
	if !a.isProxy(addr) {
		return a.key(addr)
	}
	list := strings.Join(r.Header[http.CanonicalHeaderKey(a.AddressHeader)], ",")
	for list != "" {
		i := strings.LastIndexByte(list, ',')
		hop, ok := parseHop(list[i+1:])
		if !ok {
			break // the address so far is the last that one of ours has seen
		}
		addr = hop
		if !a.isProxy(addr) {
			break
		}
		list = list[:max(i, 0)]
	}
	return a.key(addr)
}

// parseHop parses one entry: an address, with brackets and port as some proxies have it.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr(), true
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr, err == nil
}

// key returns what stands for all addresses of the same client.
func (a *Admission) key(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(a.IPv6Bits); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// peerAddr returns the address of a connection's peer.
func peerAddr(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr()
	}
	return netip.Addr{}
}

// lease is a place for a session. The zero value is none.
type lease struct {
	a    *admission // nil: nothing to give back
	addr netip.Addr
}

// admit judges a handshake from addr. The lease is for enter or release.
func (srv *Server) admit(addr netip.Addr) (lease, *failure) {
	a := srv.admission
	if a.cfg.Overloaded != nil {
		if d := a.cfg.Overloaded(); d > 0 {
			return lease{}, &failure{code: CodeBusy, context: ErrorContext{Name: "OVERLOADED"}, retry: d}
		}
	}
	l := lease{}
	if addr.IsValid() {
		wait, ok := a.take(addr, srv.now())
		if !ok {
			return l, &failure{code: CodeTooManyRequests, context: ErrorContext{Name: "ADDRESS_CONNECTIONS", Address: addr.String()}}
		}
		if wait > 0 {
			return l, &failure{code: CodeTooManyRequests, context: ErrorContext{Name: "ADDRESS_RATE", Address: addr.String()}, retry: wait}
		}
		l = lease{a, addr}
	}
	// Last, so that an address over its limits takes nothing from the others.
	if wait := a.handshakes.Take(a.rate, srv.now()); wait > 0 {
		l.release()
		return lease{}, &failure{code: CodeBusy, context: ErrorContext{Name: "HANDSHAKE_RATE"}, retry: wait}
	}
	return l, nil
}

func (a *admission) shard(addr netip.Addr) *addressShard {
	return &a.shards[maphash.Comparable(a.seed, addr)%uint64(len(a.shards))]
}

// take counts a handshake of addr. ok is false when it has all the sessions it may
// have; wait is how long it has to wait.
func (a *admission) take(addr netip.Addr, now time.Duration) (wait time.Duration, ok bool) {
	sh := a.shard(addr)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, known := sh.m[addr]
	if limit := a.cfg.ConnsPerAddress; limit > 0 && int(e.conns) >= limit {
		return 0, false
	}
	if wait = e.bucket.Take(a.ratePer, now); wait > 0 {
		return wait, true
	}
	if !known {
		sh.tidyLocked(now, a.perShard)
	}
	e.conns++
	sh.m[addr] = e
	return 0, true
}

// tidyLocked makes room for one more address. It looks at a few only, which are
// others every time.
func (sh *addressShard) tidyLocked(now time.Duration, limit int) {
	looks := 2
	full := len(sh.m) >= limit
	if full {
		looks = 8
	}
	var victim netip.Addr
	var least gcra.Bucket
	gone := false
	for addr, e := range sh.m {
		if looks--; looks < 0 {
			break
		}
		switch {
		case e.conns > 0:
		case e.bucket.Full(now), len(sh.m) > limit:
			delete(sh.m, addr)
			gone = true
		case !victim.IsValid() || e.bucket < least:
			victim, least = addr, e.bucket
		}
	}
	if full && !gone && victim.IsValid() {
		delete(sh.m, victim)
	}
}

// release gives the place back.
func (l lease) release() {
	if l.a == nil {
		return
	}
	sh := l.a.shard(l.addr)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.m[l.addr]
	if e.conns--; e.conns == 0 && !l.a.ratePer.On() {
		delete(sh.m, l.addr)
		return
	}
	sh.m[l.addr] = e
}

// giveBack releases the place of a handshake that has failed, before that is answered: the
// client may come again at once.
func (c *checked) giveBack() {
	c.lease.release()
	c.lease = lease{}
}

// enter gives the place to s, which has it until leave.
func (l lease) enter(s *Session) {
	if l.a == nil {
		return
	}
	l.a.mu.Lock()
	l.a.sessions[s] = l.addr
	l.a.mu.Unlock()
}

// leave frees the place of s. It may be called more than once.
func (a *admission) leave(s *Session) {
	a.mu.Lock()
	addr, ok := a.sessions[s]
	delete(a.sessions, s)
	a.mu.Unlock()
	if ok {
		lease{a, addr}.release()
	}
}

// addresses returns how many addresses are remembered.
func (a *admission) addresses() int {
	n := 0
	for i := range a.shards {
		sh := &a.shards[i]
		sh.mu.Lock()
		n += len(sh.m)
		sh.mu.Unlock()
	}
	return n
}
