package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// JetStream says how JetStream keeps the log and the sessions of clients that are away.
// All servers need the same values. It must be on in NATS: a cluster of NATS servers needs
// three of them, and a mesh of embedded ones, which come and go, cannot have it.
type JetStream struct {
	// Replicas is how many NATS servers hold everything. Default 1.
	Replicas int
	// OnDisk keeps it on disk instead of in memory.
	OnDisk bool
	// MaxBytes bounds the log of all namespaces. Default 256 MiB.
	MaxBytes int64
}

// DefaultLogBytes is the default of JetStream.MaxBytes.
const DefaultLogBytes = 256 << 20

// Times of the log.
const (
	// jetWait bounds one request to JetStream.
	jetWait = 2 * time.Second
	// heartbeat is how often NATS says that a request for entries stands while there are none. Two that
	// do not come end the request.
	heartbeat = 1500 * time.Millisecond
	// idleConsumer is after how much silence JetStream forgets a reader.
	idleConsumer = 30 * time.Second
	// firstPause and lastPause are between attempts.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// fetchEntries is how many entries are read at once.
const fetchEntries = 256

// duplicates is a window of JetStream's that must not exceed the age of entries. Nothing
// is sent twice.
const duplicates = time.Minute

func (j *JetStream) storage() jetstream.StorageType {
	if j.OnDisk {
		return jetstream.FileStorage
	}
	return jetstream.MemoryStorage
}

// log is the reader of the log of one namespace, and what it needs to know.
//
// There is one stream for all namespaces, so that its limits bound them all. An offset is
// the time when the stream was made and the sequence in it: one that is lost with a NATS
// server and made again begins anew.
type log struct {
	// immutable, as all that start sets
	o      JetStream
	c      adapter.RecoveryConfig
	stream string
	bucket string
	// captured is the pattern of what the stream keeps: the subjects of all namespaces.
	captured string
	subject  string
	stop     context.CancelFunc
	done     sync.WaitGroup

	parts parts // owned by receive
}

// logged is a driver with a log.
type logged struct {
	*driver
	o JetStream
}

// loggedRooms has subjects for rooms as well: for packets that do not go into the log.
type loggedRooms struct {
	rooms
	l logged
}

var (
	_ cluster.LogDriver      = logged{}
	_ cluster.LogDriver      = loggedRooms{}
	_ cluster.RoomSubscriber = loggedRooms{}
)

// EnableRecovery implements [cluster.LogDriver].
func (d logged) EnableRecovery(c adapter.RecoveryConfig) {
	name := "SIO-" + d.prefix
	d.driver.log = &log{o: d.o, c: c, stream: name, bucket: name + "-sessions", captured: "sio." + d.prefix + ".*.log"}
}

// Compare implements [cluster.LogDriver].
func (logged) Compare(a, b string) (order int, ok bool) {
	x, ok1 := parseOffset(a)
	y, ok2 := parseOffset(b)
	if !ok1 || !ok2 {
		return 0, false
	}
	return x.compare(y), true
}

// offset is a place in the log.
type offset struct{ epoch, seq uint64 }

func (o offset) String() string {
	return strconv.FormatUint(o.epoch, 36) + "-" + strconv.FormatUint(o.seq, 36)
}

func (o offset) compare(p offset) int {
	switch {
	case o == p:
		return 0
	case o.epoch < p.epoch || o.epoch == p.epoch && o.seq < p.seq:
		return -1
	}
	return 1
}

func parseOffset(s string) (o offset, ok bool) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return o, false
	}
	var err1, err2 error
	o.epoch, err1 = strconv.ParseUint(a, 36, 64)
	o.seq, err2 = strconv.ParseUint(b, 36, 64)
	// One offset has one form.
	return o, err1 == nil && err2 == nil && o.String() == s
}

// start begins to read the log. What it returns gets the outcome of the first attempt.
func (l *log) start(d *driver) <-chan error {
	l.subject = d.logged()
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	begun := make(chan error, 1)
	l.done.Go(func() { l.run(ctx, d, begun) })
	return begun
}

func (l *log) end() {
	l.stop()
	l.done.Wait()
}

