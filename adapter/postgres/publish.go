package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter/cluster"
)

// publisher sends the messages of one namespace: all that wait in one transaction, in
// their order, so that the next batch cannot overtake it.
type publisher struct {
	// immutable
	pool    *pgxpool.Pool
	channel string
	uid     string
	insert  string // SQL
}

const notifySQL = `SELECT pg_notify($1, $2)`

// insertSQL adds a row and tells of it, with one statement.
func insertSQL(table string) string {
	return `WITH a AS (INSERT INTO ` + table + ` (payload) VALUES ($1) RETURNING id) ` +
		`SELECT pg_notify($2, $3::text || a.id::text || $4::text) FROM a`
}

// publish implements the method Publish of [cluster.Driver].
func (p *publisher) publish(ctx context.Context, ps []cluster.Parcel) (settled, lost int, err error) {
	for settled < len(ps) {
		b, n := p.batch(ps[settled:])
		done, gone, err := p.send(ctx, b, ps[settled:settled+n])
		settled, lost = settled+done, lost+gone
		if err != nil {
			return settled, lost, err
		}
	}
	return settled, lost, nil
}

// batch makes statements of the first n parcels.
//
// Of several equal notifications of one transaction, two clients' acknowledgements for
// instance, PostgreSQL delivers only one; so blanks, which mean nothing in JSON, make
// them different. A batch ends before one without room for that.
func (p *publisher) batch(ps []cluster.Parcel) (b *pgx.Batch, n int) {
	b = new(pgx.Batch)
	var times map[string]int
	if len(ps) > 1 {
		times = make(map[string]int, len(ps))
	}
	for i := range ps {
		if ps[i].Format == cluster.Msgpack {
			p.queueRow(b, &ps[i])
			continue
		}
		text := string(ps[i].Data)
		if times != nil {
			k := times[text]
			times[text]++
			if k > 0 {
				if text += blanks(k); len(text) >= MaxPayload {
					return b, i
				}
			}
		}
		b.Queue(notifySQL, p.channel, text)
	}
	return b, len(ps)
}

func (p *publisher) queueRow(b *pgx.Batch, parcel *cluster.Parcel) {
	before, after := headerParts(p.uid, parcel.Type, parcel.Dest)
	b.Queue(p.insert, parcel.Data, p.channel, before, after)
}

// blank are the characters that JSON allows around a value.
const blank = " \t\n\r"

// blanks returns a text of blanks that is another one for each k > 0: its digits to
// base 4.
func blanks(k int) string {
	var b strings.Builder
	for ; k > 0; k /= len(blank) {
		b.WriteByte(blank[k%len(blank)])
	}
	return b.String()
}

// send executes a batch made of ps. What PostgreSQL refuses is found out by sending
// everything one by one.
func (p *publisher) send(ctx context.Context, b *pgx.Batch, ps []cluster.Parcel) (settled, lost int, err error) {
	err = p.exec(ctx, b)
	if verdict := judge(err); verdict != refused || len(ps) == 1 {
		return verdict.of(len(ps), err)
	}
	start := time.Now()
	var refusal error
	for i := range ps {
		if time.Since(start) > isolateFor {
			return i, lost, refusal
		}
		b, _ := p.batch(ps[i : i+1])
		err := p.exec(ctx, b)
		n, gone, err := judge(err).of(1, err)
		lost += gone
		if err != nil {
			refusal = err
		}
		if n == 0 {
			return i, lost, err
		}
	}
	return len(ps), lost, refusal
}

// isolateFor bounds the time for sending one by one. It is less than the queue allows.
const isolateFor = time.Second

// exec executes a batch, in one transaction.
func (p *publisher) exec(ctx context.Context, b *pgx.Batch) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return &unsentError{err}
	}
	defer conn.Release()
	return conn.SendBatch(ctx, b).Close()
}

// unsentError wraps the reason why there was no connection to send with.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// verdict is what has become of a transaction.
type verdict uint8

const (
	committed  verdict = iota
	rolledBack         // or never sent: it can be tried again
	refused            // rolled back, and will be when tried again
	unknown            // perhaps committed
)

// of expresses the verdict about n parcels in the terms of [cluster.Driver].
func (v verdict) of(n int, err error) (settled, lost int, _ error) {
	switch v {
	case committed:
		return n, 0, nil
	case rolledBack:
		return 0, 0, err
	}
	return n, n, err
}

// judge sorts out errors.
func judge(err error) verdict {
	if err == nil {
		return committed
	}
	if _, ok := errors.AsType[*unsentError](err); ok || pgconn.SafeToRetry(err) {
		return rolledBack
	}
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return unknown
	}
	// An error comes instead of the confirmation of the commit.
	switch pe.Code[:min(2, len(pe.Code))] {
	case "08", // connection exception
		"25", // a standby is read only
		"40", // rolled back because of others
		"53", // insufficient resources
		"54", // queue of notifications full
		"55", // a lock not available
		"57", // shutdown, cancelled
		"58": // system error
		return rolledBack
	}
	return refused
}
