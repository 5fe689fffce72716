package codec

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/tinylib/msgp/msgp"
)

// mpField is a field of a struct as the other side sees it.
type mpField struct {
	name  string
	key   []byte // the name as msgpack
	index []int  // through embedded structs
	typ   reflect.Type
	plan  *mpPlan

	generated string // the name in the tag msg, which generated code may use

	tagged    bool // the name is from a tag
	omitEmpty bool
	omitZero  bool
	quoted    bool // the option "string": JSON text inside a string
}

// mpFieldsOf returns the fields of a struct under the names and by the rules of
// encoding/json: embedded structs are flattened; of several fields of one name
// the one least deep counts, then the one whose name is from a tag, and if that
// decides nothing, none does.
//
// A name is from the tag json, so that a type looks the same in both formats, or
// where there is none from the tag msgpack.
func mpFieldsOf(t reflect.Type) []mpField {
	type embedded struct {
		typ   reflect.Type
		index []int
	}
	var all []mpField
	seen := map[reflect.Type]bool{t: true}
	// One level of embedding after the other.
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var next []embedded
		times := map[reflect.Type]int{}
		for _, e := range level {
			for i := range e.typ.NumField() {
				sf := e.typ.Field(i)
				f, ok := mpFieldOf(sf)
				if !ok {
					continue
				}
				f.index = append(slices.Clip(e.index), i)
				inner := sf.Type
				if inner.Name() == "" && inner.Kind() == reflect.Pointer {
					inner = inner.Elem()
				}
				if f.tagged || !sf.Anonymous || inner.Kind() != reflect.Struct {
					all = append(all, f)
					continue
				}
				// A type embedded twice on one level hides its own fields.
				if times[inner]++; times[inner] <= 2 && !seen[inner] {
					next = append(next, embedded{inner, f.index})
				}
			}
		}
		for inner := range times {
			seen[inner] = true
		}
		level = next
	}
	return mpDominant(all)
}

// mpFieldOf reads the tags of a field; ok is false for one that does not count.
func mpFieldOf(sf reflect.StructField) (f mpField, ok bool) {
	if !sf.IsExported() && !embeddedStruct(sf) {
		return f, false
	}
	tag, has := sf.Tag.Lookup("json")
	if !has {
		tag = sf.Tag.Get("msgpack")
	}
	if tag == "-" {
		return f, false
	}
	name, options, _ := strings.Cut(tag, ",")
	f = mpField{name: sf.Name, typ: sf.Type}
	if validTagName(name) {
		f.name, f.tagged = name, true
	}
	f.key = msgp.AppendString(nil, f.name)
	f.generated, _, _ = strings.Cut(sf.Tag.Get("msg"), ",")
	f.omitEmpty = hasOption(options, "omitempty")
	f.omitZero = hasOption(options, "omitzero")
	if hasOption(options, "string") {
		t := sf.Type
		if t.Name() == "" && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch k := t.Kind(); {
		case k >= reflect.Bool && k <= reflect.Float64, k == reflect.String:
			f.quoted = true
		}
	}
	return f, true
}

// validTagName is encoding/json's rule.
func validTagName(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return s != ""
}

// mpDominant chooses among fields of one name and restores the order of the
// source.
func mpDominant(all []mpField) []mpField {
	slices.SortStableFunc(all, func(a, b mpField) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		if c := cmp.Compare(len(a.index), len(b.index)); c != 0 {
			return c
		}
		if a.tagged != b.tagged {
			if a.tagged {
				return -1
			}
			return 1
		}
		return 0
	})
	var out []mpField
	for i := 0; i < len(all); {
		end := i + 1
		for end < len(all) && all[end].name == all[i].name {
			end++
		}
		if end == i+1 || len(all[i+1].index) != len(all[i].index) || all[i+1].tagged != all[i].tagged {
			out = append(out, all[i])
		}
		i = end
	}
	slices.SortFunc(out, func(a, b mpField) int { return slices.Compare(a.index, b.index) })
	return out
}

// omitted reports whether the field, whose value is v, is left out.
func (f *mpField) omitted(v reflect.Value) bool {
	if f.omitEmpty && emptyValue(v) {
		return true
	}
	if !f.omitZero {
		return false
	}
	if z, ok := zeroer(v); ok {
		return z.IsZero()
	}
	return v.IsZero()
}

// zeroer returns v as something that says itself whether it is zero.
func zeroer(v reflect.Value) (interface{ IsZero() bool }, bool) {
	if !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil() || v.Kind() == reflect.Interface {
		return nil, false
	}
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z, true
	}
	if !v.CanAddr() {
		return nil, false
	}
	z, ok := v.Addr().Interface().(interface{ IsZero() bool })
	return z, ok
}

// emptyValue is encoding/json's rule for omitempty.
func emptyValue(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
