package codec

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// plan says where binary values can be inside a Go type, worked out once per
// type. Plans form a graph like the types do, cycles included. Immutable once
// they are in the table.
type plan struct {
	kind planKind
	// opaque (decoding only): a type reachable from here decodes itself, so what it
	// is given must be the real content, in base64.
	opaque bool
	elem   *plan       // of pointers, slices, arrays and maps
	fields []fieldPlan // of structs
}

type fieldPlan struct {
	plan      *plan
	index     int
	omitEmpty bool
}

type planKind uint8

const (
	// planNone: no binary value can be in it (encoding), nothing has to be put in
	// its place (decoding). The direct path.
	planNone planKind = iota
	planBytes
	planInterface // depends on the value
	planPointer
	planStruct
	planSlice
	planArray
	planMap

	// Decoding only, because a placeholder may turn up where it does not belong.
	planString
	planRaw // json.RawMessage
)

var (
	jsonMarshalerType   = reflect.TypeFor[json.Marshaler]()
	textMarshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	jsonUnmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	rawMessageType      = reflect.TypeFor[json.RawMessage]()
)

// planTable caches the plans of one direction by type. A program has a bounded
// number of types, so nothing is ever dropped.
type planTable struct {
	decoding bool
	plans    sync.Map // reflect.Type → *plan
}

var (
	encodePlans = planTable{}
	decodePlans = planTable{decoding: true}
)

func encodePlan(t reflect.Type) *plan { return encodePlans.of(t) }
func decodePlan(t reflect.Type) *plan { return decodePlans.of(t) }

func (pt *planTable) of(t reflect.Type) *plan {
	if p, ok := pt.plans.Load(t); ok {
		return p.(*plan)
	}
	b := planBuilder{decoding: pt.decoding, nodes: make(map[reflect.Type]*plan)}
	p := b.visit(t)
	b.settle()
	// Two goroutines may have built the same plan; either will do.
	actual, _ := pt.plans.LoadOrStore(t, p)
	return actual.(*plan)
}

type planBuilder struct {
	decoding bool
	nodes    map[reflect.Type]*plan
}

// visit makes the node of t and of everything reachable from it.
func (b *planBuilder) visit(t reflect.Type) *plan {
	if p, ok := b.nodes[t]; ok {
		return p
	}
	p := new(plan)
	b.nodes[t] = p
	switch {
	case b.decoding && t == rawMessageType:
		p.kind = planRaw
	case b.codesItself(t):
		p.opaque = b.decoding
	case b.isBytes(t):
		p.kind = planBytes
	default:
		b.visitKind(t, p)
	}
	return p
}

func (b *planBuilder) visitKind(t reflect.Type, p *plan) {
	switch t.Kind() {
	case reflect.Interface:
		p.kind = planInterface
	case reflect.String:
		if b.decoding {
			p.kind = planString
		}
	case reflect.Pointer:
		p.kind, p.elem = planPointer, b.visit(t.Elem())
	case reflect.Slice:
		p.kind, p.elem = planSlice, b.visit(t.Elem())
	case reflect.Array:
		p.kind, p.elem = planArray, b.visit(t.Elem())
	case reflect.Map:
		p.kind, p.elem = planMap, b.visit(t.Elem())
	case reflect.Struct:
		p.kind = planStruct
		for i := range t.NumField() {
			f := t.Field(i)
			tag := f.Tag.Get("json")
			if tag == "-" || !f.IsExported() && !embeddedStruct(f) {
				continue
			}
			_, options, _ := strings.Cut(tag, ",")
			p.fields = append(p.fields, fieldPlan{
				plan:      b.visit(f.Type),
				index:     i,
				omitEmpty: hasOption(options, "omitempty"),
			})
		}
	}
}

// embeddedStruct reports whether the exported fields of f are promoted.
func embeddedStruct(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct
}

func hasOption(options, name string) bool {
	for options != "" {
		var o string
		if o, options, _ = strings.Cut(options, ","); o == name {
			return true
		}
	}
	return false
}

// codesItself reports whether t has methods of its own for JSON. What is inside
// such a type is none of our business.
func (b *planBuilder) codesItself(t reflect.Type) bool {
	asJSON, asText := jsonMarshalerType, textMarshalerType
	if b.decoding {
		asJSON, asText = jsonUnmarshalerType, textUnmarshalerType
	}
	if t.Implements(asJSON) || t.Implements(asText) {
		return true
	}
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	pt := reflect.PointerTo(t)
	return pt.Implements(asJSON) || pt.Implements(asText)
}

// isBytes reports whether JSON writes t as a base64 string.
func (b *planBuilder) isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !b.codesItself(t.Elem())
}

// settle turns the graph into plans: containers in which nothing of interest can
// be become planNone, and opaque spreads to whatever contains it. Both are
// fixpoints, because types may refer to themselves.
func (b *planBuilder) settle() {
	useful := make(map[*plan]bool, len(b.nodes))
	for changed := true; changed; {
		changed = false
		for _, p := range b.nodes {
			u, o := p.elem == nil && p.kind != planNone && p.kind != planStruct, p.opaque
			if p.elem != nil {
				u, o = u || useful[p.elem], o || p.elem.opaque
			}
			for _, f := range p.fields {
				u, o = u || useful[f.plan], o || f.plan.opaque
			}
			if u != useful[p] || o != p.opaque {
				useful[p], p.opaque = u, o
				changed = true
			}
		}
	}
	for _, p := range b.nodes {
		if !useful[p] {
			p.kind, p.elem, p.fields = planNone, nil, nil
		}
	}
}
