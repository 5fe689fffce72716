package nats

import (
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// RoomMode says which rooms have a subject of their own, so that what is sent to one of
// them reaches only the servers with members in it. Everything else reaches all
// servers. It must be the same on all of them.
type RoomMode int

const (
	// AllRooms gives a subject to every room, those named like sockets included: what
	// is sent to a socket's id reaches one server. Each room and each socket is a
	// subscription then, half a KiB here and as much at the NATS server.
	AllRooms RoomMode = iota
	// PublicRooms leaves out rooms whose names are 20 bytes long, as ids of sockets
	// are: for many sockets that are rarely sent to one by one.
	PublicRooms
	// NoRooms gives no subjects to rooms.
	NoRooms
)

// Defaults of Options. The times are shorter than the reference's, since a heartbeat
// costs NATS next to nothing: a server that dies is forgotten within four seconds.
const (
	DefaultPrefix            = "epio"
	DefaultHeartbeatInterval = time.Second
	DefaultHeartbeatTimeout  = 3 * time.Second
)

// Options say how servers find each other. The zero value is for a NATS server on this
// machine.
type Options struct {
	// URL is where NATS is: one URL, or several with commas between them, any of which
	// will do. Default "nats://127.0.0.1:4222".
	URL string

	// Connect are further options of the connection: credentials, TLS, a server within
	// the process. They come after the adapter's own defaults (intervals of pings and
	// of reconnecting, time-outs) and may change those; callbacks are called besides
	// the adapter's. What the adapter cannot do without is not up to them: that it
	// reconnects forever, buffers nothing behind its back while it does, and does not
	// hear itself.
	Connect []natsgo.Option

	// Prefix keeps clusters on one NATS apart: letters, digits, "-" and "_", at most 64.
	// Default "epio".
	Prefix string

	// Rooms says which rooms have subjects. Default AllRooms.
	Rooms RoomMode

	// HeartbeatInterval is after how much silence of its own a server says that it is
	// alive, in each namespace. Default 1 s.
	HeartbeatInterval time.Duration
	// HeartbeatTimeout is after how much silence of another server that counts as
	// dead. At least twice the interval. Default 3 s, or three intervals.
	HeartbeatTimeout time.Duration

	// RequestsTimeout bounds the wait for the answers of other servers. Default 5 s.
	RequestsTimeout time.Duration
	// PublishTimeout is how long a message waits for a NATS that cannot be reached,
	// before it is given up. Default 5 s.
	PublishTimeout time.Duration
	// QueueBytes bounds the memory of messages that wait to be published, in each
	// namespace. Beyond it sending fails with cluster.ErrQueueFull. Default 64 MiB.
	QueueBytes int

	// JetStream keeps what was sent, so that the adapter offers connection state
	// recovery. Nil: it does not.
	JetStream *JetStream
}

// New returns a factory of adapters. It does no I/O; a connection is made when the first
// namespace is initialized, shared by all namespaces of a server, and closed with the
// last one. An error says what is wrong with the options, all of it.
func New(o Options) (adapter.Factory, error) {
	co, err := o.check()
	if err != nil {
		return nil, err
	}
	cs := &conns{options: co}
	return func(h adapter.Host) adapter.Adapter {
		d := newDriver(cs, o.Prefix, o.Rooms)
		switch {
		case o.JetStream != nil && o.Rooms == NoRooms:
			return cluster.NewLogged(h, logged{driver: d, o: *o.JetStream}, o.config())
		case o.JetStream != nil:
			return cluster.NewLogged(h, loggedRooms{rooms{d}, logged{driver: d, o: *o.JetStream}}, o.config())
		case o.Rooms == NoRooms:
			return cluster.New(h, d, o.config())
		}
		return cluster.New(h, rooms{d}, o.config())
	}, nil
}

// check sets the defaults and returns the options of a connection.
func (o *Options) check() (co natsgo.Options, err error) {
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("adapter/nats: "+format, args...))
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if !isToken(o.Prefix) {
		refuse("Prefix %q is not made of at most %d letters, digits, - and _", o.Prefix, maxToken)
	}
	if o.Rooms < AllRooms || o.Rooms > NoRooms {
		refuse("Rooms is %d, none of the modes there are", o.Rooms)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"HeartbeatInterval", o.HeartbeatInterval},
		{"HeartbeatTimeout", o.HeartbeatTimeout},
		{"RequestsTimeout", o.RequestsTimeout},
		{"PublishTimeout", o.PublishTimeout},
	} {
		if d.value < 0 {
			refuse("%s is negative: %v", d.name, d.value)
		}
	}
	if o.QueueBytes < 0 {
		refuse("QueueBytes is negative: %d", o.QueueBytes)
	}
	if o.HeartbeatInterval == 0 {
		o.HeartbeatInterval = DefaultHeartbeatInterval
	}
	if o.HeartbeatTimeout == 0 {
		o.HeartbeatTimeout = 3 * o.HeartbeatInterval
	}
	if o.HeartbeatTimeout < 2*o.HeartbeatInterval {
		refuse("HeartbeatTimeout %v is less than two intervals of %v", o.HeartbeatTimeout, o.HeartbeatInterval)
	}
	if j := o.JetStream; j != nil {
		c := *j
		if c.Replicas < 0 || c.Replicas > 5 {
			refuse("JetStream.Replicas is %d, not between 1 and 5", c.Replicas)
		}
		if c.MaxBytes < 0 {
			refuse("JetStream.MaxBytes is negative: %d", c.MaxBytes)
		}
		if c.Replicas == 0 {
			c.Replicas = 1
		}
		if c.MaxBytes == 0 {
			c.MaxBytes = DefaultLogBytes
		}
		o.JetStream = &c
	}
	co, err = connectOptions(o.URL, o.Connect)
	errs = append(errs, err)
	return co, errors.Join(errs...)
}

func (o *Options) config() cluster.Config {
	return cluster.Config{
		RequestsTimeout:   o.RequestsTimeout,
		HeartbeatInterval: o.HeartbeatInterval,
		HeartbeatTimeout:  o.HeartbeatTimeout,
		PublishTimeout:    o.PublishTimeout,
		QueueBytes:        o.QueueBytes,
		RoomRequests:      true,
	}
}
