package main

import (
	"strings"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

// meetingPoint is where embedded servers find each other when --nats is empty.
const meetingPoint = "127.0.0.1:16222"

// onNATS uses the NATS server at --nats, or one within the process: --nats is empty then,
// or "embedded:" with the address at which nodes of one cluster meet.
func onNATS(o *options) (adapter.Factory, func(), error) {
	point, isEmbedded := strings.CutPrefix(o.nats, "embedded:")
	switch {
	case o.nats == "":
		point = meetingPoint
	case !isEmbedded:
		no := nats.Options{URL: o.nats}
		if o.recovery {
			no.JetStream = &nats.JetStream{}
		}
		f, err := nats.New(no)
		return f, nil, err
	}
	s, err := meet(point)
	if err != nil {
		return nil, nil, err
	}
	f, err := nats.New(nats.Options{Connect: s.Options()})
	return f, s.Close, err
}

// meet starts a server in the mesh of those that meet at an address. The first one listens
// there; when it is gone the others stay together, and go on looking for the next one.
func meet(point string) (*embedded.Server, error) {
	c := embedded.Config{Listen: point, Routes: []string{point}}
	if s, err := embedded.Start(c); err == nil {
		return s, nil
	}
	c.Listen = "127.0.0.1:0"
	s, err := embedded.Start(c)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(2 * time.Second); s.Peers() == 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	return s, nil
}
