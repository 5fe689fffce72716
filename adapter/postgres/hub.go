package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter/cluster"
)

// Waiting times of the connection that listens.
const (
	// pingEvery is after how much silence it is tried, and commandWait how long
	// PostgreSQL may take to answer that, and anything else.
	pingEvery   = time.Second
	commandWait = 4 * time.Second

	connectWait = 5 * time.Second
	firstPause  = 50 * time.Millisecond
	lastPause   = 2 * time.Second
)

// hubs makes the hub of a factory's namespaces: one at a time, which is closed with the
// last of them.
type hubs struct {
	// immutable
	pool *pgxpool.Pool
	o    Options

	mu    sync.Mutex
	users int  // guarded by mu: namespaces
	hub   *hub // guarded by mu; nil without users
}

// open returns what a namespace works with until it calls close.
func (hs *hubs) open() *hub {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.hub == nil {
		hs.hub = newHub(hs.pool, hs.o)
	}
	hs.users++
	return hs.hub
}

func (hs *hubs) close() {
	hs.mu.Lock()
	hs.users--
	h := hs.hub
	if hs.users > 0 {
		hs.mu.Unlock()
		return
	}
	hs.hub = nil
	hs.mu.Unlock()
	h.close()
}

// hub holds the connection that listens, for all namespaces of a factory. It makes
// another one when it breaks.
type hub struct {
	// immutable
	pool *pgxpool.Pool
	o    Options
	ctx  context.Context
	stop context.CancelFunc
	done sync.WaitGroup

	tableReady bool // owned by run

	mu        sync.Mutex
	subs      []*subscription    // guarded by mu; not changed in place
	interrupt context.CancelFunc // guarded by mu: ends the wait for notifications
	tableErr  error              // guarded by mu: why the table could not be created
}

// subscription is one namespace's.
type subscription struct {
	// immutable
	a       *cluster.Adapter
	channel string
	put     func(payload string) // may wait
	again   func()               // called after a time without
	placed  chan struct{}        // closed when PostgreSQL has confirmed it the first time

	ready bool // guarded by hub.mu: placed is closed
	late  bool // guarded by hub.mu: nobody waits for that
}

func newHub(pool *pgxpool.Pool, o Options) *hub {
	ctx, stop := context.WithCancel(context.Background())
	h := &hub{pool: pool, o: o, ctx: ctx, stop: stop}
	h.done.Go(h.run)
	if o.CleanupInterval > 0 {
		h.done.Go(h.cleanUp)
	}
	return h
}

// close ends everything. There are no subscriptions any more.
func (h *hub) close() {
	h.stop()
	h.done.Wait()
}

// add subscribes and returns when PostgreSQL has confirmed it. When ctx ends before
// that, the subscription stays and will be in place some time.
func (h *hub) add(ctx context.Context, s *subscription) error {
	h.mu.Lock()
	h.subs = append(h.subs[:len(h.subs):len(h.subs)], s)
	h.changedLocked()
	h.mu.Unlock()
	select {
	case <-s.placed:
	case <-ctx.Done():
		h.mu.Lock()
		defer h.mu.Unlock()
		s.late = true
		return errors.Join(context.Cause(ctx), h.tableErr)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tableErr
}

// remove unsubscribes. It does not wait: what still comes is dropped.
func (h *hub) remove(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs = slices.DeleteFunc(slices.Clone(h.subs), func(o *subscription) bool { return o == s })
	h.changedLocked()
}

func (h *hub) changedLocked() {
	if h.interrupt != nil {
		h.interrupt()
	}
}

func (h *hub) subscriptions() []*subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subs
}

// report logs in the name of one of the namespaces.
func (h *hub) report(msg string, err error) {
	if subs := h.subscriptions(); len(subs) > 0 && h.ctx.Err() == nil {
		subs[0].a.Report(msg, err)
	}
}

