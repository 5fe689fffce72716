package sio

import (
	"bytes"
	fifo "container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/codec"
)

// Defaults of Dedup.
const (
	DefaultDedupEntries = 10_000
	DefaultDedupBytes   = 16 << 20
	DefaultDedupTTL     = 10 * time.Minute
)

// Dedup configures Deduplicate.
type Dedup struct {
	// Key returns what two events have in common that are the same message sent twice; an
	// event with the key "" is handled as usual. Keys count per namespace and event name. [KeyArg]
	// finds an id among the arguments. Required.
	//
	// Whoever knows a key gets the answer to the event. So a key must be hard to guess, as a
	// UUID is, or begin with whom it is from:
	//
	//	func(s *sio.Socket, m *sio.Message) string {
	//		if id := sio.KeyArg(-1)(s, m); id != "" {
	//			return userOf(s) + " " + id
	//		}
	//		return ""
	//	}
	//
	// The socket's id will not do: it changes when the client reconnects, which is when
	// events are sent again.
	Key func(s *Socket, m *Message) string
	// Entries, Bytes and TTL bound what is remembered: the number of events, the size of
	// their keys and answers, and the time since they were handled. The oldest go first. The
	// client must have given up before TTL is over: retries × ackTimeout, and the time it may be
	// offline. Defaults 10,000, 16 MiB and 10 minutes.
	Entries int
	Bytes   int
	TTL     time.Duration
}

// Deduplicate returns a middleware for Wrap that has an event which comes again handled
// once, and answers it again with what it was answered at first. With that, a client that repeats
// events until they are acknowledged, as the official one does with its options retries and
// ackTimeout, has them handled exactly once:
//
//	chat.Wrap(sio.Deduplicate(sio.Dedup{Key: sio.KeyArg(-1)}))
//
//	const socket = io({ retries: 10, ackTimeout: 5000 });
//	socket.emit("order", order, crypto.randomUUID(), (err, answer) => { … });
//
// The client repeats the event as it was, with a new acknowledgement id and nothing that
// tells it from a new one; the id among the arguments does. An event that comes again while the first is being
// handled, on another connection, waits for it. The answer counts that was made before the
// connection was lost, and one made later by [Message.Ack].
//
// An event whose handler fails with a *Error was answered, and is answered with that
// again. After any other failure, a panic included, nothing is remembered: the event may have failed because
// its client went away, and is handled anew when it comes again. The memory is this process's: a client that comes back to another server of a
// cluster needs a check where the data is.
//
// The middleware may be shared by namespaces. It panics if Key is nil or a limit negative.
func Deduplicate(d Dedup) func(next Handler) Handler {
	if d.Key == nil {
		panic("sio: Deduplicate without Key")
	}
	if d.Entries < 0 || d.Bytes < 0 || d.TTL < 0 {
		panic(fmt.Sprintf("sio: Deduplicate: a limit is negative: %d entries, %d bytes, %v", d.Entries, d.Bytes, d.TTL))
	}
	if d.Entries == 0 {
		d.Entries = DefaultDedupEntries
	}
	if d.Bytes == 0 {
		d.Bytes = DefaultDedupBytes
	}
	if d.TTL == 0 {
		d.TTL = DefaultDedupTTL
	}
	dd := &dedup{cfg: d, known: make(map[string]*seen)}
	return func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
			return dd.handle(ctx, s, m, next)
		})
	}
}

// maxKey bounds the ids that KeyArg takes.
const maxKey = 256

// KeyArg returns a Key for Dedup: argument i, which must be a string of 1 to 256 bytes, or
// there is no key. A negative i counts from the end: -1 is the last argument.
func KeyArg(i int) func(s *Socket, m *Message) string {
	return func(_ *Socket, m *Message) string {
		at := i
		if at < 0 {
			at += m.Len()
		}
		if at < 0 || at >= m.Len() || len(m.Raw(at)) > 8*maxKey {
			return ""
		}
		var id string
		if m.Decode(at, &id) != nil || len(id) > maxKey {
			return ""
		}
		return id
	}
}

// dedup remembers events.
type dedup struct {
	cfg Dedup // immutable

	mu sync.Mutex
	// guarded by mu
	known map[string]*seen
	order fifo.List // of *seen that were handled, oldest first
	bytes int       // of those in order
}

// seen is an event that was seen. Guarded by dedup.mu, but for what is immutable.
type seen struct {
	key  string        // immutable
	done chan struct{} // closed when the handler has returned

	at       *fifo.Element // in order, once the handler has returned
	until    time.Time
	size     int
	err      error       // the *Error that the handler failed with
	answered bool        // args are the answer
	args     []any       // do not refer to memory of the application
	waiter   *Message    // answers the latest duplicate, which waits for an answer that comes late
	unwait   func() bool // ends the watch over its connection
	charged  bool        // size has waiterSize in it
}

// entrySize is what an entry costs beside its key and answer, roughly, and waiterSize what
// a duplicate costs that waits.
const (
	entrySize  = 256
	waiterSize = 512
)

