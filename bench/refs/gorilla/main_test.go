package main

import (
	"testing"

	"github.com/epio-go/epio/bench/refs/internal/plaintest"
)

func TestServer(t *testing.T) { plaintest.Run(t, newServer()) }
