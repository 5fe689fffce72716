package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/emitter"
)

// NewEmitter returns an emitter for servers with [New] and the same options, or
// createAdapter of @socket.io/postgres-adapter. Of the options, ChannelPrefix, TableName
// and PayloadThreshold are used; the table must exist for what goes through it. The pool
// stays the application's and must outlive the emitter. For a namespace whose channel
// would not have a name, errors wrap [ErrChannelName].
//
// What PostgreSQL may have committed is not sent again. It panics as New does.
func NewEmitter(pool *pgxpool.Pool, o Options) *emitter.Emitter {
	o.check(pool)
	return emitter.New(&sender{pool: pool, o: o, insert: insertSQL(o.TableName)})
}

// sender is the driver of emitters.
type sender struct {
	// immutable
	pool   *pgxpool.Pool
	o      Options
	insert string // SQL
}

// Encode implements [emitter.Driver].
func (s *sender) Encode(m *cluster.Message) (cluster.Parcel, error) {
	if _, err := s.o.channel(m.Namespace); err != nil {
		return cluster.Parcel{}, err
	}
	return s.o.encode(m)
}

// Publish implements [emitter.Driver].
func (s *sender) Publish(ctx context.Context, m *cluster.Message, p cluster.Parcel) error {
	channel, err := s.o.channel(m.Namespace)
	if err != nil {
		return err
	}
	pub := publisher{pool: s.pool, channel: channel, uid: m.UID, insert: s.insert}
	_, _, err = pub.publish(ctx, []cluster.Parcel{p})
	return err
}
