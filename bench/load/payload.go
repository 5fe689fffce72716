package main

import (
	"bytes"
	"fmt"
)

// digits is the length of the number a payload begins with, in hexadecimal.
const digits = 16

// content is a payload: a number and filler up to the wanted size.
type content []byte

func newContent(size int, filler byte) content {
	return append(bytes.Repeat([]byte("0"), digits), bytes.Repeat([]byte{filler}, size-digits)...)
}

// number puts n at the beginning and returns the payload, which is valid until the next call.
func (c content) number(n uint64) []byte {
	for i := digits - 1; i >= 0; i-- {
		c[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
	return c
}

// read checks a payload that came back and returns its number.
func (c content) read(p []byte) (uint64, bool) {
	if len(p) != len(c) || !bytes.Equal(p[digits:], c[digits:]) {
		return 0, false
	}
	return number(p[:digits])
}

// number reads 16 hexadecimal digits.
func number(p []byte) (n uint64, ok bool) {
	for _, b := range p {
		switch {
		case b-'0' < 10:
			n = n<<4 | uint64(b-'0')
		case b-'a' < 6:
			n = n<<4 | uint64(b-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// layout is a message whose parts are known, so that others of the same server can be
// compared with it instead of being parsed: all but the number is the same.
type layout struct {
	kind  kind // what to learn
	frame []byte
	op    byte
	at    int // offset of the number
	// attached tells that the message is an attachment, which follows the text in head.
	attached bool
	head     []byte
}

// match reports whether m is such a message, and its number.
func (y *layout) match(m []byte, op byte) (uint64, bool) {
	if len(m) != len(y.frame) || op != y.op || y.frame == nil {
		return 0, false
	}
	end := y.at + digits
	if !bytes.Equal(m[:y.at], y.frame[:y.at]) || !bytes.Equal(m[end:], y.frame[end:]) {
		return 0, false
	}
	return number(m[y.at:end])
}

// learn takes m as the model for later messages.
func (y *layout) learn(m []byte, op byte, payload []byte, attached bool) {
	i := bytes.Index(m, payload)
	if i < 0 {
		return
	}
	y.frame, y.op, y.at, y.attached = bytes.Clone(m), op, i, attached
}

// message handles a message of a client: directly when it looks like the one the layout
// was learned from, else by parsing it.
func (l *load) message(c *conn, m []byte, op byte) error {
	if seq, ok := l.form.match(m, op); ok {
		if c.attached != l.form.attached {
			return fmt.Errorf("an attachment is missing or too much: %s", quote(m))
		}
		c.attached = false
		return l.got(c, l.form.kind, seq)
	}
	if len(l.form.head) > 0 && op == 1 && bytes.Equal(m, l.form.head) && !c.attached {
		c.attached = true
		return nil
	}
	k, payload := l.wire.parse(m, op)
	attachment := l.wire == socketio && op == 2
	if c.attached != attachment {
		return fmt.Errorf("an attachment is missing or too much: %s", quote(m))
	}
	switch k {
	case unknown:
		return fmt.Errorf("unexpected %s", quote(m))
	case ping:
		return c.send([]byte("3"), 1)
	case opened:
		l.out = l.wire.connect(l.out[:0])
		return c.send(l.out, l.wire.op(false))
	case announced:
		c.attached = true
		l.form.head = bytes.Clone(m)
		return nil
	case answer, delivery:
		c.attached = false
		seq, ok := l.text.read(payload)
		if !ok {
			seq, ok = l.bin.read(payload)
		}
		if !ok {
			return fmt.Errorf("the payload was changed: %s", quote(m))
		}
		if k == l.form.kind && l.form.frame == nil {
			l.form.learn(m, op, payload, attachment)
		}
		return l.got(c, k, seq)
	}
	return l.got(c, k, 0)
}

// expect starts a work whose messages are mostly of one kind.
func (l *load) expect(k kind, got func(c *conn, k kind, seq uint64) error) {
	l.form = layout{kind: k}
	l.got = got
}
