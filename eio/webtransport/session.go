package webtransport

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/epio-go/epio/eio"
)

// session is a WebTransport session as the engine takes it.
type session struct {
	*webtransport.Session
	conn context.Context // of the QUIC connection, its cause says why that ended
}

// AcceptStream implements eio.WebTransportSession.
func (s session) AcceptStream(ctx context.Context) (eio.WebTransportStream, error) {
	str, err := s.Session.AcceptStream(ctx)
	if err != nil {
		return nil, s.cause(err)
	}
	return stream{str, s}, nil
}

// Close implements eio.WebTransportSession. The client sees the code 0, as from the reference.
func (s session) Close() error { return s.CloseWithError(0, "") }

// stream is a WebTransport stream as the engine takes it.
type stream struct {
	str     *webtransport.Stream
	session session
}

// Read implements eio.WebTransportStream.
func (s stream) Read(p []byte) (int, error) {
	n, err := s.str.Read(p)
	return n, s.session.cause(err)
}

// Write implements eio.WebTransportStream.
func (s stream) Write(p []byte) (int, error) {
	n, err := s.str.Write(p)
	if err = s.session.cause(err); err == io.EOF {
		err = io.ErrClosedPipe
	}
	return n, err
}

// CloseWrite implements eio.WebTransportStream.
func (s stream) CloseWrite() error { return s.str.Close() }

// unsettled is how long the end of a connection may take to become known after that of its
// streams. It happens at once, on another goroutine.
const unsettled = 100 * time.Millisecond

// cause turns the end of a stream into io.EOF if the client has closed it, the session or the
// connection, and into net.ErrClosed if our side has closed the connection. Everything else is
// a fault.
func (s session) cause(err error) error {
	if e, ok := errors.AsType[*webtransport.SessionError](err); ok && e.Remote {
		return io.EOF
	}
	if e, ok := errors.AsType[*http3.Error](err); ok && e.ErrorCode == http3.ErrCodeDatagramError {
		// The CONNECT stream ended. If that was without a farewell, but in good order, it means
		// the same. If it was with the connection, only that knows why.
		if e.ErrorMessage == io.EOF.Error() {
			return io.EOF
		}
		select {
		case <-s.conn.Done():
			err = context.Cause(s.conn)
		case <-time.After(unsettled):
		}
	}
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok {
		if e.Remote {
			return io.EOF
		}
		return net.ErrClosed
	}
	if errors.Is(err, net.ErrClosed) {
		return fault{err}
	}
	return err
}

// fault is the end of a connection that nobody has closed, a time-out for example. quic-go's errors
// match net.ErrClosed all the same, which to the engine means that we have closed it.
type fault struct{ cause error }

func (e fault) Error() string { return e.cause.Error() }

// As finds what the cause is, without what it matches.
func (e fault) As(target any) bool { return errors.As(e.cause, target) }
