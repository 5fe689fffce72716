// Package examples is a folder of small complete programs, and of functions to copy:
//
//   - chat: rooms, presence, typing indicator, history, reconnection, with a page
//   - conformance: the applications that the official protocol suites expect
//   - mounts: the server in ServeMux, gin, echo, chi and fiber, behind their middleware
package examples
