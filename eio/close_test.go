package eio

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// slowEnd is a handler that takes its time to hear of the end of a session.
type slowEnd struct{ hear chan struct{} }

func (h *slowEnd) Open(*Session)                  {}
func (h *slowEnd) Message(*Session, []byte, bool) {}
func (h *slowEnd) Close(*Session, Reason, error)  { <-h.hear }

// TestCloseWaitsForEnds shows that Close waits for a Handler.Close call that a timer has
// caused before.
func TestCloseWaitsForEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &slowEnd{hear: make(chan struct{})}
		srv, err := NewServer(Config{Portable: true}, h)
		if err != nil {
			t.Fatal(err)
		}
		srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", pollingPath, nil))
		time.Sleep(DefaultPingInterval + 2*DefaultPingTimeout) // in fake time: the heartbeat ends the session
		synctest.Wait()
		if n := srv.Sessions(); n != 0 {
			t.Fatalf("%d sessions, want none", n)
		}
		closed := make(chan struct{})
		go func() {
			srv.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		close(h.hear)
		<-closed
	})
}
