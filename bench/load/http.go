package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// httpConn is a keep-alive connection that carries one request at a time.
type httpConn struct {
	stream
	busy bool
	done func(body []byte) error // body is valid until it returns
}

func (l *load) openHTTP(done func(body []byte) error) (*httpConn, error) {
	s, err := l.dial(0)
	if err != nil {
		return nil, err
	}
	h := &httpConn{stream: s, done: done}
	if err := l.add(h.fd, h); err != nil {
		unix.Close(h.fd)
		return nil, err
	}
	return h, nil
}

// request sends a request and has its answer given to done.
func (h *httpConn) request(r []byte) error {
	h.busy = true
	return h.write(r)
}

func (h *httpConn) ready(events uint32) error {
	p, err := h.input(events)
	if err != nil || len(p) == 0 {
		return err
	}
	if !h.busy {
		return fmt.Errorf("an answer nobody asked for: %s", quote(p))
	}
	status, body, n, err := response(p)
	if err != nil {
		return err
	}
	if n == 0 {
		h.keep(p)
		return nil
	}
	if status != 200 {
		return fmt.Errorf("HTTP status %d: %s", status, quote(body))
	}
	if n < len(p) {
		return fmt.Errorf("an answer nobody asked for: %s", quote(p[n:]))
	}
	h.busy = false
	// Before keep, which may give the memory of body to the next request's answer.
	if err := h.done(body); err != nil {
		return err
	}
	h.keep(nil)
	return nil
}

var errResponse = errors.New("malformed HTTP response")

// response cuts the first response from p. n is its size, 0 while it is incomplete.
func response(p []byte) (status int, body []byte, n int, err error) {
	head := bytes.Index(p, []byte("\r\n\r\n"))
	if head < 0 {
		return 0, nil, 0, nil
	}
	lines := strings.Split(string(p[:head]), "\r\n")
	if len(lines[0]) < 12 || !strings.HasPrefix(lines[0], "HTTP/1.1 ") {
		return 0, nil, 0, errResponse
	}
	if status, err = strconv.Atoi(lines[0][9:12]); err != nil {
		return 0, nil, 0, errResponse
	}
	size, chunked := 0, false
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			if size, err = strconv.Atoi(value); err != nil || size < 0 {
				return 0, nil, 0, errResponse
			}
		case "transfer-encoding":
			chunked = strings.EqualFold(value, "chunked")
		case "connection":
			if strings.EqualFold(value, "close") {
				return 0, nil, 0, fmt.Errorf("the server does not keep connections alive: %s", quote(p))
			}
		}
	}
	head += 4
	if chunked {
		return unchunk(status, p, head)
	}
	if len(p) < head+size {
		return 0, nil, 0, nil
	}
	return status, p[head : head+size], head + size, nil
}

// unchunk reads a chunked body, which begins at offset n.
func unchunk(status int, p []byte, n int) (int, []byte, int, error) {
	var body []byte
	for {
		line := bytes.Index(p[n:], []byte("\r\n"))
		if line < 0 {
			return 0, nil, 0, nil
		}
		size, err := strconv.ParseUint(string(p[n:n+line]), 16, 30)
		if err != nil {
			return 0, nil, 0, errResponse
		}
		n += line + 2
		end := n + int(size) + 2
		if len(p) < end {
			return 0, nil, 0, nil
		}
		body = append(body, p[n:end-2]...)
		n = end
		if size == 0 {
			return status, body, n, nil
		}
	}
}
