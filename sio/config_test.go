package sio

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

func TestAllConfigProblemsAreReportedTogether(t *testing.T) {
	cfg := Config{
		ConnectTimeout: -1, AckTimeout: -1, AttachmentTimeout: -1, QueueEvents: -1, QueueBytes: -1, MaxNamespaces: -1,
		WhenFull: 7, Limits: codec.Limits{MaxDepth: -1}, MaxRooms: -1, OnSlow: func(*Socket, int) {},
		Rates:  Rates{Events: Rate{PerSecond: -1}, Joins: Rate{Burst: -1}, WhenOver: 7},
		Engine: eio.Config{Path: "nope", PingInterval: -1, MaxPayload: -1, SendBuffer: -1},
	}
	srv, err := New(cfg)
	if srv != nil || err == nil {
		t.Fatalf("New accepts %+v", cfg)
	}
	got := make(map[string]bool)
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		case *ConfigError:
			got[e.Field] = true
			if !strings.HasPrefix(e.Error(), "sio: Config."+e.Field+": ") {
				t.Errorf("text %q", e)
			}
		case *eio.ConfigError:
			got["Engine."+e.Field] = true
		default:
			t.Errorf("%T: %v", err, err)
		}
	}
	walk(err)
	want := []string{
		"AckTimeout", "AttachmentTimeout", "ConnectTimeout", "Engine.MaxPayload", "Engine.Path", "Engine.PingInterval", "Engine.SendBuffer",
		"Limits", "MaxNamespaces", "MaxRooms", "OnSlow", "QueueBytes", "QueueEvents", "Rates.Events", "Rates.Joins",
		"Rates.WhenOver", "WhenFull",
	}
	if fields := slices.Sorted(maps.Keys(got)); !slices.Equal(fields, want) {
		t.Errorf("got %q, want %q", fields, want)
	}
	if _, ok := errors.AsType[*ConfigError](err); !ok {
		t.Error("errors.AsType finds no ConfigError")
	}
}

func TestConfigDefaults(t *testing.T) {
	c, err := Config{}.normalize()
	must(t, err)
	if c.ConnectTimeout != 45*time.Second || c.AckTimeout != 30*time.Second || c.QueueEvents != 256 || c.QueueBytes != 1<<20 ||
		c.MaxNamespaces != 1000 || c.WhenFull != CloseWhenFull || c.Engine.Path != "/socket.io" ||
		c.Parser == nil || c.Adapter == nil || c.Logger == nil {
		t.Errorf("got %+v", c)
	}
	kept := Config{ConnectTimeout: 1, AckTimeout: 2, QueueEvents: 3, QueueBytes: 4, MaxNamespaces: 5, WhenFull: DropWhenFull}
	kept.Engine.Path = "/x"
	c, err = kept.normalize()
	must(t, err)
	if c.ConnectTimeout != 1 || c.AckTimeout != 2 || c.QueueEvents != 3 || c.QueueBytes != 4 || c.MaxNamespaces != 5 ||
		c.WhenFull != DropWhenFull || c.Engine.Path != "/x" {
		t.Errorf("got %+v", c)
	}
}

func TestErrors(t *testing.T) {
	for _, err := range []error{&Error{Message: "m"}, &PanicError{Value: "v"}, SlowClient, ErrClosed} {
		if err.Error() == "" {
			t.Errorf("%T without text", err)
		}
	}
	if !errors.Is(TransportClose, ErrClosed) || errors.Is(TransportClose, TransportError) || errors.Is(TransportClose, ErrDropped) {
		t.Error("a Reason matches ErrClosed and itself")
	}
}
