// The nats.go peer of the benchmarks: speaks the same JSON lines as benchmarks/worker.py.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

type command struct {
	Do       string   `json:"do"`
	Names    []string `json:"names"`
	URL      string   `json:"url"`
	Method   string   `json:"method"`
	Subject  string   `json:"subject"`
	Size     *int     `json:"size"`
	Inflight int      `json:"inflight"`
	Seconds  float64  `json:"seconds"`
	Timeout  float64  `json:"timeout"`
	Count    int      `json:"count"`
}

type fields map[string]interface{}

var (
	nc   *nats.Conn
	left int64
	done = make(chan struct{}, 1)
)

var offered = map[string]bool{
	"serve_echo": true, "serve_silence": true, "echo": true, "publish": true, "flush": true,
	"subscribe_callback": true,
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func cpu() float64 {
	var use syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(use.Utime) + seconds(use.Stime)
}

func peak() int64 {
	text, err := os.ReadFile("/proc/self/status")
	check(err)
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "VmHWM:") {
			kib, err := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			check(err)
			return kib
		}
	}
	return 0
}

func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	check(err)
	return pages * int64(os.Getpagesize())
}

func start(c command) {
	handle := func(m *nats.Msg) { check(m.Respond(m.Data)) }
	if c.Method == "serve_silence" {
		handle = func(m *nats.Msg) {}
	}
	_, err := nc.Subscribe(c.Subject, handle)
	check(err)
	check(nc.Flush())
}

func subscribe(c command) {
	if c.Count == 0 {
		c.Count = 1
	}
	for i := 0; i < c.Count; i++ {
		_, err := nc.Subscribe(c.Subject, func(m *nats.Msg) {
			if atomic.AddInt64(&left, -1) == 0 {
				done <- struct{}{}
			}
		})
		check(err)
	}
	check(nc.Flush())
}

func percentile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(share*float64(len(sorted)-1))]
}

func calls(c command) fields {
	data := make([]byte, *c.Size)
	all := make([][]float64, c.Inflight)
	var group sync.WaitGroup
	before, begin := cpu(), time.Now()
	end := begin.Add(time.Duration(c.Seconds * float64(time.Second)))
	for i := 0; i < c.Inflight; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for started := time.Now(); started.Before(end); {
				_, err := nc.Request(c.Subject, data, time.Minute)
				check(err)
				now := time.Now()
				all[i] = append(all[i], now.Sub(started).Seconds())
				started = now
			}
		}(i)
	}
	group.Wait()
	elapsed, used := time.Since(begin).Seconds(), cpu()-before
	var latencies []float64
	for _, some := range all {
		latencies = append(latencies, some...)
	}
	sort.Float64s(latencies)
	return fields{
		"count": len(latencies), "elapsed": elapsed, "cpu": used,
		"p50": percentile(latencies, 0.50), "p99": percentile(latencies, 0.99),
	}
}

func publish(c command) fields {
	data := make([]byte, *c.Size)
	before, begin := cpu(), time.Now()
	for i := 0; i < c.Count; i++ {
		check(nc.Publish(c.Subject, data))
	}
	check(nc.Flush())
	return fields{"count": c.Count, "cpu": cpu() - before, "elapsed": time.Since(begin).Seconds()}
}

func leaveWaiting(c command) fields {
	data := make([]byte, *c.Size)
	memory, before := resident(), cpu()
	for i := 0; i < c.Count; i++ {
		go nc.Request(c.Subject, data, time.Minute)
	}
	time.Sleep(500 * time.Millisecond)
	check(nc.Flush())
	return fields{"count": c.Count, "bytes": resident() - memory, "cpu": cpu() - before}
}

func subscribeIdle(c command) fields {
	memory, before := resident(), cpu()
	for i := 0; i < c.Count; i++ {
		_, err := nc.Subscribe(fmt.Sprintf("%s.%d", c.Subject, i), func(m *nats.Msg) {})
		check(err)
		check(nc.Flush())
	}
	return fields{"count": c.Count, "bytes": resident() - memory, "cpu": cpu() - before}
}

func do(c command) interface{} {
	switch c.Do {
	case "offers":
		missing := []string{}
		for _, name := range c.Names {
			if !offered[name] {
				missing = append(missing, name)
			}
		}
		return fields{"missing": missing, "version": nats.Version}
	case "connect":
		var err error
		nc, err = nats.Connect(c.URL)
		check(err)
	case "start":
		start(c)
	case "subscribe":
		subscribe(c)
	case "usage":
		return fields{"cpu": cpu(), "peak_kib": peak()}
	case "expect":
		atomic.StoreInt64(&left, int64(c.Count))
	case "all_seen":
		select {
		case <-done:
		case <-time.After(time.Duration(c.Timeout * float64(time.Second))):
		}
		return fields{"cpu": cpu(), "lost": atomic.LoadInt64(&left)}
	case "calls":
		return calls(c)
	case "publish":
		return publish(c)
	case "leave_waiting":
		return leaveWaiting(c)
	case "subscribe_idle":
		return subscribeIdle(c)
	case "close":
		if nc != nil {
			nc.Close()
		}
	}
	return nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var c command
		check(json.Unmarshal(lines.Bytes(), &c))
		check(out.Encode(fields{"result": do(c)}))
	}
}
