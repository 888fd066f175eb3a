// The load generator of the serving benchmark: one thread, one epoll, no allocation on the way.
//
// It reads one job as JSON from standard input and writes one result as JSON to standard output.
// Requests are bytes that the caller has made.  Every answer is compared with those that the same
// request got before; what differs is kept, so that the caller can judge each distinct answer.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// Job is what one call does.
type Job struct {
	Address     string  `json:"address"`     // host:port, an IPv4 address
	Protocol    string  `json:"protocol"`    // "http" or "grpc"
	Path        string  `json:"path"`        // gRPC only: /service/method
	Connections int     `json:"connections"` // opened before the clock starts
	Streams     int     `json:"streams"`     // gRPC only: calls at once on a connection
	Rate        float64 `json:"rate"`        // requests a second at even distances; 0 = closed loop
	Polls       bool    `json:"polls"`       // wait for answers without sleeping
	Warmup      float64 `json:"warmup"`      // seconds that are not measured
	Seconds     float64 `json:"seconds"`
	// Whole HTTP/1.1 requests, or gRPC messages, sent in turn.
	Requests [][]byte `json:"requests"`
	// HTTP only: where 16 hexadecimal digits are counted up in every request; 0 = nowhere.
	Counter int `json:"counter"`
}

// Result is what one call found.
type Result struct {
	Seconds    float64        `json:"seconds"`
	Requests   int64          `json:"requests"`   // answered in the measured time
	Total      int64          `json:"total"`      // answered while warming up, too
	Unfinished int64          `json:"unfinished"` // open loop: due, but not answered by its end
	Errors     map[string]int `json:"errors"`
	Reconnects int            `json:"reconnects"`
	Latency    Latency        `json:"latency"`
	Answers    [][]Answer     `json:"answers"` // for each request, its distinct answers
	Busy       float64        `json:"busy"`    // processor time of the generator, as a share of one core
}

// Latency is in microseconds; in an open loop it counts from the moment that a request was due.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	var job Job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		fail(err)
	}
	result, err := perform(&job)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
