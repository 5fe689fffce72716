// Command bench-load puts a load on a server that understands bench/server's events,
// and prints what it cost that server: CPU time, resident memory, allocations, and
// latency.
//
//	bench-load -addr 127.0.0.1:3000 -pid $(pidof bench-server) -clients 1000 -work connect,idle,bcast1,bcast16,echo1
//
// It is one thread around epoll, so that it leaves the machine to the server; its own
// share of a core stands in each row (load_busy). It checks that every receiver gets every
// message once, unchanged and in order, and says so in the row instead of printing
// figures when one does not; the next work then gets new clients. It runs on Linux only.
//
// # Works
//
//	connect         WebSocket handshake and CONNECT, 64 under way; a unit is a connection
//	idle            nothing; memory of the server per connection, beyond that before the first
//	bcastN          broadcasts to a room of all clients, N under way; a unit is a delivery
//	roomR-bcastN    the same to a room of the first R clients
//	binN            as bcastN, with binary payload
//	echoN           calls answered with their payload, one under way on each of N clients; a unit is an answer
//	rooms           broadcasts to random ones of 10,000 rooms (-rooms) of 10, 16 under way, by 4 senders; a unit is a delivery
//	churn           broadcasts in rounds of 16 while a quarter of the clients join and leave; a unit is a delivery
//	slow            two rows: paced, broadcasts to all at a fixed rate (-rate), and slow, the same after
//	                further clients, 1 %, have joined that do not read; they are not in the figures
//	poll            as echo64, over HTTP long-polling; a unit is an answer
//	upgrade         sessions that begin with polling, upgrade, call twice and close, 64 under way; a unit is a session
//
// poll and upgrade do not exist with -protocol plain. In slow the server may keep
// messages for the clients that do not read, drop them, or close their connections.
//
// # CPU time and memory
//
// CPU time is that of clock_getcpuclockid(3): nanoseconds, user and system, of all threads,
// those that have ended too. Memory is what /proc/PID/smaps_rollup counts. With -mallocs
// URL the server is asked for the number of its heap allocations before and after; what
// the question itself allocates is taken off.
//
// # Latency
//
// Latency is taken for every unit, from the moment it was due to the moment this program
// has read its last byte, and goes into a histogram whose size does not depend on the
// number. It includes the time this program, which has one thread, needs for reading what
// came before; with thousands of receivers that is much of it, for all servers alike.
//
// With a fixed rate (paced, slow) a broadcast is due when the schedule says, no matter
// whether earlier ones are delivered or the socket takes it: a server that stops for a
// while pays for all that should have been sent meanwhile. One that lags behind by 4,096
// broadcasts fails.
//
// The other works keep a number of units under way. There a unit is due at the moment the
// one whose place it takes has been completed, not when it is written, so that no delay
// of this program is left out. What such a loop cannot show is what clients suffer that do
// not wait for others: paced does.
package main
