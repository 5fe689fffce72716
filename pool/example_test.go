package pool_test

import (
	"fmt"

	"github.com/epio-go/epio/pool"
)

// A buffer has one owner, who fills it. Sealed, it is a frame that many can share; the last Release gives the memory back.
func Example() {
	b := pool.Get(64)
	b.B = append(b.B, "hello, everybody"...)
	f := b.Seal(len("hello, ")) // b must not be used any more

	f.Retain(2) // one reference for each of three receivers
	for range 3 {
		fmt.Printf("%s\n", f.Bytes())
		f.Release()
	}
	// Output:
	// everybody
	// everybody
	// everybody
}
