package eio

// Handler is the application on top of the server. One value serves all
// sessions.
//
// Calls are serial per session: Open, then any number of Message, then Close once.
// Calls of different sessions run in parallel. No method may block: it may be
// running on the goroutine that reads many connections. No lock of the server is held
// during a call, so every Session method may be called from inside.
type Handler interface {
	// Open announces a session, before its first message. Packets sent from here
	// follow the handshake packet.
	Open(s *Session)
	// Message delivers one message. It borrows data: the bytes are overwritten
	// after it returns. Text on WebSocket is valid UTF-8; on polling, invalid
	// sequences have been replaced by U+FFFD.
	Message(s *Session, data []byte, binary bool)
	// Close reports the end of the session, exactly once, after the last Message. err
	// tells more than reason where there is more to tell, and may be nil. It
	// runs inside Session.Close or Session.Discard when those are called from outside
	// Message, so do not call them with a lock held that Close needs.
	Close(s *Session, reason Reason, err error)
}