func (d *dedup) handle(ctx context.Context, s *Socket, m *Message, next Handler) error {
	id := d.cfg.Key(s, m)
	if id == "" {
		return next.Handle(ctx, s, m)
	}
	key := s.nsp + "\x00" + m.Event() + "\x00" + id
	for {
		d.mu.Lock()
		d.expireLocked(time.Now())
		e := d.known[key]
		if e == nil {
			e = &seen{key: key, done: make(chan struct{})}
			d.known[key] = e
			d.mu.Unlock()
			return d.first(ctx, s, m, next, e)
		}
		if e.at == nil { // its handler is running
			d.mu.Unlock()
			select {
			case <-e.done:
				continue // most likely it is known by now
			case <-ctx.Done():
				return nil // nobody is left to be answered
			}
		}
		err, answered, args := e.err, e.answered, e.args
		if err == nil && !answered && m.HasAck() {
			d.awaitLocked(e, s, m)
		}
		d.mu.Unlock()
		if answered {
			return m.Ack(args...)
		}
		return err
	}
}

// first handles an event that was not seen before.
func (d *dedup) first(ctx context.Context, s *Socket, m *Message, next Handler, e *seen) (err error) {
	finished := false
	defer func() {
		d.finish(e, err, finished)
	}()
	m.tap = func(args []any) { d.answer(e, s.c.srv.cfg.Parser, args) }
	err = next.Handle(ctx, s, m)
	finished = true
	return err
}

// finish remembers a handled event, or forgets it. finished is false after a panic.
func (d *dedup) finish(e *seen, err error, finished bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(e.done)
	if _, told := errors.AsType[*Error](err); err != nil && told {
		e.err = err
	} else if (err != nil || !finished) && !e.answered {
		delete(d.known, e.key)
		return
	}
	if e.answered {
		e.err = nil // the answer came before the failure
	}
	e.until = time.Now().Add(d.cfg.TTL)
	e.size += entrySize + 2*len(e.key)
	d.bytes += e.size
	e.at = d.order.PushBack(e)
	d.boundLocked()
}

// answer remembers the answer to an event, on its way to the client.
func (d *dedup) answer(e *seen, p codec.Parser, args []any) {
	frozen, size, err := freeze(p, args)
	d.mu.Lock()
	if err != nil || e.answered {
		d.mu.Unlock() // what can be sent can be read; without it, duplicates stay unanswered
		return
	}
	e.answered, e.args = true, frozen
	e.size += size
	w := e.waiter
	e.forgetWaiter()
	if e.at != nil && d.known[e.key] == e {
		d.bytes += size
		d.boundLocked()
	}
	d.mu.Unlock()
	if w != nil {
		_ = w.Ack(frozen...) // the client may be gone again
	}
}

// expireLocked forgets what is too old.
func (d *dedup) expireLocked(now time.Time) {
	for {
		first := d.order.Front()
		if first == nil || first.Value.(*seen).until.After(now) {
			return
		}
		d.forgetLocked(first)
	}
}

// boundLocked forgets what is too much.
func (d *dedup) boundLocked() {
	for d.order.Len() > d.cfg.Entries || d.bytes > d.cfg.Bytes {
		d.forgetLocked(d.order.Front())
	}
}

func (d *dedup) forgetLocked(at *fifo.Element) {
	e := d.order.Remove(at).(*seen)
	d.bytes -= e.size
	delete(d.known, e.key)
	e.forgetWaiter()
}

// awaitLocked has m answered when e is, unless its client goes before. The client has given up
// all earlier duplicates.
func (d *dedup) awaitLocked(e *seen, s *Socket, m *Message) {
	e.forgetWaiter()
	if !e.charged {
		e.charged = true
		e.size += waiterSize
		d.bytes += waiterSize
	}
	w := m.unanswered(e.key[len(s.nsp)+1:][:len(m.Event())])
	e.waiter = w
	e.unwait = context.AfterFunc(s.Context(), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if e.waiter == w {
			e.waiter, e.unwait = nil, nil // they would keep the connection in memory
		}
	})
	d.boundLocked()
}

// forgetWaiter is called with dedup.mu held.
func (e *seen) forgetWaiter() {
	if e.unwait != nil {
		e.unwait()
	}
	e.waiter, e.unwait = nil, nil
}

// generous are limits for our own packets.
var generous = codec.Limits{MaxAttachments: 1 << 20, MaxAttachmentBytes: 1 << 30, MaxDepth: 1 << 20}

// freeze returns a copy of args, as they are on the wire, and its size. What the
// application does with its values later does not show in it.
func freeze(p codec.Parser, args []any) (frozen []any, size int, err error) {
	f, err := p.EncodeAck("/", 0, args)
	if err != nil {
		return nil, 0, err
	}
	defer f.Release()
	dec := p.NewDecoder(&generous)
	defer dec.Close()
	var in *codec.In
	for binary, data := range codec.Parts(f.Bytes()) {
		if binary {
			in, err = dec.Binary(bytes.Clone(data))
		} else {
			in, err = dec.Text(bytes.Clone(data[1:])) // without the type of the Engine.IO packet
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if in == nil {
		return nil, 0, errors.New("sio: encoded acknowledgement is not complete")
	}
	defer in.Release()
	frozen = make([]any, in.Len())
	for i := range frozen {
		switch {
		case p == codec.Msgpack:
			frozen[i] = msgp.Raw(bytes.Clone(in.Raw(i)))
		case p == codec.JSON && in.Attachments() == 0:
			frozen[i] = json.RawMessage(bytes.Clone(in.Raw(i)))
		default:
			if err := in.Decode(i, &frozen[i]); err != nil {
				return nil, 0, err
			}
		}
	}
	return frozen, 2 * f.Len(), nil
}
