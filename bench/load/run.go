package main

import (
	"fmt"
	"syscall"
	"time"
)

// A client speaks one protocol on one connection and has a number of slots for requests.
type client interface {
	// open connects and makes the connection ready for the first request.
	open() (*socket, error)
	// start sends a request that was due at a time; it may keep the bytes until flushed.
	start(slot, request int, due int64) error
	// receive reads what is there and ends requests by run.answered.
	receive() error
	// flush sends what is kept.
	flush() error
	// abandoned returns when the requests that have no answer yet were due.
	abandoned() []int64
}

type place struct{ connection, slot int }

type run struct {
	job         *Job
	poller      *poller
	clients     []client
	found       answers
	histogram   histogram
	errors      map[string]int
	reconnects  int
	completed   int64
	total       int64
	began       time.Time
	now         int64 // nanoseconds since the run began, read at most once an event
	measureFrom int64
	end         int64
	turn        int // the next request's number
	idle        []place
	issued      int64 // open loop: requests that were due and sent
	usedBefore  int64 // processor time until the measured time began; -1 before that
	over        bool
}

func perform(job *Job) (*Result, error) {
	if err := check(job); err != nil {
		return nil, err
	}
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	r := &run{
		job:         job,
		poller:      poller,
		found:       make(answers, len(job.Requests)),
		errors:      map[string]int{},
		usedBefore:  -1,
		measureFrom: int64(job.Warmup * 1e9),
		end:         int64((job.Warmup + job.Seconds) * 1e9),
	}
	for number := range job.Connections {
		c := r.newClient(number)
		if err := r.connect(c, number); err != nil {
			return nil, err
		}
		r.clients = append(r.clients, c)
	}
	r.began = time.Now()
	if err := r.loop(); err != nil {
		return nil, err
	}
	return r.result(), nil
}

func check(job *Job) error {
	if len(job.Requests) == 0 || job.Connections < 1 || job.Seconds <= 0 {
		return fmt.Errorf("a job needs requests, connections and seconds")
	}
	if job.Protocol != "http" && job.Protocol != "grpc" {
		return fmt.Errorf("the protocol is http or grpc, not %q", job.Protocol)
	}
	job.Streams = max(job.Streams, 1)
	if job.Protocol == "http" {
		job.Streams = 1
	}
	return nil
}

func (r *run) newClient(number int) client {
	if r.job.Protocol == "grpc" {
		return newGrpcClient(r, number)
	}
	return newHTTPClient(r, number)
}

func (r *run) connect(c client, number int) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	return r.poller.watch(s, number)
}

func (r *run) loop() error {
	for number := range r.clients {
		for slot := range r.job.Streams {
			r.free(number, slot)
		}
	}
	for !r.over {
		if r.job.Rate > 0 {
			r.startDue()
		}
		r.flushAll()
		if r.clock(); r.usedBefore < 0 && r.now >= r.measureFrom {
			r.usedBefore = processorNanos()
		}
		events, err := r.poller.wait(r.patience())
		if err != nil {
			return err
		}
		r.clock()
		for i := range events {
			r.handle(int(events[i].Fd), events[i].Events)
		}
		r.over = r.clock() >= r.end
	}
	return nil
}

// processorNanos returns the user and system time of this process.
func processorNanos() int64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // fails for bad arguments only
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func (r *run) clock() int64 {
	r.now = int64(time.Since(r.began))
	return r.now
}

// patience returns how long to sleep at most: as long as nothing needs to be started.
func (r *run) patience() time.Duration {
	if r.job.Polls {
		return 0
	}
	left := r.end - r.now
	if r.job.Rate > 0 && len(r.idle) > 0 {
		left = min(left, r.dueAt(r.issued)-r.now)
	}
	return time.Duration(left)
}

func (r *run) handle(number int, events uint32) {
	c := r.clients[number]
	err := c.flush()
	if err == nil && events&(syscall.EPOLLIN|syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		err = c.receive()
	}
	if err != nil {
		r.restart(number, err)
	}
}

// restart opens a connection anew; its unanswered requests are errors.
func (r *run) restart(number int, reason error) {
	c := r.clients[number]
	lost := c.abandoned()
	if len(lost) > 0 {
		r.errors[reason.Error()] += len(lost)
	}
	r.reconnects++
	kept := r.idle[:0]
	for _, p := range r.idle {
		if p.connection != number {
			kept = append(kept, p)
		}
	}
	r.idle = kept
	if err := r.connect(c, number); err != nil {
		r.errors[err.Error()]++
		r.over = true // a server that takes no connections any more is not measured
		return
	}
	for slot := range r.job.Streams {
		r.free(number, slot)
	}
}

// answered ends a request; the body is only valid during the call.
func (r *run) answered(number, slot, request int, due int64, body []byte, failure string) {
	now := r.clock()
	r.total++
	switch {
	case failure != "":
		r.errors[failure]++
	case !r.found.note(request, body):
		r.errors[fmt.Sprintf("over %d distinct answers to one request", mostAnswers)]++
	case due >= r.measureFrom || (r.job.Rate == 0 && now >= r.measureFrom):
		if now < r.end {
			r.completed++
			r.histogram.add(now - due)
		}
	}
	r.free(number, slot)
}

// free gives a slot its next request, or keeps it until one is due.
func (r *run) free(number, slot int) {
	if r.job.Rate > 0 {
		r.idle = append(r.idle, place{number, slot})
		return
	}
	r.start(number, slot, r.now)
}

func (r *run) start(number, slot int, due int64) {
	request := r.turn
	if r.turn++; r.turn == len(r.job.Requests) {
		r.turn = 0
	}
	if err := r.clients[number].start(slot, request, due); err != nil {
		r.errors[err.Error()]++
	}
}

func (r *run) dueAt(number int64) int64 {
	return int64(float64(number) * 1e9 / r.job.Rate)
}

func (r *run) startDue() {
	for len(r.idle) > 0 {
		due := r.dueAt(r.issued)
		if due > r.clock() || due >= r.end {
			return
		}
		last := len(r.idle) - 1
		p := r.idle[last]
		r.idle = r.idle[:last]
		r.issued++
		r.start(p.connection, p.slot, due)
	}
}

func (r *run) flushAll() {
	if r.job.Protocol != "grpc" {
		return // an HTTP/1.1 request is sent when it starts
	}
	for number, c := range r.clients {
		if err := c.flush(); err != nil {
			r.restart(number, err)
		}
	}
}

// late counts what an overloaded server owes at the end of an open loop: leaving it out would make
// the slowest answers the ones that nobody sees.
func (r *run) late() int64 {
	if r.job.Rate == 0 {
		return 0
	}
	var count int64
	add := func(due int64) {
		if due >= r.measureFrom && due < r.end {
			count++
			r.histogram.add(r.end - due)
		}
	}
	for _, c := range r.clients {
		for _, due := range c.abandoned() {
			add(due)
		}
	}
	for number := r.issued; r.dueAt(number) < r.end; number++ {
		add(r.dueAt(number))
	}
	return count
}

func (r *run) result() *Result {
	unfinished := r.late()
	return &Result{
		Seconds:    r.job.Seconds,
		Requests:   r.completed,
		Total:      r.total,
		Unfinished: unfinished,
		Errors:     r.errors,
		Reconnects: r.reconnects,
		Latency:    r.histogram.latency(),
		Answers:    r.found,
		Busy:       float64(processorNanos()-r.usedBefore) / float64(r.end-r.measureFrom),
	}
}
