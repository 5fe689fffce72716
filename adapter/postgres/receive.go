package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter/cluster"
)

// receiver handles the notifications of one namespace, in their order. It is owned by
// the inbox's goroutine.
type receiver struct {
	// immutable
	a     *cluster.Adapter
	pool  *pgxpool.Pool
	query string // SQL

	rows map[int64][]byte // fetched and not handled yet
}

func newReceiver(a *cluster.Adapter, pool *pgxpool.Pool, table string) *receiver {
	return &receiver{a: a, pool: pool, query: `SELECT id, payload FROM ` + table + ` WHERE id = ANY($1)`}
}

// Limits of fetching.
const (
	// fetchRows is how many rows are fetched at once, and held in memory.
	fetchRows = 16
	// fetchTry bounds one query, and fetchFor the time for which it is tried again; the
	// namespace's other messages wait meanwhile.
	fetchTry   = 2 * time.Second
	fetchFor   = 4 * time.Second
	fetchPause = 50 * time.Millisecond
)

// notification is one that has come: a message, or the header of one.
type notification struct {
	payload []byte
	header  *header
}

// receive handles payloads. It drops the rest when ctx ends.
func (r *receiver) receive(ctx context.Context, payloads []string) {
	ns := make([]notification, 0, len(payloads))
	for _, payload := range payloads {
		p := []byte(payload)
		if r.a.Own(bytes.TrimRight(p, blank)) {
			continue // our own, as often as not
		}
		h, err := parseHeader(p)
		if err != nil {
			r.malformed(err)
			continue
		}
		if h != nil && r.foreign(h) {
			continue
		}
		ns = append(ns, notification{p, h})
	}
	for i := range ns {
		if ctx.Err() != nil {
			return
		}
		if ns[i].header == nil {
			r.message(ns[i].payload)
			continue
		}
		r.attachment(ctx, ns[i:])
	}
	clear(r.rows)
}

// foreign reports whether the row of h is none of this server's business: its own, or an
// answer to somebody else. Answers of the reference do not say to whom they go.
func (r *receiver) foreign(h *header) bool {
	if h.uid == r.a.UID() {
		return true
	}
	switch {
	case h.to != "":
		return h.to != r.a.UID()
	case h.typ == cluster.FetchSocketsResponse, h.typ == cluster.ServerSideEmitResponse, h.typ == cluster.BroadcastAck:
		return !r.a.Asking()
	}
	return false
}

// message decodes and handles a message.
func (r *receiver) message(p []byte) {
	m, err := cluster.Decode(p)
	if err != nil {
		r.malformed(err)
		return
	}
	if m.Namespace == "" {
		// @socket.io/postgres-emitter does not say it, the channel does.
		m.Namespace = r.a.Namespace()
	}
	r.a.Receive(m)
}

func (r *receiver) malformed(err error) { r.a.Malformed("notification", err) }

// idle handles a message by its header alone if that shows that no client here gets it.
// Whether one does depends on the messages before it, so it is not asked earlier.
func (r *receiver) idle(h *header) bool {
	if h.typ != cluster.Broadcast || h.opts == nil || r.a.Index().HasReceivers(h.opts.Opts) {
		return false
	}
	r.a.Receive(&cluster.Message{
		Type: h.typ, UID: h.uid, Namespace: r.a.Namespace(), RequestID: h.requestID, Opts: h.opts.Opts,
	})
	return true
}

// attachment handles the first of ns, which is a header. Rows of those after it are
// fetched with its own.
func (r *receiver) attachment(ctx context.Context, ns []notification) {
	h := ns[0].header
	if r.idle(h) {
		return
	}
	p, ok := r.rows[h.id]
	if !ok {
		var ids []int64
		for _, n := range ns {
			if n.header == nil || n.header != h && n.header.opts != nil && !r.a.Index().HasReceivers(n.header.opts.Opts) {
				continue
			}
			if ids = append(ids, n.header.id); len(ids) == fetchRows {
				break
			}
		}
		var err error
		if r.rows, err = r.fetch(ctx, ids); err != nil {
			r.a.Report("adapter: message of another server lost with its attachment", err)
			// Not once more for each of those after it.
			r.rows = make(map[int64][]byte)
			for _, id := range ids {
				r.rows[id] = nil
			}
			return
		}
		if p, ok = r.rows[h.id]; !ok {
			r.a.Report("adapter: message of another server lost with its attachment",
				fmt.Errorf("adapter/postgres: no row %d", h.id))
			return
		}
	}
	delete(r.rows, h.id)
	if p != nil {
		r.message(p)
	}
}

// fetch reads rows, and tries again when it cannot.
func (r *receiver) fetch(ctx context.Context, ids []int64) (map[int64][]byte, error) {
	start := time.Now()
	for {
		rows, err := r.try(ctx, ids)
		if err == nil {
			return rows, nil
		}
		if _, ok := errors.AsType[*pgconn.PgError](err); ok && judge(err) == refused {
			return nil, err
		}
		if time.Since(start) > fetchFor {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(fetchPause):
		}
	}
}

func (r *receiver) try(ctx context.Context, ids []int64) (map[int64][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTry)
	defer cancel()
	rows, err := r.pool.Query(ctx, r.query, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[int64][]byte, len(ids))
	var id int64
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &payload}, func() error {
		if payload == nil {
			payload = []byte{}
		}
		found[id] = payload
		payload = nil
		return nil
	})
	return found, err
}
