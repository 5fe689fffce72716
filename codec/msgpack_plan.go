package codec

import (
	"encoding/json"
	"reflect"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// mpPlan says how values of a Go type are written and read, worked out once per
// type. Plans form a graph like the types do, cycles included. Immutable once they
// are in the table.
//
// A type's own methods come first, in this order: those of msgp, the form of
// time.Time, those of encoding/json, those of encoding for text. What has none is
// treated by its kind, as encoding/json treats it.
type mpPlan struct {
	typ  reflect.Type
	kind reflect.Kind
	enc  mpMethod
	dec  mpMethod

	bytes     bool // a slice of bytes, JSON's base64
	number    bool // json.Number
	keyText   bool // of maps: the key has MarshalText
	keyParses bool // of maps: the key has UnmarshalText
	floats    bool // a float can be in it, which generated code reads only from floats
	wide      bool // of structs: which fields are written depends on the value

	elem    *mpPlan // of pointers, slices, arrays and maps
	fields  []mpField
	byName  map[string]int
	minSize uint64 // bytes of memory of one element, for slices, pointers and maps
}

// mpMethod is how a type writes or reads itself.
type mpMethod uint8

const (
	mpByKind mpMethod = iota
	mpByRaw           // msgp.Raw: bytes that are msgpack already
	mpByMsgp          // MarshalMsg, UnmarshalMsg
	mpByTime
	mpByJSON // MarshalJSON, UnmarshalJSON; converted
	mpByText // MarshalText, UnmarshalText; a string
)

var (
	msgpMarshalerType   = reflect.TypeFor[msgp.Marshaler]()
	msgpUnmarshalerType = reflect.TypeFor[msgp.Unmarshaler]()
	msgpRawType         = reflect.TypeFor[msgp.Raw]()
	timeType            = reflect.TypeFor[time.Time]()
	jsonNumberType      = reflect.TypeFor[json.Number]()
)

// mpPlans caches plans by type. A program has a bounded number of types, so
// nothing is ever dropped.
var mpPlans sync.Map // reflect.Type → *mpPlan

func mpPlanOf(t reflect.Type) *mpPlan {
	if p, ok := mpPlans.Load(t); ok {
		return p.(*mpPlan)
	}
	b := mpPlanner{nodes: make(map[reflect.Type]*mpPlan)}
	p := b.visit(t)
	b.settle()
	// Two goroutines may have built the same plan; either will do.
	actual, _ := mpPlans.LoadOrStore(t, p)
	return actual.(*mpPlan)
}

type mpPlanner struct {
	nodes map[reflect.Type]*mpPlan
}

// visit makes the node of t and of everything reachable from it.
func (b *mpPlanner) visit(t reflect.Type) *mpPlan {
	if p, ok := b.nodes[t]; ok {
		return p
	}
	p := &mpPlan{typ: t, kind: t.Kind(), number: t == jsonNumberType}
	b.nodes[t] = p
	p.enc, p.dec = mpEncodeMethod(t), mpDecodeMethod(t)
	switch p.kind {
	case reflect.Float32, reflect.Float64:
		p.floats = true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		p.elem = b.visit(t.Elem())
		p.minSize = uint64(t.Elem().Size())
		p.bytes = p.kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8 &&
			p.elem.enc == mpByKind && p.elem.dec == mpByKind
	case reflect.Map:
		p.elem = b.visit(t.Elem())
		p.minSize = uint64(t.Key().Size()+t.Elem().Size()) + 32 // and the table itself
		p.keyText = t.Key().Kind() != reflect.String && t.Key().Implements(textMarshalerType)
		p.keyParses = reflect.PointerTo(t.Key()).Implements(textUnmarshalerType)
	case reflect.Struct:
		b.visitStruct(t, p)
	}
	return p
}

func (b *mpPlanner) visitStruct(t reflect.Type, p *mpPlan) {
	p.fields = mpFieldsOf(t)
	p.byName = make(map[string]int, len(p.fields))
	for i := range p.fields {
		f := &p.fields[i]
		f.plan = b.visit(f.typ)
		p.byName[f.name] = i
		p.wide = p.wide || f.omitEmpty || f.omitZero || len(f.index) > 1
	}
}

// settle spreads floats to whatever contains them: a fixpoint, because types may
// refer to themselves.
func (b *mpPlanner) settle() {
	for changed := true; changed; {
		changed = false
		for _, p := range b.nodes {
			if p.floats {
				continue
			}
			p.floats = p.elem != nil && p.elem.floats
			for i := range p.fields {
				p.floats = p.floats || p.fields[i].plan.floats
			}
			changed = changed || p.floats
		}
	}
}

// either reports whether t or a pointer to it has the methods of i.
func either(t, i reflect.Type) bool {
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}

func mpEncodeMethod(t reflect.Type) mpMethod {
	switch {
	case t.Kind() == reflect.Interface, t.Kind() == reflect.Pointer:
		return mpByKind // followed until there is the value
	case t == msgpRawType:
		return mpByRaw
	case either(t, msgpMarshalerType) && !mpPromoted(t, msgpMarshalerType):
		return mpByMsgp
	case t == timeType:
		return mpByTime
	case either(t, jsonMarshalerType):
		return mpByJSON
	case either(t, textMarshalerType):
		return mpByText
	}
	return mpByKind
}

func mpDecodeMethod(t reflect.Type) mpMethod {
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer {
		return mpByKind
	}
	pt := reflect.PointerTo(t)
	switch {
	case t == msgpRawType:
		return mpByRaw
	case pt.Implements(msgpUnmarshalerType) && !mpPromoted(t, msgpUnmarshalerType):
		return mpByMsgp
	case t == timeType:
		return mpByTime
	case pt.Implements(jsonUnmarshalerType):
		return mpByJSON
	case pt.Implements(textUnmarshalerType):
		return mpByText
	}
	return mpByKind
}

// mpPromoted reports whether a struct may owe the methods of i to an embedded
// field. They would write or read that field alone, where JSON has all of them.
func mpPromoted(t, i reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range t.Fields() {
		if f.Anonymous && either(f.Type, i) {
			return true
		}
	}
	return false
}
