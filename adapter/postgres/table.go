package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// createLock is the number of the advisory lock that servers take while they create the
// table: "epio" in ASCII.
const createLock = "1701865839"

// prepareTable creates the table if that is wanted. Only an error of the connection is
// returned; what PostgreSQL has to say against the table is reported, since most
// messages do not need it.
func (h *hub) prepareTable(conn *pgx.Conn) error {
	if !h.o.CreateTable || h.tableReady {
		return nil
	}
	err := h.createTable(conn)
	if _, ok := errors.AsType[*pgconn.PgError](err); err != nil && !ok {
		return err
	}
	h.mu.Lock()
	h.tableErr = err
	h.mu.Unlock()
	if err != nil {
		h.report("adapter: table for attachments not created", err)
		return nil
	}
	h.tableReady = true
	return nil
}

func (h *hub) createTable(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(h.ctx, commandWait)
	defer cancel()
	// Whoever may not create tables may still use one that is there.
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, h.o.TableName).Scan(&there); err != nil || there {
		return err
	}
	// These statements are one transaction. Without the lock the second of two servers
	// may fail in spite of IF NOT EXISTS.
	_, err := conn.PgConn().Exec(ctx, `SELECT pg_advisory_xact_lock(`+createLock+`);
		CREATE TABLE IF NOT EXISTS `+h.o.TableName+` (
			id         bigserial UNIQUE,
			created_at timestamptz DEFAULT NOW(),
			payload    bytea
		);`).ReadAll()
	return err
}

// cleanUp deletes old rows of the table from time to time.
func (h *hub) cleanUp() {
	tick := time.NewTicker(h.o.CleanupInterval)
	defer tick.Stop()
	sql := `DELETE FROM ` + h.o.TableName + ` WHERE created_at < now() - $1::bigint * interval '1 microsecond'`
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(h.ctx, max(commandWait, h.o.CleanupInterval))
		_, err := h.pool.Exec(ctx, sql, h.o.CleanupInterval.Microseconds())
		cancel()
		if err != nil {
			h.report("adapter: old attachments not deleted", err)
		}
	}
}
