package admin

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// registerStats adds server.*.
func (s *Source) registerStats() {
	server := s.Stats.Scope("server")
	server.GaugeFunc("state", func() int64 { return int64(s.state()) })
	server.GaugeFunc("live", func() int64 {
		if s.state() == Live {
			return 1
		}
		return 0
	})
	server.GaugeFunc("uptime", s.uptime)
	server.Gauge("concurrency").Set(int64(s.Concurrency))
	server.Gauge("version").Set(revision())
	server.Gauge("hot_restart_epoch").Set(0)
	server.GaugeFunc("total_connections", func() int64 {
		if s.Connections == nil {
			return 0
		}
		return s.Connections()
	})
	server.GaugeFunc("memory_allocated", func() int64 { return memory("/memory/classes/heap/objects:bytes") })
	server.GaugeFunc("memory_heap_size", func() int64 {
		return memory("/memory/classes/total:bytes") - memory("/memory/classes/heap/released:bytes")
	})
	server.GaugeFunc("memory_physical_size", residentSize)
}

// revision returns the first 24 bits of the revision the program was built from, as Envoy's
// server.version, or 0 if that is not known.
func revision() int64 {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return 0
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 6 {
			n, err := strconv.ParseInt(setting.Value[:6], 16, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// memory reads one of the runtime's metrics, without stopping the program.
func memory(name string) int64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}

// residentSize returns the program's memory as the system counts it, in bytes, or 0 if it does
// not say.
func residentSize() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
