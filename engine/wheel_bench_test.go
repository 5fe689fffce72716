package engine

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// wheelWith returns a wheel on which n timers are armed for an hour and more.
func wheelWith(b *testing.B, n int) *Wheel {
	w := NewWheel()
	b.Cleanup(w.Stop)
	nop := funcExpirer(func(*Timer) { b.Error("a timer fired") })
	others := make([]Timer, n)
	for i := range others {
		others[i].Init(w, nop)
		others[i].Reset(time.Hour + time.Duration(i)*time.Millisecond)
	}
	return w
}

// BenchmarkWheelReset arms a timer that is armed, as every message does with a
// heartbeat.
func BenchmarkWheelReset(b *testing.B) {
	for _, armed := range []int{0, 100_000} {
		for _, delay := range []time.Duration{5 * time.Second, 25 * time.Second, time.Hour} {
			b.Run(fmt.Sprintf("armed=%d/delay=%v", armed, delay), func(b *testing.B) {
				w := wheelWith(b, armed)
				var tm Timer
				tm.Init(w, funcExpirer(func(*Timer) { b.Error("fired early") }))
				b.ReportAllocs()
				for b.Loop() {
					tm.Reset(w.Now() + delay)
				}
				if !tm.Stop() {
					b.Error("the timer was not armed")
				}
			})
		}
	}
}

// BenchmarkWheelArm arms a timer and stops it, as a call does that is answered in
// time.
func BenchmarkWheelArm(b *testing.B) {
	for _, armed := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("armed=%d", armed), func(b *testing.B) {
			w := wheelWith(b, armed)
			nop := funcExpirer(func(*Timer) { b.Error("fired early") })
			b.ReportAllocs()
			for b.Loop() {
				var tm Timer
				tm.Init(w, nop)
				tm.Reset(w.Now() + time.Minute)
				if !tm.Stop() {
					b.Fatal("the timer was not armed")
				}
			}
		})
	}
}

// All cores arm and stop timers of their own.
func BenchmarkWheelArmParallel(b *testing.B) {
	w := wheelWith(b, 100_000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var tm Timer
		tm.Init(w, funcExpirer(func(*Timer) { b.Error("fired early") }))
		for pb.Next() {
			tm.Reset(w.Now() + time.Minute)
			if !tm.Stop() {
				b.Error("the timer was not armed")
			}
		}
	})
}

// BenchmarkWheelExpire arms timers spread over a minute and lets all of them expire.
// The wheel's clock is put forward instead of waiting.
func BenchmarkWheelExpire(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("timers=%d", n), func(b *testing.B) {
			w := NewWheel()
			defer w.Stop()
			var fired atomic.Int64
			count := funcExpirer(func(*Timer) { fired.Add(1) })
			timers := make([]Timer, n)
			for i := range timers {
				timers[i].Init(w, count)
			}
			b.ReportAllocs()
			for b.Loop() {
				fired.Store(0)
				now := w.Now()
				for i := range timers {
					timers[i].Reset(now + time.Minute + time.Duration(i)*time.Minute/time.Duration(n))
				}
				w.start = w.start.Add(-3 * time.Minute)
				for i := range w.shards {
					w.shards[i].run()
				}
				if fired.Load() != int64(n) {
					b.Fatalf("%d timers expired, want %d", fired.Load(), n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/timer")
		})
	}
}
