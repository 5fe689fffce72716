package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sessionShare is the part of the log's size that sessions may have besides.
const sessionShare = 4

// sessions returns the bucket of the sessions, made if there is none.
func (l *log) sessions(ctx context.Context, c *conn) (jetstream.KeyValue, error) {
	kv, err := c.js.KeyValue(ctx, l.bucket)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	return c.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:      l.bucket,
		Description: "epio: sessions of clients that are away",
		TTL:         max(l.c.MaxDisconnection, time.Second),
		MaxBytes:    l.o.MaxBytes / sessionShare,
		Storage:     l.o.storage(),
		Replicas:    l.o.Replicas,
	})
}

// key returns the key of a session: pids come from clients, and may be anything.
func (d *driver) key(pid string) string { return token(d.a.Namespace()) + "." + token(pid) }

// StoreSession implements [cluster.LogDriver]. The bucket forgets it in time.
func (d logged) StoreSession(ctx context.Context, pid string, p []byte, _ time.Duration) error {
	if d.conn == nil {
		return errAway
	}
	kv, err := d.driver.log.sessions(ctx, d.conn)
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, d.key(pid), p)
	return err
}

// TakeSession implements [cluster.LogDriver]. Who deletes the revision that it has read
// has it alone.
func (d logged) TakeSession(ctx context.Context, pid string) ([]byte, error) {
	if d.conn == nil {
		return nil, errAway
	}
	kv, err := d.driver.log.sessions(ctx, d.conn)
	if err != nil {
		return nil, err
	}
	for {
		e, err := kv.Get(ctx, d.key(pid))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		err = kv.Delete(ctx, d.key(pid), jetstream.LastRevision(e.Revision()))
		if err == nil {
			return e.Value(), nil
		}
		if !wrongRevision(err) {
			return nil, err
		}
		// Somebody else was faster, or stored a newer one.
	}
}

// wrongRevision reports whether a change was refused since there is a newer one.
func wrongRevision(err error) bool {
	e, ok := errors.AsType[jetstream.JetStreamError](err)
	if !ok || e.APIError() == nil {
		return false
	}
	switch e.APIError().ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return true
	}
	return false
}

// StoreSession implements [cluster.LogDriver].
func (d loggedRooms) StoreSession(ctx context.Context, pid string, p []byte, keep time.Duration) error {
	return d.l.StoreSession(ctx, pid, p, keep)
}

// TakeSession implements [cluster.LogDriver].
func (d loggedRooms) TakeSession(ctx context.Context, pid string) ([]byte, error) {
	return d.l.TakeSession(ctx, pid)
}
