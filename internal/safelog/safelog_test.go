package safelog

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
	"testing"
)

// broken panics in the methods it is told to.
type broken struct {
	slog.Handler
	in string
}

func (b broken) check(method string) {
	if strings.Contains(b.in, method) {
		panic("broken: " + method)
	}
}

func (b broken) Enabled(ctx context.Context, l slog.Level) bool {
	b.check("Enabled")
	return b.Handler.Enabled(ctx, l)
}

func (b broken) Handle(ctx context.Context, r slog.Record) error {
	b.check("Handle")
	return b.Handler.Handle(ctx, r)
}

func (b broken) WithAttrs(a []slog.Attr) slog.Handler {
	b.check("WithAttrs")
	return broken{b.Handler.WithAttrs(a), b.in}
}

func (b broken) WithGroup(name string) slog.Handler {
	b.check("WithGroup")
	return broken{b.Handler.WithGroup(name), b.in}
}

func TestPanickingHandler(t *testing.T) {
	for in, want := range map[string]string{
		"":          "level=INFO msg=one a=1 g.b=2\nlevel=INFO msg=two\n",
		"Enabled":   "",
		"Handle":    "",
		"WithAttrs": "level=INFO msg=one g.b=2\nlevel=INFO msg=two\n",
		"WithGroup": "level=INFO msg=one a=1 b=2\nlevel=INFO msg=two\n",
	} {
		t.Run("in="+in, func(t *testing.T) {
			var lines, told bytes.Buffer
			defer log.SetOutput(log.Writer())
			log.SetOutput(&told)
			text := slog.NewTextHandler(&lines, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})
			l := New(slog.New(broken{text, in}))
			l.With("a", 1).WithGroup("g").Info("one", "b", 2)
			l.Info("two")
			if got := lines.String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			reports := 1
			if in == "" {
				reports = 0
			}
			if n := strings.Count(told.String(), "lines are lost: broken: "+in); n != reports {
				t.Errorf("%d reports, want %d: %q", n, reports, told.String())
			}
			if reports > 0 && !strings.Contains(told.String(), "safelog_test.go") {
				t.Errorf("no stack in %q", told.String())
			}
		})
	}
}

func TestNewOnce(t *testing.T) {
	l := New(slog.New(slog.NewTextHandler(new(bytes.Buffer), nil)))
	if New(l) != l {
		t.Error("wrapped twice")
	}
	if d := slog.New(slog.DiscardHandler); New(d) != d {
		t.Error("a logger that discards was wrapped")
	}
	New(nil).Error("discarded")
}
