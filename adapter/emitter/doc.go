// Package emitter sends to the clients of a cluster from a process that serves none: a
// worker, a cron job, a command line.
//
// An [Emitter] is made by the package of the adapter that the servers use:
//
//	rdb := goredis.NewClient(&goredis.Options{Addr: "localhost:6379"})
//	e := redis.NewClassicEmitter(rdb, redis.ClassicOptions{})
//	err := e.To("news").Except("mobile").Emit(ctx, "headline", h)
//	err = e.Of("/chat").In(userID).Disconnect(ctx, true)
//
// or by hand, from one of the formats of this package and a function that publishes, so
// that any client library of a broker will do:
//
//	e := emitter.New(emitter.Classic(func(ctx context.Context, channel string, data []byte) error {
//		return client.Publish(ctx, channel, data)
//	}, emitter.ClassicOptions{}))
//
// The servers may be Go or Node ones. What travels are values; each server encodes them
// for its clients, with the parser that it has. So an emitter has no parser to choose, and
// one emitter reaches servers with different ones.
//
// An emitter is no member of the cluster: servers do not count it and nobody answers it.
// There are no acknowledgements, therefore, and nothing can be asked. When a method
// returns nil, the broker has the message; whether there are servers, it does not say.
//
// Messages have the uid "emitter" where servers have a random one. [Classic] writes what
// the npm package @socket.io/redis-emitter 5 writes, byte for byte.
package emitter
