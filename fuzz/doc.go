// Package fuzz holds fuzz targets that see the parsers as an application's peer
// does: through the public functions, with the limits a server sets.
//
//	go test -fuzz='^FuzzSocketIO$' ./fuzz
//	make fuzz FUZZTIME=5m
//
// Each target states what must hold for every input: no panic, memory within the
// limits and in proportion to the input, everything accepted can be encoded again and
// decoded to the same. Targets that need a package's inside stand beside the code
// instead, since nothing but a test may open it:
//
//	go test -fuzz='^FuzzMachine$' ./eio
//	make fuzz FUZZ=FuzzMachine
//
// The second form finds a target wherever it is; docs/reliability.md lists all of them.
// Inputs that once broke something are kept below testdata/fuzz, in the folder of the
// package, under a name that says what they were.
package fuzz