// run reads the log until ctx ends, from where it is when it can first be reached.
func (l *log) run(ctx context.Context, d *driver, begun chan<- error) {
	var at offset
	pause := firstPause
	for {
		err := l.read(ctx, d, &at, begun)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = firstPause
			continue
		}
		select {
		case begun <- err:
		default:
		}
		d.a.Report("adapter: the log of NATS cannot be read", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// open returns the stream, made if there is none, and the place of its last entry.
func (l *log) open(ctx context.Context, c *conn) (jetstream.Stream, *jetstream.StreamInfo, error) {
	age := max(l.c.LogAge, time.Second)
	s, err := c.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        l.stream,
		Subjects:    []string{l.captured},
		Description: "epio: packets for clients that come back",
		Storage:     l.o.storage(),
		Replicas:    l.o.Replicas,
		MaxBytes:    l.o.MaxBytes,
		MaxAge:      age,
		Duplicates:  min(duplicates, age),
		Discard:     jetstream.DiscardOld,
		AllowDirect: true,
	})
	if err != nil {
		return nil, nil, err
	}
	return s, s.CachedInfo(), nil
}

func epochOf(i *jetstream.StreamInfo) uint64 { return uint64(i.Created.UnixNano()) }

var (
	errGap         = errors.New("adapter/nats: entries of the log were lost on the way")
	errReconnected = errors.New("adapter/nats: another connection than before")
)

// read reads from at on, which is where this server has got, until something is wrong:
// then it is called again. It returns nil when there is no need to wait.
func (l *log) read(ctx context.Context, d *driver, at *offset, begun chan<- error) error {
	again := d.conn.again()
	s, info, err := l.open(ctx, d.conn)
	if err != nil {
		return err
	}
	if epoch := epochOf(info); at.epoch != epoch {
		// The first time, or another stream than before.
		*at = offset{epoch, info.State.LastSeq}
		d.a.Log().BeginAt(at.String())
	}
	cons, err := l.consumer(ctx, s, at.seq)
	if err != nil {
		return err
	}
	select {
	case begun <- nil:
	default:
	}
	next := uint64(1)
	for ctx.Err() == nil {
		err := fetch(ctx, cons, fetchEntries, &next, again, func(m jetstream.Msg, seq uint64) bool {
			at.seq = seq
			return d.in.wait(ctx, item{subject: m.Subject(), data: m.Data(), offset: at.String()})
		})
		if err == errReconnected {
			return nil // the reader may be gone, and the stream another one
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetch calls f with up to n entries, as they come, until it returns false, or there are
// none for half a minute. f may take its time. next is the reader's count of entries. A closed again ends the request, whose
// answers nobody would get.
func fetch(ctx context.Context, cons jetstream.Consumer, n int, next *uint64, again <-chan struct{}, f func(m jetstream.Msg, seq uint64) bool) error {
	// Without ctx's deadline: by one the library decides how long NATS may take, and fails when its last answer is a moment late.
	request, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	batch, err := cons.Fetch(n, jetstream.FetchContext(request), jetstream.FetchHeartbeat(heartbeat))
	if err != nil {
		return err
	}
	for {
		select {
		case m, ok := <-batch.Messages():
			if !ok {
				if err := batch.Error(); err == nil || ctx.Err() == nil {
					return err
				}
				return ctx.Err()
			}
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Consumer != *next {
				return errGap
			}
			*next++
			if !f(m, meta.Sequence.Stream) {
				return nil
			}
		case <-again:
			return errReconnected
		}
	}
}

// consumer makes a reader of what is behind a sequence.
func (l *log) consumer(ctx context.Context, s jetstream.Stream, behind uint64) (jetstream.Consumer, error) {
	return s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject:     l.subject,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       behind + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: idleConsumer,
	})
}

// encode makes a parcel of a message for the log: of the member data alone, see entry.
func (l *log) encode(m *cluster.Message) (p cluster.Parcel, err error) {
	p.Dest, p.Format = l.subject, cluster.Msgpack
	if p.Data, err = m.EncodeDataAs(cluster.Msgpack); err == nil && len(p.Data) >= maxMessage-maxToken-3 {
		err = errTooLarge
	}
	return p, err
}

// entry returns the frame of a parcel for the log.
func (l *log) entry(d *driver, p *cluster.Parcel) []byte {
	uid := d.a.UID()
	b := appendUID(make([]byte, 0, 3+len(uid)+len(p.Data)), entry, uid)
	return append(append(b, byte(p.Type)), p.Data...)
}

// receive handles an entry. It is called by the inbox's goroutine.
func (l *log) receive(d *driver, e *item) error {
	m, data, err := decodeEntry(&l.parts, d.a.Namespace(), e.data)
	d.a.Log().ReceiveLogged(e.offset, m, data)
	return err
}

// decodeEntry returns the message that an entry is, or completes, and its member data.
func decodeEntry(ps *parts, namespace string, p []byte) (*cluster.Message, []byte, error) {
	if len(p) > 0 && p[0] == part {
		b, err := ps.add(p)
		if err != nil || b == nil {
			return nil, nil, err
		}
		p = b
	}
	if len(p) == 0 || p[0] != entry {
		return nil, nil, errVersion
	}
	uid, rest, ok := cutUID(p)
	if !ok || len(rest) == 0 {
		return nil, nil, errMalformed
	}
	m := &cluster.Message{UID: uid, Namespace: namespace, Type: cluster.Type(rest[0])}
	if err := m.DecodeData(rest[1:]); err != nil {
		return nil, nil, err
	}
	return m, rest[1:], nil
}

// Range implements [cluster.LogDriver].
func (d logged) Range(ctx context.Context, from string, f func(offset string, m *cluster.Message) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*jetWait)
	defer cancel()
	l := d.driver.log
	o, ok := parseOffset(from)
	if !ok || d.conn == nil {
		return adapter.ErrOffset
	}
	s, err := d.conn.js.Stream(ctx, l.stream)
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	if epochOf(info) != o.epoch || o.seq > info.State.LastSeq {
		return adapter.ErrOffset
	}
	if err := l.replay(ctx, s, d.a.Namespace(), o, f); err != nil {
		return err
	}
	// Only now: what has been dropped meanwhile may not have been read.
	if info, err = s.Info(ctx); err != nil {
		return err
	}
	if epochOf(info) != o.epoch || o.seq+1 < info.State.FirstSeq {
		return adapter.ErrOffset
	}
	return nil
}

