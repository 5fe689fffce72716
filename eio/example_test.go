package eio_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/epio-go/epio/eio"
)

// shouter sends every text back in capitals.
type shouter struct{}

func (shouter) Open(s *eio.Session) { s.SendMessage([]byte("hello"), false) }

func (shouter) Message(s *eio.Session, data []byte, binary bool) {
	if !binary {
		s.SendMessage([]byte(strings.ToUpper(string(data))), false)
	}
}

func (shouter) Close(s *eio.Session, reason eio.Reason, err error) {}

// An Engine.IO server without Socket.IO, under an ordinary mux.
func Example() {
	srv, err := eio.NewServer(eio.Config{MaxConns: 10_000}, shouter{})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", srv)
	hs := httptest.NewServer(mux) // or http.ListenAndServe(":3000", mux), or srv.ListenAndServe(":3000")
	defer hs.Close()

	// What a client does, on polling.
	url := hs.URL + "/engine.io/?EIO=4&transport=polling"
	sid := strings.Split(get(url), `"`)[3]
	fmt.Println(get(url + "&sid=" + sid))
	http.Post(url+"&sid="+sid, "text/plain", strings.NewReader("4good morning"))
	fmt.Println(get(url + "&sid=" + sid))
	// Output:
	// 4hello
	// 4GOOD MORNING
}

// AllowRequest decides about handshakes, before there is a session. The refusal is told to the client, and to the application.
func ExampleConfig() {
	srv, err := eio.NewServer(eio.Config{
		AllowRequest: func(r *http.Request) error {
			if r.URL.Query().Get("key") != "secret" {
				return &eio.RefuseError{Message: "wrong key"}
			}
			return nil
		},
		OnConnectionError: func(e *eio.ConnectionError) { fmt.Println("refused:", e.Code, e.Message) },
	}, shouter{})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	hs := httptest.NewServer(srv)
	defer hs.Close()

	url := hs.URL + "/engine.io/?EIO=4&transport=polling"
	fmt.Println(get(url + "&key=guessed"))
	fmt.Println(get(url + "&key=secret")[:7])
	// Output:
	// refused: Forbidden wrong key
	// {"code":4,"message":"wrong key"}
	// 0{"sid"
}

func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}
