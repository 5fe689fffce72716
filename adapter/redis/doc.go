// Package redis connects servers by means of Redis.
//
// There are three adapters, each speaking the wire format of one of the reference's, so
// that Go and Node servers can stand in one cluster:
//
//   - [Classic] is createAdapter of the npm package @socket.io/redis-adapter: PUBLISH
//     and SUBSCRIBE. It works with any Redis, and with @socket.io/redis-emitter.
//   - [Sharded] is createShardedAdapter of the same package: sharded pub/sub of Redis 7,
//     which scales with a Redis Cluster, and channels for rooms, so that servers get
//     only what they need.
//   - [Streams] is createAdapter of @socket.io/redis-streams-adapter: packets go through
//     a stream, which clients that reconnect catch up with (connection state recovery).
//
// All servers of a cluster use the same adapter with the same options. The adapters
// take a client of github.com/redis/go-redis/v9 for a single Redis, Sentinel, or a
// Cluster, and work with duplicates of it:
//
//	rdb := goredis.NewClient(&goredis.Options{Addr: "localhost:6379"})
//	srv, err := sio.New(sio.Config{Adapter: redis.Classic(rdb, redis.ClassicOptions{})})
package redis
