package codec

import (
	"math/bits"
	"strconv"
)

// scanner checks JSON text and finds the pieces that matter in it, in one pass
// and without allocating. The grammar is exactly that of RFC 8259; only the
// encoding of characters is left to the caller. The methods take the position of
// a value and return the position behind it, or a negative number: scanBad or
// scanDeep.
//
// encoding/json is the oracle in the tests. sonic's decoder.Skip is not used: it
// is native code, which this package wants to hand only text that is known to be
// sound.
type scanner struct {
	p     []byte
	depth int // levels that may still be opened

	// What an array of arguments is cut into.
	args []span

	// Placeholders are looked for in BINARY packets only.
	binary  bool
	illegal bool          // one of them refers to no attachment
	nums    int           // attachments there are
	refs    []placeholder // found, in order of position
}

const (
	scanBad  = -1
	scanDeep = -2
)

// scanError translates a negative position.
func scanError(i int) error {
	if i == scanDeep {
		return ErrDepth
	}
	return ErrPayload
}

// space skips insignificant whitespace. There rarely is any, so that this is
// small enough to be inlined.
func (s *scanner) space(i int) int {
	if i < len(s.p) && s.p[i] > ' ' {
		return i
	}
	return s.moreSpace(i)
}

func (s *scanner) moreSpace(i int) int {
	for i < len(s.p) {
		switch s.p[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// top scans the one value that the text from i on must consist of, records its
// place in args and returns its first byte.
func (s *scanner) top(i int) (first byte, err error) {
	i = s.space(i)
	if i == len(s.p) {
		return 0, ErrPayload
	}
	end := s.value(i)
	if end < 0 {
		return 0, scanError(end)
	}
	if s.space(end) != len(s.p) {
		return 0, ErrPayload
	}
	s.args = append(s.args, span{uint32(i), uint32(end)})
	return s.p[i], nil
}

// topArray scans the one array that the text from i on must consist of and
// records the places of its elements in args.
func (s *scanner) topArray(i int) error {
	p := s.p
	i = s.space(i)
	if i == len(p) || p[i] != '[' {
		return ErrPayload
	}
	s.depth-- // at least one level is always allowed
	i = s.space(i + 1)
	if i < len(p) && p[i] == ']' {
		i++
	} else {
		for {
			end := s.value(i)
			if end < 0 {
				return scanError(end)
			}
			s.args = append(s.args, span{uint32(i), uint32(end)})
			i = s.space(end)
			if i == len(p) {
				return ErrPayload
			}
			c := p[i]
			i++
			if c == ']' {
				break
			}
			if c != ',' {
				return ErrPayload
			}
			i = s.space(i)
		}
	}
	if s.space(i) != len(p) {
		return ErrPayload
	}
	return nil
}

// value scans one value of any kind that begins at i.
func (s *scanner) value(i int) int {
	p := s.p
	if i >= len(p) {
		return scanBad
	}
	switch p[i] {
	case '"':
		return scanString(p, i)
	case '{':
		return s.object(i)
	case '[':
		return s.array(i)
	case 't':
		return scanWord(p, i, "true")
	case 'f':
		return scanWord(p, i, "false")
	case 'n':
		return scanWord(p, i, "null")
	default:
		return scanNumber(p, i)
	}
}

func (s *scanner) array(i int) int {
	if s.depth--; s.depth < 0 {
		return scanDeep
	}
	p := s.p
	i = s.space(i + 1)
	if i < len(p) && p[i] == ']' {
		s.depth++
		return i + 1
	}
	for {
		if i = s.value(i); i < 0 {
			return i
		}
		if i = s.space(i); i == len(p) {
			return scanBad
		}
		c := p[i]
		i++
		if c == ']' {
			s.depth++
			return i
		}
		if c != ',' {
			return scanBad
		}
		i = s.space(i)
	}
}

func (s *scanner) object(start int) int {
	if s.depth--; s.depth < 0 {
		return scanDeep
	}
	p := s.p
	i := s.space(start + 1)
	if i < len(p) && p[i] == '}' {
		s.depth++
		return i + 1
	}
	var mark objectMark
	if s.binary {
		mark = objectMark{refs: len(s.refs), illegal: s.illegal}
	}
	for {
		if i == len(p) || p[i] != '"' {
			return scanBad
		}
		key := i
		if i = scanString(p, i); i < 0 {
			return i
		}
		keyEnd := i
		if i = s.space(i); i == len(p) || p[i] != ':' {
			return scanBad
		}
		i = s.space(i + 1)
		val := i
		if i = s.value(i); i < 0 {
			return i
		}
		if s.binary {
			mark.member(p[key+1:keyEnd-1], p[val:i])
		}
		if i = s.space(i); i == len(p) {
			return scanBad
		}
		c := p[i]
		i++
		if c == '}' {
			break
		}
		if c != ',' {
			return scanBad
		}
		i = s.space(i)
	}
	s.depth++
	if mark.placeholder {
		// The whole object is replaced, with whatever else is in it.
		s.refs, s.illegal = s.refs[:mark.refs], mark.illegal
		num := placeholderNum(mark.num, s.nums)
		if num < 0 {
			s.illegal = true
			return i
		}
		s.refs = append(s.refs, placeholder{span{uint32(start), uint32(i)}, int32(num), int32(len(s.args))})
	}
	return i
}

// objectMark collects what tells a placeholder from another object. As in
// JavaScript, the last of several members of the same name counts, further
// members do not matter, and _placeholder must be true itself.
type objectMark struct {
	placeholder bool
	num         []byte // raw value of the member num
	refs        int    // state of the scanner before the object
	illegal     bool
}

func (m *objectMark) member(key, val []byte) {
	var tmp [16]byte
	for _, c := range key {
		if c != '\\' {
			continue
		}
		// Longer keys are neither of the two: an escape shrinks to a sixth at best.
		if len(key) > 6*len("_placeholder") {
			return
		}
		var long [6 * len("_placeholder")]byte
		if n := unescape(long[:copy(long[:], key)]); n <= len(tmp) {
			key = tmp[:copy(tmp[:], long[:n])]
		}
		break
	}
	switch string(key) {
	case "_placeholder":
		m.placeholder = string(val) == "true"
	case "num":
		m.num = val
	}
}

// placeholderNum returns the attachment a placeholder refers to, or -1.
func placeholderNum(val []byte, nums int) int {
	if len(val) == 0 || val[0] != '-' && (val[0] < '0' || val[0] > '9') {
		return -1
	}
	f, err := strconv.ParseFloat(string(val), 64) // 1e0 is 1 in JavaScript
	if err != nil || f < 0 || f >= float64(nums) || f != float64(int(f)) {
		return -1
	}
	return int(f)
}

func scanWord(p []byte, i int, word string) int {
	if len(p)-i < len(word) || string(p[i:i+len(word)]) != word {
		return scanBad
	}
	return i + len(word)
}

func scanNumber(p []byte, i int) int {
	if p[i] == '-' {
		i++
	}
	switch {
	case i < len(p) && p[i] == '0':
		i++
	case i < len(p) && p[i] >= '1' && p[i] <= '9':
		i = scanDigits(p, i)
	default:
		return scanBad
	}
	if i < len(p) && p[i] == '.' {
		end := scanDigits(p, i+1)
		if end == i+1 {
			return scanBad
		}
		i = end
	}
	if i < len(p) && p[i]|0x20 == 'e' {
		i++
		if i < len(p) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		end := scanDigits(p, i)
		if end == i {
			return scanBad
		}
		i = end
	}
	return i
}

func scanDigits(p []byte, i int) int {
	for i < len(p) && p[i]-'0' <= 9 {
		i++
	}
	return i
}

const (
	lsb = 0x0101010101010101
	msb = 0x8080808080808080
)

// plainLen returns how many bytes of s come before the first quote, backslash or
// control character.
func plainLen[T ~string | ~[]byte](s T) int {
	i := 0
	// Eight bytes at a time. The lowest bit set marks the first such byte; bits
	// above it may be false, because a borrow only travels upwards.
	for ; len(s)-i >= 8; i += 8 {
		w := s[i : i+8]
		x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		q := x ^ ('"' * lsb)
		b := x ^ ('\\' * lsb)
		if m := ((q-lsb)&^q | (b-lsb)&^b | (x-' '*lsb)&^x) & msb; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(s) && s[i] != '"' && s[i] != '\\' && s[i] >= ' ' {
		i++
	}
	return i
}

// scanString scans the string whose opening quote is p[i].
func scanString(p []byte, i int) int {
	i++
	for {
		i += plainLen(p[i:])
		if i == len(p) || p[i] < ' ' {
			return scanBad
		}
		if p[i] == '"' {
			return i + 1
		}
		if i = scanEscape(p, i); i < 0 {
			return i
		}
	}
}

// scanEscape scans the escape sequence whose backslash is p[i].
func scanEscape(p []byte, i int) int {
	if i+1 == len(p) {
		return scanBad
	}
	switch p[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if len(p)-i < 6 {
			return scanBad
		}
		for _, c := range p[i+2 : i+6] {
			if c-'0' > 9 && c|0x20-'a' > 5 {
				return scanBad
			}
		}
		return i + 6
	}
	return scanBad
}
