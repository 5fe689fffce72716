// Package fuzz holds fuzz targets that see the parsers as an application's peer
// does: through the public functions, with the limits a server sets.
//
//	go test -fuzz=FuzzSocketIO ./fuzz
//	make fuzz FUZZTIME=5m
//
// Each target states what must hold for every input: no panic, memory within the
// limits, everything accepted can be encoded again. Targets that need a package's
// inside stand beside the code instead. Inputs that once broke something are kept
// below testdata/fuzz under a name that says what they were.
package fuzz
