package redis

import (
	"strings"
	"testing"
	"testing/synctest"
)

// What comes while a namespace is busy waits, up to a size, and then the connection does. Nothing is lost or overtaken, and messages
// without a payload count, too.
func TestInboxIsBounded(t *testing.T) {
	for _, size := range []int{0, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			b := newInbox()
			most := inboxBytes/(size+itemSize+len("c")) + 1
			payload := strings.Repeat("x", size)
			put, closed := 0, make(chan struct{}) // put is read while all goroutines wait
			go func() {
				defer close(closed)
				for range most + 100 {
					b.put("c", payload)
					put++
				}
			}()
			synctest.Wait()
			if put != most {
				t.Errorf("%d messages of %d bytes were taken, want %d", put, size, most)
			}
			handled := 0
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				b.run(func(message) { handled++ })
			}()
			<-closed
			synctest.Wait()
			if handled != most+100 || b.bytes != 0 {
				t.Errorf("%d messages were handled, %d bytes are counted", handled, b.bytes)
			}
			b.close()
			<-ended
			b.put("c", "late") // does not wait
		})
	}
}
