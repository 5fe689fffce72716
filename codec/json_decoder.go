package codec

import (
	"bytes"
	"math"
	"unicode/utf8"

	"github.com/epio-go/epio/pool"
)

// jsonDecoder implements Decoder. Owned by the connection's reading side.
type jsonDecoder struct {
	limits  *Limits
	partial *partial // nil between packets
}

// partial is a packet whose attachments are still coming.
type partial struct {
	in      *In
	want    int  // attachments announced
	bytes   int  // in attachments so far
	got     int  // attachments so far
	illegal bool // reported when the last one has come, as the reference does
}

// Outstanding implements Decoder.
func (d *jsonDecoder) Outstanding() int {
	if d.partial == nil {
		return 0
	}
	return d.partial.want - d.partial.got
}

// Held implements Decoder.
func (d *jsonDecoder) Held() int {
	if d.partial == nil {
		return 0
	}
	return d.partial.in.Size()
}

// Close implements Decoder.
func (d *jsonDecoder) Close() {
	if d.partial != nil {
		d.partial.in.Release()
		d.partial = nil
	}
}

// fail gives up the unfinished packet.
func (d *jsonDecoder) fail(err error) (*In, error) {
	d.Close()
	return nil, err
}

// Text implements Decoder.
func (d *jsonDecoder) Text(p []byte) (*In, error) {
	if d.partial != nil {
		return d.fail(ErrUnexpectedText)
	}
	if len(p) > math.MaxInt32 {
		return nil, ErrTooLarge
	}
	if !utf8.Valid(p) {
		// Transports check or repair this already; whatever calls us, nothing
		// ill-formed gets past here.
		p = toValidUTF8(p)
	}
	in := newIn()
	want, illegal, err := d.parse(in, p)
	if err != nil {
		in.Release()
		return nil, err
	}
	if want > 0 {
		d.partial = &partial{in: in, want: want, illegal: illegal}
		return nil, nil
	}
	return in, nil
}

// header is what precedes the payload.
type header struct {
	typ         Type
	attachments int
	nsp         []byte // alias; nil for the default one
	id          uint64
	hasID       bool
	payload     int // where it begins
}

// parse fills in from p. It returns the number of attachments to wait for.
func (d *jsonDecoder) parse(in *In, p []byte) (want int, illegal bool, err error) {
	h, err := d.parseHeader(p)
	if err != nil {
		return 0, false, err
	}
	in.wire = jsonWire{}
	in.Type, in.ID, in.HasID = h.typ, h.id, h.hasID
	in.HasPayload = h.payload < len(p)

	s := scanner{p: p, depth: d.limits.maxDepth(), args: in.args[:0], refs: in.refs[:0]}
	switch h.typ {
	case BinaryEvent, BinaryAck:
		in.Type -= BinaryEvent - Event
		in.maxBytes = d.limits.maxAttachmentBytes()
		s.binary, s.nums = true, h.attachments
	}
	if in.HasPayload {
		if err = scanPayload(&s, in.Type, h.payload); err != nil {
			return 0, false, err
		}
	}
	in.args, in.refs = s.args, s.refs

	// From here on p is a copy, where one is needed at all.
	in.Namespace = root
	if in.HasPayload || h.nsp != nil {
		in.buf = pool.Copy(p)
		if h.nsp != nil {
			off := cap(p) - cap(h.nsp)
			in.Namespace = in.buf.B[off : off+len(h.nsp)]
		}
	}
	if in.Type == Event && in.HasPayload {
		if err = in.takeName(); err != nil {
			return 0, false, err
		}
	}
	return h.attachments, s.illegal, nil
}