// replay calls f with what is behind o.
func (l *log) replay(ctx context.Context, s jetstream.Stream, namespace string, o offset, f func(offset string, m *cluster.Message) bool) error {
	cons, err := l.consumer(ctx, s, o.seq)
	if err != nil {
		return err
	}
	defer func() { _ = s.DeleteConsumer(context.WithoutCancel(ctx), cons.CachedInfo().Name) }()
	var ps parts
	var broken error
	more, next := true, uint64(1)
	for left := cons.CachedInfo().NumPending; left > 0; {
		got := next
		err := fetch(ctx, cons, int(min(left, fetchEntries)), &next, nil, func(e jetstream.Msg, seq uint64) bool {
			left--
			m, _, err := decodeEntry(&ps, namespace, e.Data())
			if errors.Is(err, errMissing) {
				// It began before o, where this reader cannot see.
				broken = fmt.Errorf("%w: %w", adapter.ErrOffset, err)
				return false
			}
			if m == nil {
				return true // a part, or nothing of ours
			}
			more = f(offset{o.epoch, seq}.String(), m)
			return more
		})
		if err = errors.Join(err, broken); err != nil || !more {
			return err
		}
		if next == got {
			return errGap // nothing came, though there was something
		}
	}
	return nil
}

// EnableRecovery implements [cluster.LogDriver].
func (d loggedRooms) EnableRecovery(c adapter.RecoveryConfig) { d.l.EnableRecovery(c) }

// Compare implements [cluster.LogDriver].
func (d loggedRooms) Compare(a, b string) (int, bool) { return d.l.Compare(a, b) }

// Range implements [cluster.LogDriver].
func (d loggedRooms) Range(ctx context.Context, from string, f func(string, *cluster.Message) bool) error {
	return d.l.Range(ctx, from, f)
}
