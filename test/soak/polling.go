package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// poller is the client's end of HTTP long-polling.
type poller struct {
	url    string // with sid once there is one
	client *http.Client
	tr     *http.Transport
	ctx    context.Context
	cancel context.CancelFunc
}

func newPoller(addr, query string) *poller {
	tr := &http.Transport{DialContext: (&net.Dialer{Timeout: dialTime}).DialContext}
	p := &poller{url: "http://" + addr + "/socket.io/?" + query + "&transport=polling", tr: tr}
	p.client = &http.Client{Transport: tr}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// pollTime is far longer than a server lets a poll wait.
const pollTime = 5 * time.Minute

const separator = 0x1e

func (p *poller) do(method string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.ctx, pollTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = &refusedError{resp.StatusCode, string(b)}
	}
	return b, err
}

// get returns the packets of a poll: Engine.IO's type in front of text, 'b' removed from binary.
func (p *poller) get() ([]message, error) {
	b, err := p.do("GET", nil)
	if err != nil {
		return nil, err
	}
	var all []message
	for part := range bytes.SplitSeq(b, []byte{separator}) {
		if len(part) == 0 {
			return nil, fmt.Errorf("%w: %.100q", errPacket, b)
		}
		if part[0] != 'b' {
			all = append(all, message{false, part})
			continue
		}
		data, err := base64.StdEncoding.AppendDecode(nil, part[1:])
		if err != nil {
			return nil, fmt.Errorf("%w: %.100q", errPacket, part)
		}
		all = append(all, message{true, data})
	}
	return all, nil
}

// post sends packets, in the same form.
func (p *poller) post(all []message) error {
	var b []byte
	for i, m := range all {
		if i > 0 {
			b = append(b, separator)
		}
		if m.binary {
			b = base64.StdEncoding.AppendEncode(append(b, 'b'), m.data)
		} else {
			b = append(b, m.data...)
		}
	}
	got, err := p.do("POST", b)
	if err == nil && string(got) != "ok" {
		err = errors.New("a POST was not answered with ok")
	}
	return err
}

// close gives the connections back. Requests under way end.
func (p *poller) close() {
	p.cancel()
	p.tr.CloseIdleConnections()
}
