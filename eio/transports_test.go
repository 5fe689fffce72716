package eio

import "testing"

// A server with one transport does not know the other, nor announces an upgrade to it.
func TestTransports(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		t.Run("polling", func(t *testing.T) {
			r := d.open(t, Config{Transports: []string{"polling"}}, nil)
			o := parseOpen(t, r.do("GET", pollingPath, "").body)
			if len(o.Upgrades) != 0 {
				t.Errorf("upgrades %q", o.Upgrades)
			}
			for _, path := range []string{wsPath, wsPath + "&sid=" + o.SID} {
				if c := r.upgrade(path, nil); c.status != 400 || c.body != CodeUnknownTransport.String() {
					t.Errorf("%s: %d %q", path, c.status, c.body)
				}
			}
			r.wantAlive(o.SID)
		})
		t.Run("websocket", func(t *testing.T) {
			r := d.open(t, Config{Transports: []string{"websocket"}}, nil)
			r.do("GET", pollingPath, "").wantCode(CodeUnknownTransport)
			c := r.websocket()
			c.send("4x")
			c.want("4x")
		})
	})
}
