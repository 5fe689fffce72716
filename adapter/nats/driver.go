package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"

	natsgo "github.com/nats-io/nats.go"

	"github.com/epio-go/epio/adapter/cluster"
)

// driver is the cluster.Driver of one namespace.
type driver struct {
	// immutable, as all that Open sets
	conns  *conns
	prefix string
	mode   RoomMode
	a      *cluster.Adapter
	conn   *conn // nil when Open could not make one
	in     *inbox
	subjects
	done sync.WaitGroup

	number   uint32  // owned by Publish: of the last message sent in parts
	parts    parts   // owned by receive
	barriers barrier // see there

	subs subscriptions

	log *log // nil without recovery
}

var (
	_ cluster.Driver         = (*driver)(nil)
	_ cluster.RoomSubscriber = rooms{}
)

func newDriver(cs *conns, prefix string, mode RoomMode) *driver {
	return &driver{conns: cs, prefix: prefix, mode: mode}
}

// Open implements [cluster.Driver].
func (d *driver) Open(ctx context.Context, a *cluster.Adapter) (err error) {
	d.a = a
	d.subjects = newSubjects(d.prefix, a.Namespace())
	d.in = newInbox()
	if d.conn, err = d.conns.open(d); err != nil {
		return err
	}
	d.done.Go(func() { d.in.run(d.receive) })
	var begun <-chan error
	if d.log != nil {
		begun = d.log.start(d)
	}
	if err := d.subs.add(d.conn, d.all, d.node(a.UID())); err != nil {
		return err
	}
	if err := d.conn.flush(ctx); err != nil {
		return fmt.Errorf("adapter/nats: not connected yet: %w", errors.Join(err, d.conn.nc.LastError()))
	}
	if begun == nil {
		return nil
	}
	select {
	case err := <-begun:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements [cluster.Driver].
func (d *driver) Close(ctx context.Context) error {
	if d.conn == nil {
		return nil
	}
	d.subs.removeAll()
	var err error
	if d.conn.nc.IsConnected() {
		// Nobody sends any more what nobody hears.
		err = d.conn.flush(ctx)
	}
	if d.log != nil {
		d.log.end()
	}
	d.in.close()
	d.done.Wait()
	d.conns.close(d)
	return err
}

// Encode implements [cluster.Driver].
func (d *driver) Encode(m *cluster.Message) (cluster.Parcel, error) {
	p := cluster.Parcel{Dest: d.all, Format: cluster.Msgpack}
	if d.log != nil && m.InLog() {
		return d.log.encode(m)
	}
	switch {
	case m.To != "":
		p.Dest = d.node(m.To)
	case m.Type == cluster.Broadcast && m.RequestID == "" && len(m.Opts.Rooms) == 1 && d.hasSubject(m.Opts.Rooms[0]):
		p.Dest = d.room(m.Opts.Rooms[0])
	}
	b, err := m.EncodeAs(cluster.Msgpack)
	if err != nil {
		return p, err
	}
	if len(b) >= maxMessage {
		return p, errTooLarge
	}
	p.Data = append(make([]byte, 0, 1+len(b)), whole)
	p.Data = append(p.Data, b...)
	return p, nil
}

// Publish implements [cluster.Driver].
func (d *driver) Publish(ctx context.Context, ps []cluster.Parcel) (settled, lost int, err error) {
	if d.conn == nil {
		return 0, 0, errAway
	}
	return d.conn.publish(ctx, d, ps)
}

// receive handles one message. It is called by the inbox's goroutine.
func (d *driver) receive(m *item) {
	var err error
	if m.offset == "" {
		err = d.frame(m.data)
	} else {
		err = d.log.receive(d, m)
	}
	if err != nil {
		d.a.Malformed(m.subject, err)
	}
}

// frame handles what has come, or what was put together of parts.
func (d *driver) frame(p []byte) error {
	if len(p) == 0 {
		return errVersion
	}
	switch p[0] {
	case whole:
		m, err := decode(p)
		if err != nil {
			return err
		}
		d.a.Receive(m)
		return nil
	case part:
		b, err := d.parts.add(p)
		if err != nil || b == nil {
			return err
		}
		if b[0] == part {
			return errMalformed
		}
		return d.frame(b)
	case entry:
		// Its sender found no log.
		m, _, err := decodeEntry(nil, d.a.Namespace(), p)
		if err != nil {
			return err
		}
		d.a.Receive(m)
		return nil
	case ask, answer:
		return d.barriers.receive(d, p)
	}
	return errVersion
}

// decode decodes a whole message.
func decode(p []byte) (*cluster.Message, error) {
	m, err := cluster.Decode(p[1:])
	if err != nil {
		return nil, err
	}
	// It becomes a part of the subject of answers.
	if !isToken(m.UID) {
		return nil, errMalformed
	}
	return m, nil
}

// hasSubject reports whether a room has a subject.
func (d *driver) hasSubject(room string) bool {
	switch d.mode {
	case AllRooms:
		return true
	case PublicRooms:
		return len(room) != 20
	}
	return false
}

// rooms is a driver with subjects for rooms.
type rooms struct{ *driver }

// HasChannel implements [cluster.RoomSubscriber].
func (d rooms) HasChannel(room string) bool { return d.hasSubject(room) }

// Rooms implements [cluster.RoomSubscriber].
func (d rooms) Rooms(ctx context.Context, subscribe, unsubscribe []string) error {
	if d.conn == nil {
		return errAway
	}
	for _, room := range unsubscribe {
		d.subs.remove(d.room(room))
	}
	subjects := make([]string, len(subscribe))
	for i, room := range subscribe {
		subjects[i] = d.room(room)
	}
	if err := d.subs.add(d.conn, subjects...); err != nil {
		return err
	}
	if err := d.conn.flush(ctx); err != nil || len(subscribe) == 0 {
		return err
	}
	return d.barriers.pass(ctx, d.driver)
}

// subscriptions are those of one namespace. The library makes them again after it
// reconnected.
type subscriptions struct {
	mu  sync.Mutex
	all map[string]*natsgo.Subscription // guarded by mu; by subject
}

// add subscribes to what is not subscribed to yet.
func (ss *subscriptions) add(c *conn, subjects ...string) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.all == nil {
		ss.all = make(map[string]*natsgo.Subscription)
	}
	for _, subject := range subjects {
		if ss.all[subject] != nil {
			continue
		}
		s, err := c.nc.ChanSubscribe(subject, c.in)
		if err != nil {
			return err
		}
		ss.all[subject] = s
	}
	return nil
}

func (ss *subscriptions) remove(subject string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.all[subject]; s != nil {
		_ = s.Unsubscribe() // fails when the connection is closed
		delete(ss.all, subject)
	}
}

func (ss *subscriptions) removeAll() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.all {
		_ = s.Unsubscribe()
	}
	clear(ss.all)
}