func (d *jsonDecoder) parseHeader(p []byte) (h header, err error) {
	if len(p) == 0 || p[0] < '0' || p[0] > '6' {
		return h, ErrType
	}
	h.typ = Type(p[0] - '0')
	if h.typ == ConnectError && (d.limits == nil || !d.limits.Client) {
		return h, ErrConnectError
	}
	i := 1
	if h.typ == BinaryEvent || h.typ == BinaryAck {
		end := scanDigits(p, i)
		if end == i || end == len(p) || p[end] != '-' {
			return h, ErrIllegalAttachments
		}
		n, ok := atoi(p[i:end])
		if ok && n == 0 {
			return h, ErrIllegalAttachments
		}
		if !ok || n > uint64(d.limits.maxAttachments()) {
			return h, ErrTooManyAttachments
		}
		h.attachments = int(n)
		i = end + 1
	}
	if i < len(p) && p[i] == '/' {
		end := len(p)
		if n := bytes.IndexByte(p[i:], ','); n >= 0 {
			end = i + n
		}
		if h.nsp = p[i:end]; len(h.nsp) == 1 {
			h.nsp = nil
		}
		i = min(end+1, len(p))
	}
	if end := scanDigits(p, i); end > i {
		var ok bool
		if h.id, ok = atoi(p[i:end]); !ok {
			return h, ErrID
		}
		h.hasID = true
		i = end
	}
	h.payload = i
	return h, nil
}

// scanPayload checks that the text from i on is a payload as type t may have.
func scanPayload(s *scanner, t Type, i int) error {
	switch t {
	case Event, Ack:
		return s.topArray(i)
	case Connect:
		first, err := s.top(i)
		if err == nil && first != '{' {
			err = ErrPayload
		}
		return err
	case ConnectError:
		first, err := s.top(i)
		if err == nil && first != '{' && first != '"' {
			err = ErrPayload
		}
		return err
	}
	return ErrPayload // DISCONNECT has none
}

// takeName makes the first argument the event name.
func (in *In) takeName() error {
	if len(in.args) == 0 {
		return ErrPayload
	}
	raw := in.raw(0)
	switch c := raw[0]; {
	case c == '"':
		raw = raw[1 : len(raw)-1]
		in.event = raw[:unescape(raw)]
		if Reserved(in.event) {
			return ErrReservedName
		}
	case c == '-' || c >= '0' && c <= '9':
		in.event = jsNumber(raw)
	default:
		return ErrPayload
	}
	// The name leaves the arguments; their array keeps its beginning for reuse.
	in.args = in.args[:copy(in.args, in.args[1:])]
	for i := range in.refs {
		in.refs[i].arg--
	}
	return nil
}

// Binary implements Decoder.
func (d *jsonDecoder) Binary(p []byte) (*In, error) {
	part := d.partial
	if part == nil {
		return nil, ErrUnexpectedBinary
	}
	part.bytes += len(p)
	if len(p) > part.in.maxBytes || part.bytes > part.in.maxBytes {
		return d.fail(ErrAttachmentBytes)
	}
	part.got++
	if !part.illegal {
		part.in.attachments = append(part.in.attachments, pool.Copy(p))
	}
	if part.got < part.want {
		return nil, nil
	}
	if part.illegal {
		return d.fail(ErrIllegalAttachments)
	}
	if part.in.referred() > part.in.maxBytes {
		return d.fail(ErrAttachmentBytes)
	}
	d.partial = nil
	return part.in, nil
}

// referred returns how many bytes of attachments decoding all arguments copies.
// Without that bound a packet could name one big attachment in each of many
// thousand arguments.
func (in *In) referred() int {
	n := 0
	for i, r := range in.refs {
		seen := false
		// One argument rarely has more than a few placeholders, and many of them
		// can only be repetitions, which stop at the first hit.
		for j := i - 1; j >= 0 && in.refs[j].arg == r.arg && !seen; j-- {
			seen = in.refs[j].num == r.num
		}
		if !seen {
			n += len(in.attachments[r.num].B)
		}
		if n > in.maxBytes {
			break
		}
	}
	return n
}

// atoi converts digits; ok is false beyond 64 bits.
func atoi(p []byte) (n uint64, ok bool) {
	for _, c := range p {
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
