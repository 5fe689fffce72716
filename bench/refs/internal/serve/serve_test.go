package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMallocs(t *testing.T) {
	var last uint64
	for range 2 {
		w := httptest.NewRecorder()
		Mallocs().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/mallocs", nil))
		var got struct{ Mallocs uint64 }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Mallocs <= last {
			t.Errorf("got %d allocations after %d", got.Mallocs, last)
		}
		last = got.Mallocs
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, "127.0.0.1:0", http.NotFoundHandler()); err != nil {
		t.Errorf("got %v after the signal, want none", err)
	}
	if err := run(t.Context(), "127.0.0.1:-1", http.NotFoundHandler()); err == nil {
		t.Error("got no error for an address that cannot be")
	}
}
