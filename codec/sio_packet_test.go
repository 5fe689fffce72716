package codec

import "testing"

func TestTypeString(t *testing.T) {
	want := []string{"CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR", "BINARY_EVENT", "BINARY_ACK", "UNKNOWN"}
	for i, w := range want {
		if got := Type(i).String(); got != w {
			t.Errorf("%d: %q, want %q", i, got, w)
		}
	}
}

func TestReserved(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if !Reserved(name) || !Reserved([]byte(name)) {
			t.Errorf("%s is reserved", name)
		}
	}
	for _, name := range []string{"", "error", "connection", "Connect", "connect "} {
		if Reserved(name) {
			t.Errorf("%q is not reserved", name)
		}
	}
}
