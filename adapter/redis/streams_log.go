package redis

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// offset is the id of an entry, "1700000000001-0".
type offset struct{ ms, seq uint64 }

// nothing is where a stream begins.
const nothing = "0-0"

func parseOffset(s string) (o offset, ok bool) {
	ms, seq, found := strings.Cut(s, "-")
	if !found {
		return o, false
	}
	// ParseUint takes a sign no more than Redis does.
	var err1, err2 error
	o.ms, err1 = strconv.ParseUint(ms, 10, 64)
	o.seq, err2 = strconv.ParseUint(seq, 10, 64)
	return o, err1 == nil && err2 == nil
}

func (o offset) compare(p offset) int {
	return cmp.Or(cmp.Compare(o.ms, p.ms), cmp.Compare(o.seq, p.seq))
}

// Compare implements [cluster.LogDriver].
func (d *streams) Compare(a, b string) (order int, ok bool) {
	x, ok1 := parseOffset(a)
	y, ok2 := parseOffset(b)
	return x.compare(y), ok1 && ok2
}

// rangeCount is how many entries are read at once.
const rangeCount = 500

// Range implements [cluster.LogDriver]. The entry at from must be there: then what has been
// trimmed is older.
func (d *streams) Range(ctx context.Context, from string, f func(offset string, m *cluster.Message) bool) error {
	start, ok := parseOffset(from)
	if !ok {
		return adapter.ErrOffset
	}
	rdb, err := d.hub.forKey(ctx, d.stream)
	if err != nil {
		return err
	}
	if start == (offset{}) {
		if err := d.complete(ctx, rdb); err != nil {
			return err
		}
	} else {
		found, err := rdb.XRangeN(ctx, d.stream, from, from, 1).Result()
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return adapter.ErrOffset
		}
	}
	for {
		es, err := rdb.XRangeN(ctx, d.stream, "("+from, "+", rangeCount).Result()
		if err != nil {
			return err
		}
		for i := range es {
			e := entry{id: es[i].ID, values: es[i].Values}
			m, _, err := e.decode(d.a.Namespace())
			if err != nil {
				m = nil // it was logged when it came
			}
			if from = es[i].ID; !f(from, m) {
				return nil
			}
		}
		if len(es) < rangeCount {
			return nil
		}
	}
}

// complete reports, as adapter.ErrOffset, that the stream does not begin with its first
// entry any more.
func (d *streams) complete(ctx context.Context, rdb goredis.Cmdable) error {
	info, err := rdb.XInfoStream(ctx, d.stream).Result()
	switch {
	case goredis.HasErrorPrefix(err, "no such key"):
		return nil
	case err != nil:
		return err
	case info.EntriesAdded != info.Length:
		return adapter.ErrOffset
	}
	return nil
}

// sessionWait bounds commands that a client waits for.
const sessionWait = 2 * time.Second

func (d *streams) sessionKey(pid string) string { return d.o.SessionKeyPrefix + pid }

// StoreSession implements [cluster.LogDriver].
func (d *streams) StoreSession(ctx context.Context, pid string, p []byte, keep time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, sessionWait)
	defer cancel()
	return d.hub.rdb.Set(ctx, d.sessionKey(pid), base64.StdEncoding.EncodeToString(p), keep).Err()
}

// TakeSession implements [cluster.LogDriver].
func (d *streams) TakeSession(ctx context.Context, pid string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionWait)
	defer cancel()
	text, err := d.hub.rdb.GetDel(ctx, d.sessionKey(pid)).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}
