// Command bench-load puts a load on a server that understands bench/server's
// events, and prints what it cost that server: CPU time, resident memory, allocations, and
// latency.
//
//	bench-load -addr 127.0.0.1:3000 -pid $(pidof bench-server) -clients 1000 -work connect,idle,bcast1,bcast16,echo1
//
// It is one thread around epoll, so that it leaves the machine to the server. It
// checks that every receiver gets every message once, unchanged and in order, and says so
// in the row instead of printing figures when one does not. It runs on Linux only.
//
// # Works
//
//	connect         WebSocket handshake and CONNECT, 64 under way; a unit is a connection
//	idle            nothing; the server's memory per connection, compared with that before the first
//	bcastN          broadcasts to a room of all clients, N under way; a unit is a delivery
//	roomR-bcastN    the same to a room of the first R clients
//	binN            as bcastN, with binary payload
//	echoN           calls that are answered with their payload, one under way on each of N clients; a unit is an answer
//	rooms           broadcasts to random ones of 10,000 (-rooms) rooms of 10, 16 under way, 4 senders; a unit is a delivery
//	churn           as bcast16, while a quarter of the clients keep joining and leaving; a unit is a delivery
//	slow            two rows: paced, broadcasts to all at a fixed rate, and slow, the same while further clients, 1 %, do not read
//	poll            as echoN, over HTTP long-polling, by 64 clients; a unit is an answer
//	upgrade         sessions that begin with polling, upgrade, call twice and close, 64 under way; a unit is a session
//
// poll and upgrade do not exist with -protocol plain.
//
// # CPU time and memory
//
// CPU time is that of clock_getcpuclockid(3): nanoseconds, all threads, ended ones too.
// With -mallocs URL the number of heap allocations is asked from the server before and after.
//
// # Latency
//
// Latency is taken for every unit, from the moment it was due to the moment this program
// has read its last byte, into a histogram whose size does not depend on the number. It includes the
// time until this program, which has one thread, has read what came before; with
// thousands of receivers that is most of it, for all servers alike.
//
// With a fixed rate (paced, slow) a broadcast is due when the schedule says, no matter
// whether earlier ones are delivered or the socket takes it: a server that stops for a
// while pays for all that should have been sent meanwhile. A server that lags behind by 4,096 broadcasts fails.
//
// The other works keep a number of units under way. There a unit is due at the moment the
// one whose place it takes has been completed, not when it has been written, so that no
// delay of this program is left out. What such a loop cannot show is what clients suffer that
// do not wait for others: use paced for that.
package main
