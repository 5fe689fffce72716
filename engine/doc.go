// Package engine moves bytes: it owns connections, their reads and writes, their
// timers and the listeners. It knows nothing of HTTP, WebSocket or Socket.IO.
//
// There are three implementations behind one concrete type, [Conn].
//
// On Linux a connection belongs to a reactor and owns no goroutine. The default,
// [Epoll], is a few loops of this package's own: each is one goroutine with one
// epoll set and one read buffer for all its connections. [Netpoll] uses
// cloudwego/netpoll: its pollers read into a buffer of each connection's, and a
// pooled goroutine runs [Handler.Data]. Writes are the same for both: a non-blocking
// writev on the descriptor by whoever has something to send. A connection whose
// socket is full waits in an epoll set, not on a goroutine.
//
// The portable engine runs on any [net.Conn] with one goroutine per connection
// for reading, and one more only while something is being written. It serves
// TLS, platforms without a reactor, and in-memory connections in tests.
//
// # Backpressure
//
// Inbound: a handler that cannot keep up calls [Conn.Pause]. The connection then
// leaves the poller (or its goroutine stops reading), the kernel's receive
// buffer fills and TCP stops the sender. Nothing is buffered without bound.
//
// Outbound: Send never blocks. What the socket does not take is queued up to
// [Options.SendBuffer] bytes per connection; beyond that Send refuses with
// [ErrBufferFull] and the caller decides.
//
// # Process-wide settings
//
// netpoll's buffer sizes and its number of pollers are process-wide. The first
// engine of a process that uses it sets them (512-byte buffers, GOMAXPROCS pollers)
// unless [Options.KeepNetpollConfig] asks to leave them alone.
//
// # Locks
//
// Conn.mu guards the send queue and the connection's state and nests inside
// nothing but callers' locks; no callback is made under it. Engine and wheel
// locks are leaves.
package engine
