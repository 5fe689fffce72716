package codec

import "time"

//go:generate env GOWORK=off go tool -modfile=../tools/go.mod msgp -unexported -tests=false -io=false -o msgpack_types_gen_test.go

//msgp:tag json

// generated has the methods of msgp.
type generated struct {
	ID    int64             `json:"id"`
	Name  string            `json:"name"`
	Tags  []string          `json:"tags,omitempty"`
	Blob  []byte            `json:"blob"`
	At    time.Time         `json:"at"`
	Extra any               `json:"extra"`
	Attrs map[string]string `json:"attrs"`
	Inner *generatedInner   `json:"inner"`
}

// generatedInner has a float, which JavaScript sends as an integer when it is
// whole.
type generatedInner struct {
	X float64 `json:"x"`
	Y float32 `json:"y"`
	N uint8   `json:"n"`
}

// generatedPlain has nothing that JavaScript writes differently.
type generatedPlain struct {
	Room string `json:"room"`
	Text string `json:"text"`
	N    int    `json:"n"`
}
