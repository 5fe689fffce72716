package codec_test

import (
	"errors"
	"fmt"

	"github.com/epio-go/epio/codec"
)

// An encoded event is complete WebSocket frames: text, and a binary frame for each attachment.
func ExampleParser() {
	frame, err := codec.JSON.EncodeEvent("/chat", 12, "upload", []any{"cat", []byte{1, 2, 3}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer frame.Release()
	for binary, data := range codec.Parts(frame.Bytes()) {
		fmt.Printf("%t %q\n", binary, data)
	}
	// Output:
	// false "451-/chat,12[\"upload\",\"cat\",{\"_placeholder\":true,\"num\":0}]"
	// true "\x01\x02\x03"
}

// A decoder assembles the packets of one connection. Arguments are decoded when somebody asks for them.
func ExampleDecoder() {
	d := codec.JSON.NewDecoder(&codec.Limits{MaxAttachments: 2})
	defer d.Close()
	in, err := d.Text([]byte(`51-/chat,12["upload","cat",{"_placeholder":true,"num":0}]`))
	fmt.Println(in == nil, err, d.Outstanding(), "attachment is missing")
	in, err = d.Binary([]byte{1, 2, 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer in.Release()
	var name string
	var content []byte
	fmt.Println(in.Decode(0, &name), in.Decode(1, &content))
	fmt.Printf("%s %s %d: %s %v\n", in.Namespace, in.Event(), in.ID, name, content)
	// Output:
	// true <nil> 1 attachment is missing
	// <nil> <nil>
	// /chat upload 12: cat [1 2 3]
}

// What breaks the rules is a ProtocolError that names the rule. The connection has to be closed then.
func ExampleProtocolError() {
	d := codec.JSON.NewDecoder(&codec.Limits{MaxDepth: 3})
	defer d.Close()
	_, err := d.Text([]byte(`2["deep",[[[1]]]]`))
	fmt.Println(errors.Is(err, codec.ErrDepth))
	// Output: true
}
