package nats

import (
	"context"
	"errors"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/emitter"
)

// EmitterOptions are those of the servers that matter to an emitter. The zero value is for
// servers with the zero Options.
type EmitterOptions struct {
	// Prefix is [Options.Prefix].
	Prefix string
	// Rooms is [Options.Rooms].
	Rooms RoomMode
	// Log says that the servers offer connection state recovery: what belongs to their
	// log is kept there, so that clients which come back catch up with it.
	Log bool
}

// NewEmitter returns an emitter for servers with [New]. The connection stays the
// application's and must outlive the emitter. A message to a NATS that is away is an error;
// with a connection that buffers while it reconnects, it may be sent later nevertheless
// (natsgo.ReconnectBufSize(-1) does without). Contexts without a deadline end after 5 s.
//
// An error says what is wrong with the options.
func NewEmitter(nc *natsgo.Conn, o EmitterOptions) (*emitter.Emitter, error) {
	all := Options{Prefix: o.Prefix, Rooms: o.Rooms}
	if _, err := all.check(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return emitter.New(&sender{nc: nc, js: js, prefix: all.Prefix, mode: all.Rooms, log: o.Log}), nil
}

// sender is the driver of emitters.
type sender struct {
	// immutable
	nc     *natsgo.Conn
	js     jetstream.JetStream
	prefix string
	mode   RoomMode
	log    bool
}

// Encode implements [emitter.Driver].
func (s *sender) Encode(m *cluster.Message) (p cluster.Parcel, err error) {
	d := driver{mode: s.mode, subjects: newSubjects(s.prefix, m.Namespace)}
	if !s.log || !m.InLog() {
		return d.Encode(m)
	}
	p.Dest, p.Format = d.logged(), cluster.Msgpack
	data, err := m.EncodeDataAs(cluster.Msgpack)
	if err != nil {
		return p, err
	}
	if len(data) >= maxMessage-maxToken-3 {
		return p, errTooLarge
	}
	p.Data = append(appendUID(make([]byte, 0, 3+len(m.UID)+len(data)), entry, m.UID), byte(m.Type))
	p.Data = append(p.Data, data...)
	return p, nil
}

// publishWait bounds what the caller does not.
const publishWait = 5 * time.Second

// Publish implements [emitter.Driver].
func (s *sender) Publish(ctx context.Context, m *cluster.Message, p cluster.Parcel) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, publishWait)
		defer cancel()
	}
	publish := s.nc.Publish
	if p.Data[0] == entry {
		publish = func(subject string, b []byte) error {
			_, err := s.js.Publish(ctx, subject, b, jetstream.WithRetryAttempts(0))
			return err
		}
	}
	err := s.split(p.Data, func(b []byte) error { return publish(p.Dest, b) })
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		// Nobody keeps a log; servers then do without, too.
		all := newSubjects(s.prefix, m.Namespace).all
		err = s.split(p.Data, func(b []byte) error { return s.nc.Publish(all, b) })
	}
	if err != nil {
		return err
	}
	return s.nc.FlushWithContext(ctx)
}

// split publishes a frame, in parts if it is too large. Receivers tell the parts of
// different senders by their uid, which all emitters share; so each message gets one.
func (s *sender) split(frame []byte, publish func(b []byte) error) error {
	limit := s.nc.MaxPayload()
	if limit <= 0 || int64(len(frame)) <= limit {
		return publish(frame)
	}
	return split(cluster.NewID(), 1, frame, int(limit), publish)
}
