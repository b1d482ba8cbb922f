// The nats.go peer of the benchmarks: speaks the same JSON lines as benchmarks/worker.py.
package main

import (
	"bufio"
	"bytes"
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
	Job      string   `json:"job"`
	Tasks    int      `json:"tasks"`
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
	"publish_acked": true, "publish_pipelined": true, "fetch_acked": true, "consume_acked": true,
	"key_put": true, "key_get": true, "object_put": true, "object_get": true,
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

// The JetStream jobs, by the API that this version has: it has no continuous pull. The names are those of models.py.
func job(js nats.JetStreamContext, c command, count int, data []byte) {
	switch c.Job {
	case "publish_acked":
		for i := 0; i < count; i++ {
			_, err := js.Publish("bench.stored", data)
			check(err)
		}
	case "publish_pipelined":
		acks := make([]nats.PubAckFuture, 0, count)
		for i := 0; i < count; i++ {
			ack, err := js.PublishAsync("bench.stored", data, nats.StallWait(time.Minute))
			check(err)
			acks = append(acks, ack)
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				check(err)
			}
		}
	case "fetch_acked", "consume_acked":
		batch := map[string]int{"fetch_acked": 100, "consume_acked": 500}[c.Job]
		sub, err := js.PullSubscribe("", "bench", nats.Bind("BENCH", "bench"))
		check(err)
		for count > 0 {
			if batch > count {
				batch = count
			}
			msgs, err := sub.Fetch(batch, nats.MaxWait(5*time.Second))
			check(err)
			for _, msg := range msgs {
				check(msg.Ack())
				count--
			}
		}
		check(nc.Flush())
	case "key_put", "key_get":
		bucket, err := js.KeyValue("bench")
		check(err)
		for i := 0; i < count; i++ {
			key := fmt.Sprintf("key.%d", i%100)
			if c.Job == "key_put" {
				_, err = bucket.Put(key, data)
			} else {
				_, err = bucket.Get(key)
			}
			check(err)
		}
	case "object_put", "object_get":
		store, err := js.ObjectStore("bench")
		check(err)
		for i := 0; i < count; i++ {
			if c.Job == "object_put" {
				_, err = store.PutBytes(fmt.Sprintf("new%d", i), data)
			} else {
				_, err = store.GetBytes("there")
			}
			check(err)
		}
	}
}

func stored(c command) fields {
	data := bytes.Repeat([]byte("x"), *c.Size)
	before, begin := cpu(), time.Now()
	js, err := nc.JetStream(nats.PublishAsyncMaxPending(4000), nats.MaxWait(time.Minute))
	check(err)
	var group sync.WaitGroup
	for i := 0; i < c.Tasks; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			job(js, c, c.Count/c.Tasks, data)
		}()
	}
	group.Wait()
	return fields{"cpu": cpu() - before, "elapsed": time.Since(begin).Seconds()}
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
	case "stored":
		return stored(c)
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
