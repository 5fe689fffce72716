//go:build !linux

package engine

import "testing"

func openFDs() int { return 0 }

func untilParked(*testing.T, *Conn) {}

func shrinkSendBuffer(_ testing.TB, c *Conn) { shrinkNetConn(c) }
