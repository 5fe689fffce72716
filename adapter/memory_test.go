package adapter_test

import (
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
)

func TestMemoryContract(t *testing.T) {
	adaptertest.Run(t, adaptertest.Config{
		New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
			a := adapter.MemoryFactory(hosts[0])
			if err := a.Init(t.Context()); err != nil {
				t.Fatal(err)
			}
			return []adapter.Adapter{a}
		},
		NewRecovery: func(t *testing.T, hosts []adapter.RecoveryHost, c adapter.RecoveryConfig) []adapter.Adapter {
			a := adapter.NewMemory(adapter.Config{})
			if err := a.EnableRecovery(hosts[0], c); err != nil {
				t.Fatal(err)
			}
			return []adapter.Adapter{a}
		},
	})
}
