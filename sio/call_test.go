package sio

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

// askedID returns the id of the acknowledgement that the packet asks for.
func askedID(t *testing.T, packet string) uint64 {
	t.Helper()
	digits, _, _ := strings.Cut(strings.TrimPrefix(packet, "42"), "[")
	id, err := strconv.ParseUint(digits, 10, 64)
	must(t, err)
	return id
}

// The answer has come, but not to who waits for it, when the time is up: it counts.
func TestCallWaitsForAnAnswerThatHasCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		type result struct {
			v   string
			err error
		}
		for _, limit := range []string{"timeout", "context"} {
			done := make(chan result, 1)
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				v, err := Call[string](ctx, s.Timeout(time.Second), "ask")
				done <- result{v, err}
			}()
			w := s.unexpect(askedID(t, p.next().data)) // as whoever reads the answer does
			if limit == "context" {
				cancel()
			} else {
				time.Sleep(2 * time.Second)
			}
			wantNone(t, done)
			in, err := codec.JSON.NewDecoder(nil).Text([]byte(`31["yes"]`))
			must(t, err)
			w.answered(s, in.Clone())
			in.Release()
			if got := receive(t, done); got != (result{"yes", nil}) {
				t.Errorf("%s: got %v", limit, got)
			}
			cancel()
		}
	})
}

// marshaler is an argument that does something while it is encoded.
type marshaler func() ([]byte, error)

func (m marshaler) MarshalJSON() ([]byte, error) { return m() }

// Whatever happens between the beginning of a call and its failure to send, the next call
// has nothing to do with it.
func TestCallThatFailsToSendLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		ctx := context.Background()
		broken := errors.New("broken")
		for range 3 {
			_, err := Call[string](ctx, s, "ask", marshaler(func() ([]byte, error) {
				// A client that guesses ids has answered already. (The encoder may try twice.)
				if w := s.unexpect(s.ns.ackID.Load() - 1); w != nil {
					in, err := codec.JSON.NewDecoder(nil).Text([]byte(`31["guessed"]`))
					must(t, err)
					w.answered(s, in.Clone())
					in.Release()
				}
				return nil, broken
			}))
			if _, ok := errors.AsType[*EncodeError](err); !ok {
				t.Fatalf("got %v, want an *EncodeError", err)
			}
			done := make(chan error, 1)
			go func() {
				v, err := Call[string](ctx, s, "ask")
				if v != "yes" {
					err = errors.Join(err, errors.New("got "+v))
				}
				done <- err
			}()
			synctest.Wait()
			p.send("43" + strconv.FormatUint(askedID(t, p.next().data), 10) + `["yes"]`)
			must(t, receive(t, done))
		}
		_, err := Call[string](ctx, s, "ask", marshaler(func() ([]byte, error) {
			s.Disconnect(false)
			return []byte("1"), nil
		}))
		wantErr(t, err, ServerDisconnect)
		p.want("41")
		_, err = Call[string](ctx, p.join("/").Timeout(time.Second), "ask")
		wantErr(t, err, ErrAckTimeout)
	})
}
