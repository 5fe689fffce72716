package sio

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ServerSide sends events to the same namespace on the other servers of the cluster, never
// to this one. Without other servers, as with the adapter in memory, Emit does nothing and
// Call gets no answers. It is a value; Timeout returns a changed copy.
type ServerSide struct {
	ns      *Namespace
	timeout time.Duration
}

// ServerSide returns the way to this namespace on the other servers. With a parent, events
// go to each child that exists on this server.
func (n *Namespace) ServerSide() ServerSide { return ServerSide{ns: n} }

// ServerSide returns the way to "/" on the other servers.
func (srv *Server) ServerSide() ServerSide { return srv.root.ServerSide() }

// Timeout bounds the wait of Call. 0 means Config.AckTimeout.
func (t ServerSide) Timeout(d time.Duration) ServerSide {
	t.timeout = d
	return t
}

// Emit sends an event to the listeners of the other servers, see HandleServer. It does not
// wait for them. The error is a *[PublishError] when the cluster was not reached, or
// ErrReservedEvent for the names connect, connection and new_namespace.
func (t ServerSide) Emit(event string, args ...any) error {
	if reservedServerEvent(event) {
		return fmt.Errorf("sio: server-side %q: %w", event, ErrReservedEvent)
	}
	all := Target{ns: t.ns}
	for _, ns := range all.namespaces() {
		if err := ns.connectedAdapter().ServerSideEmit(event, args); err != nil {
			return &PublishError{Event: event, Err: err}
		}
	}
	return nil
}

// Call sends an event and waits for one answer from each other server, in the form that the
// adapter's wire format gives them: see [CallServers] for one that decodes them.
//
// When not all have answered in time, the error is ErrAckTimeout after Timeout
// (Config.AckTimeout by default, which a deadline of ctx replaces), or ctx's; the answers
// there are come with it. Other errors are those of Emit.
func (t ServerSide) Call(ctx context.Context, event string, args ...any) ([]any, error) {
	if reservedServerEvent(event) {
		return nil, fmt.Errorf("sio: server-side %q: %w", event, ErrReservedEvent)
	}
	wait := t.timeout
	if _, has := ctx.Deadline(); wait == 0 && !has {
		wait = t.ns.srv.cfg.AckTimeout
	}
	limited := ctx
	if wait > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, wait, ErrAckTimeout)
		defer cancel()
	}
	var answers []any
	all := Target{ns: t.ns}
	for _, ns := range all.namespaces() {
		some, err := ns.connectedAdapter().ServerSideCall(limited, event, args)
		answers = append(answers, some...)
		switch {
		case err == nil:
		case limited.Err() != nil:
			return answers, fmt.Errorf("sio: server-side %q: %w", event, context.Cause(limited))
		case errors.Is(err, context.DeadlineExceeded):
			return answers, fmt.Errorf("sio: server-side %q: %w", event, errors.Join(ErrAckTimeout, err))
		default:
			return answers, &PublishError{Event: event, Err: err}
		}
	}
	return answers, nil
}

// CallServers is t.Call with the answers decoded into T, each by the rules of
// encoding/json. One that does not fit is left out and makes the error a
// *codec.DecodeError, unless there is another one already.
func CallServers[T any](ctx context.Context, t ServerSide, event string, args ...any) ([]T, error) {
	raw, err := t.Call(ctx, event, args...)
	answers := make([]T, 0, len(raw))
	for _, a := range raw {
		var v T
		if derr := convert(a, &v); derr != nil {
			if err == nil {
				err = derr
			}
			continue
		}
		answers = append(answers, v)
	}
	return answers, err
}

// reservedServerEvent reports whether the name is one of those that the reference keeps for
// its namespaces.
func reservedServerEvent(event string) bool {
	switch event {
	case "connect", "connection", "new_namespace":
		return true
	}
	return false
}
