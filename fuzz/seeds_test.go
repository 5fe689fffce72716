package fuzz

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// wireVector is what the official parsers make of a packet or a payload, see the scripts in
// codec/testdata.
type wireVector struct {
	Messages []string // of Socket.IO; binary ones are written as +hex
	Payload  string   // of Engine.IO v4
}

func wireVectors(f *testing.F) (all []wireVector) {
	f.Helper()
	file, err := os.Open("../codec/testdata/packets.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for s.Scan() {
		var v wireVector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			f.Fatal(err)
		}
		all = append(all, v)
	}
	if s.Err() != nil || len(all) < 20 {
		f.Fatalf("%d vectors, %v", len(all), s.Err())
	}
	return all
}

// seedSocketIO adds packets; attachments are joined and cut at the size of the first.
func seedSocketIO(f *testing.F) {
	for _, v := range wireVectors(f) {
		if len(v.Messages) == 0 {
			continue
		}
		var rest []byte
		cut := 0
		for i, m := range v.Messages[1:] {
			p, err := hex.DecodeString(strings.TrimPrefix(m, "+"))
			if err != nil {
				f.Fatal(err)
			}
			if i == 0 {
				cut = len(p)
			}
			rest = append(rest, p...)
		}
		f.Add([]byte(v.Messages[0]), rest, cut)
	}
}

func seedPayloads(f *testing.F) {
	for _, v := range wireVectors(f) {
		if v.Payload != "" {
			f.Add([]byte(v.Payload))
		}
	}
}

func seedPayloadsV3(f *testing.F) {
	text, err := os.ReadFile("../codec/testdata/eio3.json")
	if err != nil {
		f.Fatal(err)
	}
	var all []struct{ TextPayload, BinaryPayload string }
	if err := json.Unmarshal(text, &all); err != nil || len(all) == 0 {
		f.Fatalf("%d vectors, %v", len(all), err)
	}
	for _, v := range all {
		p, err := hex.DecodeString(v.BinaryPayload)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(v.TextPayload))
		f.Add(p)
	}
}
