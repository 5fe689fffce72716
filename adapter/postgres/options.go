package postgres

import (
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// Defaults of Options.
const (
	DefaultChannelPrefix   = "socket.io"
	DefaultTableName       = "socket_io_attachments"
	DefaultCleanupInterval = 30 * time.Second

	// MaxPayload is the size in bytes from which on PostgreSQL refuses the text of a
	// notification.
	MaxPayload = 8000
)

// Options are the options of createAdapter of @socket.io/postgres-adapter, and a few
// more. The zero value is the reference's default. All servers of a cluster use the same
// ChannelPrefix and TableName.
type Options struct {
	// ChannelPrefix is what names of channels begin with; "#" and the namespace follow.
	// Altogether these may have 63 bytes, which is PostgreSQL's limit for names; Init
	// fails for a longer one. Default "socket.io".
	ChannelPrefix string

	// TableName is the table for what does not fit into a notification: a name as it is
	// written in SQL, so in lower case unless quoted, perhaps with a schema. Default
	// "socket_io_attachments".
	TableName string

	// PayloadThreshold is the size in bytes from which on messages go through the table.
	// The default and maximum is MaxPayload, 8000. The reference sends messages of
	// exactly this size as notifications; PostgreSQL takes only shorter ones.
	PayloadThreshold int

	// CreateTable creates the table if there is none. The reference expects it to be
	// there. Servers that start together do not disturb each other.
	CreateTable bool

	// CleanupInterval is how often rows of the table are deleted, and how old they must
	// be. It should be the same on all servers, because each deletes everybody's. Default
	// 30 s; negative for never, if something else does that.
	CleanupInterval time.Duration

	// HeartbeatInterval is after how much silence of its own a server says that it is
	// alive. Default 5 s.
	HeartbeatInterval time.Duration
	// HeartbeatTimeout is after how much silence of another server that counts as dead.
	// Default 10 s.
	HeartbeatTimeout time.Duration

	// RequestsTimeout bounds the wait for the answers of other servers. Default 5 s.
	RequestsTimeout time.Duration

	// Listen is how to connect for listening, if not like the pool: past a PgBouncer, for
	// instance, which in its transaction mode loses what a session listens to.
	Listen *pgx.ConnConfig

	// PublishTimeout is how long a message waits for a PostgreSQL that cannot be reached,
	// before it is given up. Default 5 s.
	PublishTimeout time.Duration
	// QueueBytes bounds the memory of messages that wait to be published. Beyond it
	// sending fails with cluster.ErrQueueFull. Default 64 MiB.
	QueueBytes int
}

// tableName is a name of a table in SQL, with or without a schema and a catalog.
var tableName = regexp.MustCompile(`^` + identifier + `(\.` + identifier + `){0,2}$`)

const identifier = `([\pL_][\pL\pN_$]*|"([^"\x00]|"")+")`

func (o *Options) setDefaults() {
	if o.ChannelPrefix == "" {
		o.ChannelPrefix = DefaultChannelPrefix
	}
	if o.TableName == "" {
		o.TableName = DefaultTableName
	}
	if o.PayloadThreshold <= 0 || o.PayloadThreshold > MaxPayload {
		o.PayloadThreshold = MaxPayload
	}
	if o.CleanupInterval == 0 {
		o.CleanupInterval = DefaultCleanupInterval
	}
	if o.Listen != nil {
		o.Listen = o.Listen.Copy()
	}
}

// check sets the defaults, and panics about mistakes.
func (o *Options) check(pool *pgxpool.Pool) {
	o.setDefaults()
	if pool == nil {
		panic("adapter/postgres: no pool")
	}
	if !tableName.MatchString(o.TableName) {
		panic("adapter/postgres: not a name of a table: " + o.TableName)
	}
}

func (o *Options) config() cluster.Config {
	return cluster.Config{
		RequestsTimeout:   o.RequestsTimeout,
		HeartbeatInterval: o.HeartbeatInterval,
		HeartbeatTimeout:  o.HeartbeatTimeout,
		PublishTimeout:    o.PublishTimeout,
		QueueBytes:        o.QueueBytes,
	}
}

// New returns a factory of adapters that are compatible with @socket.io/postgres-adapter
// 0.5. It does no I/O. The pool stays the application's and must outlive the server;
// one connection at a time of it is used for each namespace in which something is sent,
// and briefly. The connection that listens is not one of the pool's, but made after its
// configuration when the first namespace is initialized, and closed with the last one.
//
// It panics if pool is nil or TableName is not a name.
func New(pool *pgxpool.Pool, o Options) adapter.Factory {
	o.check(pool)
	hs := &hubs{pool: pool, o: o}
	return func(h adapter.Host) adapter.Adapter {
		return cluster.New(h, &driver{hubs: hs, pool: pool, o: o}, o.config())
	}
}
