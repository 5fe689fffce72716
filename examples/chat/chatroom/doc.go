// Package chatroom is the chat itself: its events, its state, and its page. The programs
// examples/chat (one server) and examples/cluster (several) start it.
//
// chat.go holds the events, hub.go the state, replica.go what several servers tell each
// other, page.go and web the page.
package chatroom
