// Package postgres connects servers by means of PostgreSQL, with LISTEN and NOTIFY.
//
// [New] speaks the wire format of the npm package @socket.io/postgres-adapter, versions
// 0.4 and 0.5, so that Go and Node servers can stand in one cluster, and is reached by
// @socket.io/postgres-emitter. Large packets, and those with binary, go through a table,
// which must exist unless [Options.CreateTable] is set:
//
//	CREATE TABLE IF NOT EXISTS socket_io_attachments (
//		id         bigserial UNIQUE,
//		created_at timestamptz DEFAULT NOW(),
//		payload    bytea
//	);
//
// Adapters publish through a pool of github.com/jackc/pgx/v5, and make one more
// connection, for all namespaces, that listens:
//
//	pool, err := pgxpool.New(ctx, "postgres://localhost/app?connect_timeout=3")
//	…
//	srv, err := sio.New(sio.Config{Adapter: postgres.New(pool, postgres.Options{})})
//
// Close the server before the pool.
package postgres
