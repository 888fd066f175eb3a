package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"syscall"
)

var (
	endOfHead     = []byte("\r\n\r\n")
	contentLength = []byte("\r\ncontent-length:")
	errClosed     = errors.New("the server closed the connection")
)

type httpClient struct {
	run     *run
	number  int
	socket  socket
	buffer  []byte
	filled  int
	busy    bool
	request int
	due     int64
	head    []byte // the last answer's head and what it said: most heads are the same
	status  int
	length  int
}

func newHTTPClient(r *run, number int) *httpClient {
	return &httpClient{run: r, number: number, buffer: make([]byte, 64<<10)}
}

func (c *httpClient) open() (*socket, error) {
	if c.socket.fd > 0 {
		syscall.Close(c.socket.fd)
	}
	s, err := dial(c.run.job.Address)
	c.socket, c.filled, c.busy = s, 0, false
	return &c.socket, err
}

func (c *httpClient) start(_, request int, due int64) error {
	c.busy, c.request, c.due = true, request, due
	data := c.run.job.Requests[request]
	if at := c.run.job.Counter; at > 0 {
		countUp(data[at : at+16])
	}
	return c.socket.write(data)
}

func (c *httpClient) flush() error {
	return c.socket.flush()
}

func (c *httpClient) abandoned() []int64 {
	if !c.busy {
		return nil
	}
	return []int64{c.due}
}

func (c *httpClient) receive() error {
	for {
		if c.filled == len(c.buffer) {
			c.buffer = append(c.buffer, make([]byte, len(c.buffer))...)
		}
		n, err := c.socket.read(c.buffer[c.filled:])
		if err == errAgain {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return errClosed
		}
		c.filled += n
		drained := c.filled < len(c.buffer)
		if err := c.take(); err != nil {
			return err
		}
		if drained {
			return nil
		}
	}
}

// take ends the request once its whole answer is there.
func (c *httpClient) take() error {
	data := c.buffer[:c.filled]
	end := bytes.Index(data, endOfHead)
	if end < 0 {
		return nil
	}
	if !c.busy {
		return errors.New("an answer that nobody asked for")
	}
	if err := c.parse(data[:end]); err != nil {
		return err
	}
	body := data[end+len(endOfHead):]
	if len(body) < c.length {
		return nil
	}
	if len(body) > c.length {
		return errors.New("more bytes than the answer's content-length")
	}
	failure := ""
	if c.status != 200 {
		failure = fmt.Sprintf("status %d: %.200s", c.status, body)
	}
	c.filled, c.busy = 0, false
	c.run.answered(c.number, 0, c.request, c.due, body, failure)
	return nil
}

func (c *httpClient) parse(head []byte) error {
	if bytes.Equal(head, c.head) {
		return nil
	}
	lower := bytes.ToLower(head)
	if !bytes.HasPrefix(lower, []byte("http/1.1 ")) || len(lower) < 12 {
		return fmt.Errorf("not an answer: %.60q", head)
	}
	status, err := strconv.Atoi(string(lower[9:12]))
	if err != nil {
		return fmt.Errorf("not a status: %.60q", head)
	}
	at := bytes.Index(lower, contentLength)
	if at < 0 {
		return errors.New("an answer without content-length")
	}
	value, _, _ := bytes.Cut(lower[at+len(contentLength):], []byte("\r\n"))
	length, err := strconv.Atoi(string(bytes.TrimSpace(value)))
	if err != nil {
		return fmt.Errorf("not a content-length: %q", value)
	}
	c.head, c.status, c.length = bytes.Clone(head), status, length
	return nil
}

// countUp adds one to a number written in hexadecimal digits.
func countUp(digits []byte) {
	for i := len(digits) - 1; i >= 0; i-- {
		switch digits[i] {
		case '9':
			digits[i] = 'a'
			return
		case 'f':
			digits[i] = '0'
		default:
			digits[i]++
			return
		}
	}
}
