package coding

import "testing"

func TestChoose(t *testing.T) {
	tests := []struct {
		accept string
		want   string
	}{
		{"", ""},
		{"gzip", "gzip"},
		{"GZIP", "gzip"},
		{"x-gzip", "gzip"},
		{"deflate", "deflate"},
		{"gzip, deflate, br, zstd", "gzip"},
		{"deflate, gzip", "gzip"},
		{"br", ""},
		{"*", "gzip"},
		{"gzip;q=0", ""},
		{"gzip;q=0, *", "deflate"},
		{"gzip;q=0,deflate;q=0.001", "deflate"},
		{"gzip;q=0.5, deflate;q=0.8", "deflate"},
		{"gzip;q=0.5, deflate;q=0.51, *;q=1", "deflate"},
		{" gzip ; q=1.000 ", "gzip"},
		{"gzip; Q=0.3", "gzip"},
		{"gzip;q=0.3, identity;q=0.5", ""},
		{"gzip;q=0.5, identity;q=0.5", "gzip"},
		{"*;q=0", ""},
		{"*;q=0.1, gzip;q=0", "deflate"},
		{"identity", ""},
		{"identity;q=0", ""},
		{"gzip;q=", ""},
		{"gzip;q", ""},
		{"gzip;x=1", ""},
		{"gzip;q=1.001", ""},
		{"gzip;q=2", ""},
		{"gzip;q=-1", ""},
		{"gzip;q=0.1234", ""},
		{"gzip;q=0x1", ""},
		{"gzip;q=0.5;level=9", ""},
		{",,,gzip", "gzip"},
		{"not gzip", ""},
	}
	for _, tt := range tests {
		if got := Choose([]string{tt.accept}); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.accept, got, tt.want)
		}
	}
	if got := Choose([]string{"br", "deflate"}); got != "deflate" {
		t.Errorf("in two lines: got %q", got)
	}
	if n := testing.AllocsPerRun(100, func() { Choose([]string{"gzip, deflate, br"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
