package adapter

// SocketInfo describes a connected socket anywhere in the cluster. Its JSON form
// is the socket description the reference adapters exchange:
//
//	{"id":"…","handshake":{…},"rooms":["…"],"data":{…}}
type SocketInfo struct {
	ID        string     `json:"id"`
	Handshake *Handshake `json:"handshake"`
	// Rooms holds the own-id room like any other.
	Rooms []string `json:"rooms"`
	// Data is the application's data of the socket, as JSON or msgpack can
	// carry it.
	Data any `json:"data"`
	// Local is the socket itself if it is on this server, otherwise nil. An
	// adapter may leave Handshake and Data empty then.
	Local Receiver `json:"-"`
}

// Handshake is the part of a socket's handshake that travels between servers.
// Field names and forms are those of the reference server.
type Handshake struct {
	// Headers are those of the first request, names in lower case. A value is
	// a string, or a list of strings for headers that must not be joined.
	Headers map[string]any `json:"headers"`
	// Time is the moment of the handshake as a JavaScript date string, for
	// example "Thu Nov 19 2026 10:30:00 GMT+0000 (Coordinated Universal Time)".
	Time string `json:"time"`
	// Address is the peer's IP address without port.
	Address string `json:"address"`
	// XDomain says that the request carried an Origin header.
	XDomain bool `json:"xdomain"`
	// Secure says that the connection is encrypted.
	Secure bool `json:"secure"`
	// Issued is the moment of the handshake in milliseconds since 1970.
	Issued int64 `json:"issued"`
	// URL is the path and query of the first request.
	URL string `json:"url"`
	// Query holds its query parameters. A value is a string, the last one of a
	// repeated name; older Node servers have a list of strings then.
	Query map[string]any `json:"query"`
	// Auth is what the client sent with its connect packet.
	Auth any `json:"auth"`
}
