package postgres_test

import (
	"context"
	"log"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter/postgres"
	"github.com/epio-go/epio/sio"
)

// Several processes like this one, behind a load balancer with sticky sessions, and Node
// servers with @socket.io/postgres-adapter, serve as one.
func ExampleNew() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://app@localhost/app?connect_timeout=3")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close() // after the server

	srv, err := sio.New(sio.Config{
		Adapter: postgres.New(pool, postgres.Options{CreateTable: true}),
	})
	if err != nil {
		log.Fatal(err)
	}
	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error { return s.Join("news") })
	go func() {
		for now := range time.Tick(time.Second) {
			// To clients of all servers, each of which ticks.
			if err := srv.To("news").Emit("tick", now); err != nil {
				log.Print(err)
			}
		}
	}()
	if err := srv.ListenAndServe(":3000"); err != nil {
		log.Print(err)
	}
}

// A pool that goes through PgBouncer can publish, but what listens must not.
func ExampleNew_pgBouncer() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://app@bouncer:6432/app?default_query_exec_mode=exec")
	if err != nil {
		log.Fatal(err)
	}
	direct, err := pgx.ParseConfig("postgres://app@db:5432/app")
	if err != nil {
		log.Fatal(err)
	}
	_ = sio.Config{Adapter: postgres.New(pool, postgres.Options{Listen: direct})}
}
