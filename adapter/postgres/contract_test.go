package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/postgres"
)

// The contract, with the defaults, with everything in the table, and in the mode of pgx
// for PgBouncer.
func TestContract(t *testing.T) {
	srv := startServer(t)
	for name, test := range map[string]struct {
		o    postgres.Options
		mode pgx.QueryExecMode
	}{
		"notifications":   {mode: pgx.QueryExecModeCacheStatement},
		"table":           {mode: pgx.QueryExecModeCacheStatement, o: postgres.Options{PayloadThreshold: 1, TableName: `"odd "" Table"`}},
		"simple protocol": {mode: pgx.QueryExecModeSimpleProtocol},
		"not prepared":    {mode: pgx.QueryExecModeExec, o: postgres.Options{PayloadThreshold: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			pool := srv.pool("", func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = test.mode })
			clusters := 0
			adaptertest.Run(t, adaptertest.Config{
				Servers: 3,
				New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
					// Clusters run one after the other in one database.
					clusters++
					o := test.o
					o.ChannelPrefix = fmt.Sprintf("odd \"; prefix é %d", clusters)
					o.CreateTable = true
					var as []adapter.Adapter
					var cs []*cluster.Adapter
					for _, h := range hosts {
						a := clustertest.Open(t, postgres.New(pool, o), h)
						as, cs = append(as, a), append(cs, a)
					}
					clustertest.WantServers(t, cs...)
					return as
				},
			})
		})
	}
}