// run listens until close, on one connection after the other.
func (h *hub) run() {
	pause := firstPause
	for h.ctx.Err() == nil {
		start := time.Now()
		conn, err := h.connect()
		if err != nil {
			h.report("adapter: no connection to postgres", err)
		} else {
			err = h.listen(conn)
			h.report("adapter: connection to postgres lost, and what others sent meanwhile", err)
			closeConn(conn)
		}
		if time.Since(start) > 10*time.Second {
			pause = firstPause
		}
		// Not all servers at the same time.
		select {
		case <-h.ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, lastPause)
	}
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it may be broken
}

// connect makes a connection like the pool makes them.
func (h *hub) connect() (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(h.ctx, connectWait)
	defer cancel()
	pc := h.pool.Config()
	cc := pc.ConnConfig
	if h.o.Listen != nil {
		cc = h.o.Listen.Copy()
	} else if pc.BeforeConnect != nil {
		if err := pc.BeforeConnect(ctx, cc); err != nil {
			return nil, err
		}
	}
	cc.OnNotification = nil // pgx keeps them for WaitForNotification
	// The end of a context ends a wait for notifications, nothing more.
	cc.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, err
	}
	if h.o.Listen == nil && pc.AfterConnect != nil {
		if err := pc.AfterConnect(ctx, conn); err != nil {
			closeConn(conn)
			return nil, err
		}
	}
	return conn, nil
}

// listen hands out what comes on a connection, until that breaks.
func (h *hub) listen(conn *pgx.Conn) error {
	if err := h.prepareTable(conn); err != nil {
		return err
	}
	listening := make(map[string]bool)
	for {
		ctx, cancel := context.WithTimeout(h.ctx, pingEvery)
		h.mu.Lock()
		h.interrupt = cancel
		subs := h.subs
		h.mu.Unlock()
		err := h.follow(conn, listening, subs)
		if err == nil {
			err = h.receive(ctx, conn)
		}
		cancel()
		if err != nil {
			return err
		}
	}
}

// follow listens to the channels of subs, and no others. It tells the subscriptions
// whose channel is new.
func (h *hub) follow(conn *pgx.Conn, listening map[string]bool, subs []*subscription) error {
	var sql strings.Builder
	wanted := make(map[string]bool, len(subs))
	for _, s := range subs {
		if !listening[s.channel] && !wanted[s.channel] {
			sql.WriteString("LISTEN " + pgx.Identifier{s.channel}.Sanitize() + ";")
		}
		wanted[s.channel] = true
	}
	for ch := range listening {
		if !wanted[ch] {
			sql.WriteString("UNLISTEN " + pgx.Identifier{ch}.Sanitize() + ";")
		}
	}
	if sql.Len() > 0 {
		if err := h.exec(conn, sql.String()); err != nil {
			return err
		}
	}
	var again []*subscription
	h.mu.Lock()
	for _, s := range subs {
		switch {
		case !s.ready:
			s.ready = true
			close(s.placed)
			if s.late {
				again = append(again, s)
			}
		case !listening[s.channel]:
			again = append(again, s)
		}
	}
	h.mu.Unlock()
	for _, s := range again {
		s.again()
	}
	clear(listening)
	for ch := range wanted {
		listening[ch] = true
	}
	return nil
}

func (h *hub) exec(conn *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(h.ctx, commandWait)
	defer cancel()
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// receive hands out notifications until ctx ends. When none came, it sees whether the
// connection is alive.
func (h *hub) receive(ctx context.Context, conn *pgx.Conn) error {
	heard := false
	for {
		n, err := conn.WaitForNotification(ctx)
		if n != nil {
			heard = true
			h.dispatch(n)
		}
		switch {
		case err == nil:
			continue
		case h.ctx.Err() != nil || ctx.Err() == nil || conn.IsClosed():
			return err
		case heard || errors.Is(ctx.Err(), context.Canceled):
			return nil
		}
		return h.exec(conn, "-- ping")
	}
}

func (h *hub) dispatch(n *pgconn.Notification) {
	for _, s := range h.subscriptions() {
		if s.channel == n.Channel {
			s.put(n.Payload)
		}
	}
}
