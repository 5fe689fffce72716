// Package examples is a folder of small complete programs:
//
//   - chat: rooms, presence, typing indicator, history, reconnection, with a page
//   - conformance: the applications that the official protocol suites expect
package examples
