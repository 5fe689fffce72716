package main

import "testing"

func TestWorkNames(t *testing.T) {
	for _, name := range []string{"connect", "idle", "bcast1", "bcast16", "bin16", "room1000-bcast16", "echo1000", "rooms", "churn", "slow", "poll", "upgrade"} {
		if _, err := find(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "bcast", "bcast0", "bcast-1", "bcast01", "bcast1x", "room5", "room0-bcast1", "room5-bcast", "echo+1", "paced"} {
		if _, err := find(name); err == nil {
			t.Errorf("%q is a work", name)
		}
	}
}

func TestNumbers(t *testing.T) {
	c := newContent(20, 'x')
	for _, n := range []uint64{0, 1, 0xabcdef, 1<<64 - 1} {
		if got, ok := c.read(c.number(n)); !ok || got != n {
			t.Errorf("%x is read as %x, %v", n, got, ok)
		}
	}
	for _, bad := range []string{"000000000000000gxxxx", "000000000000000Axxxx", "0000000000000000xxxy", "0000000000000000xxx"} {
		if _, ok := c.read([]byte(bad)); ok {
			t.Errorf("%q is taken for a payload", bad)
		}
	}
}
