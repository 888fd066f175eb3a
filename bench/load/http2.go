package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/net/http2/hpack"
)

// Frame types, flags and settings of RFC 9113.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	settingTableSize     = 0x1
	settingPush          = 0x2
	settingStreams       = 0x3
	settingInitialWindow = 0x4

	headSize      = 9
	prioritySize  = 5
	prefixSize    = 5 // of a gRPC message: compressed or not, and its length
	defaultWindow = 65535
	ourWindow     = 1 << 30
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// leastSize is what frames of fixed parts hold at least.
var leastSize = [256]int{framePing: 8, frameWindow: 4, frameReset: 4, frameGoAway: 8}

type call struct {
	id      uint32 // 0: none
	request int
	due     int64
	body    []byte
	http    string
	status  string
	reason  string
}

// grpcClient makes unary calls on one connection, several at once.
type grpcClient struct {
	run        *run
	number     int
	socket     socket
	in, out    []byte
	filled     int
	calls      []call
	nextID     uint32
	decoder    *hpack.Decoder
	emitting   *call
	block      []byte // of a HEADERS frame that is continued
	ending     bool   // that frame ends its stream
	first      []byte // header block that fills the server's table
	following  []byte // header block that uses it
	sendWindow int64
	waiting    []int // slots whose message does not fit the window
	received   int   // bytes of data since the server was last told that they were read
}

func newGrpcClient(r *run, number int) *grpcClient {
	return &grpcClient{
		run: r, number: number, in: make([]byte, 256<<10), calls: make([]call, r.job.Streams),
	}
}

func (c *grpcClient) open() (*socket, error) {
	if c.socket.fd > 0 {
		syscall.Close(c.socket.fd)
	}
	s, err := dial(c.run.job.Address)
	if err != nil {
		return nil, err
	}
	c.socket, c.filled, c.out, c.nextID, c.received = s, 0, nil, 1, 0
	c.sendWindow, c.waiting, c.block, c.first = defaultWindow, nil, nil, nil
	clear(c.calls)
	c.decoder = hpack.NewDecoder(4096, c.emit)
	c.out = append(c.out, preface...)
	settings := binary.BigEndian.AppendUint16(nil, settingPush)
	settings = binary.BigEndian.AppendUint32(settings, 0)
	settings = binary.BigEndian.AppendUint16(settings, settingInitialWindow)
	settings = binary.BigEndian.AppendUint32(settings, ourWindow)
	c.frame(frameSettings, 0, 0, settings)
	c.frame(frameWindow, 0, 0, binary.BigEndian.AppendUint32(nil, ourWindow))
	if err := c.flush(); err != nil {
		return nil, err
	}
	return &c.socket, c.greet()
}

// greet waits for the server's settings, since they bound the first request.
func (c *grpcClient) greet() error {
	for c.first == nil {
		n, err := c.socket.read(c.in[c.filled:])
		if err != nil {
			return fmt.Errorf("no HTTP/2 settings: %w", err)
		}
		if n == 0 {
			return errClosed
		}
		c.filled += n
		if err := c.take(); err != nil {
			return err
		}
	}
	return c.flush()
}

func (c *grpcClient) makeBlocks(tableSize uint32) {
	var buffer bytes.Buffer
	encoder := hpack.NewEncoder(&buffer)
	encoder.SetMaxDynamicTableSizeLimit(tableSize)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: c.run.job.Path},
		{Name: ":authority", Value: c.run.job.Address},
		{Name: "te", Value: "trailers"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "grpc-bench/1.0"},
	}
	write := func() []byte {
		buffer.Reset()
		for _, field := range fields {
			_ = encoder.WriteField(field) // a bytes.Buffer takes everything
		}
		return bytes.Clone(buffer.Bytes())
	}
	c.first, c.following = write(), write()
}

func (c *grpcClient) frame(kind, flags byte, stream uint32, payload []byte) {
	length := len(payload)
	c.out = append(c.out, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	c.out = binary.BigEndian.AppendUint32(c.out, stream)
	c.out = append(c.out, payload...)
}

func (c *grpcClient) start(slot, request int, due int64) error {
	c.calls[slot] = call{request: request, due: due, body: c.calls[slot].body[:0]}
	size := int64(len(c.run.job.Requests[request]) + prefixSize)
	if len(c.waiting) > 0 || c.sendWindow < size {
		c.waiting = append(c.waiting, slot)
		return nil
	}
	c.send(slot, size)
	return nil
}

func (c *grpcClient) send(slot int, size int64) {
	one := &c.calls[slot]
	one.id = c.nextID
	c.nextID += 2
	block := c.following
	if one.id == 1 {
		block = c.first
	}
	c.frame(frameHeaders, flagEndHeaders, one.id, block)
	message := c.run.job.Requests[one.request]
	c.out = append(c.out, byte(size>>16), byte(size>>8), byte(size), frameData, flagEndStream)
	c.out = binary.BigEndian.AppendUint32(c.out, one.id)
	c.out = append(c.out, 0)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(message)))
	c.out = append(c.out, message...)
	c.sendWindow -= size
}

func (c *grpcClient) flush() error {
	if err := c.socket.flush(); err != nil || len(c.out) == 0 {
		return err
	}
	err := c.socket.write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *grpcClient) abandoned() []int64 {
	var due []int64
	idle := map[int]bool{}
	for _, p := range c.run.idle {
		if p.connection == c.number {
			idle[p.slot] = true
		}
	}
	for slot := range c.calls {
		if !idle[slot] {
			due = append(due, c.calls[slot].due)
		}
	}
	return due
}

func (c *grpcClient) receive() error {
	for {
		n, err := c.socket.read(c.in[c.filled:])
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
		drained := c.filled < len(c.in)
		if err := c.take(); err != nil {
			return err
		}
		if drained {
			return c.flush()
		}
	}
}

// take handles all whole frames that have been read.
func (c *grpcClient) take() error {
	data := c.in[:c.filled]
	for len(data) >= headSize {
		length := int(data[0])<<16 | int(data[1])<<8 | int(data[2])
		if length+headSize > len(c.in) {
			return fmt.Errorf("a frame of %d bytes", length)
		}
		if len(data) < headSize+length {
			break
		}
		stream := binary.BigEndian.Uint32(data[5:]) &^ (1 << 31)
		if err := c.handle(data[3], data[4], stream, data[headSize:headSize+length]); err != nil {
			return err
		}
		data = data[headSize+length:]
	}
	c.filled = copy(c.in, data)
	return nil
}

func (c *grpcClient) handle(kind, flags byte, stream uint32, payload []byte) error {
	if len(payload) < leastSize[kind] {
		return fmt.Errorf("a frame of type %d with %d bytes", kind, len(payload))
	}
	switch kind {
	case frameData:
		return c.data(flags, stream, payload)
	case frameHeaders, frameContinuation:
		return c.headers(kind, flags, stream, payload)
	case frameSettings:
		return c.settings(flags, payload)
	case framePing:
		if flags&flagAck == 0 {
			c.frame(framePing, flagAck, 0, payload)
		}
	case frameWindow:
		if stream == 0 {
			c.widen(int64(binary.BigEndian.Uint32(payload)))
		}
	case frameReset:
		if slot := c.slotOf(stream); slot >= 0 {
			c.finish(slot, fmt.Sprintf("reset, code %d", binary.BigEndian.Uint32(payload)))
		}
	case frameGoAway:
		return fmt.Errorf("the server goes away: %.100q", payload[8:])
	}
	return nil
}

func (c *grpcClient) settings(flags byte, payload []byte) error {
	if flags&flagAck != 0 {
		return nil
	}
	tableSize := uint32(4096)
	for ; len(payload) >= 6; payload = payload[6:] {
		value := binary.BigEndian.Uint32(payload[2:])
		switch binary.BigEndian.Uint16(payload) {
		case settingTableSize:
			tableSize = min(tableSize, value)
		case settingStreams:
			if int(value) < c.run.job.Streams {
				return fmt.Errorf("the server takes %d streams only", value)
			}
		case settingInitialWindow:
			if value < defaultWindow {
				return fmt.Errorf("the server takes %d bytes of a stream only", value)
			}
		}
	}
	if c.first == nil {
		c.makeBlocks(tableSize)
	}
	c.frame(frameSettings, flagAck, 0, nil)
	return nil
}

func (c *grpcClient) widen(by int64) {
	c.sendWindow += by
	for len(c.waiting) > 0 {
		slot := c.waiting[0]
		size := int64(len(c.run.job.Requests[c.calls[slot].request]) + prefixSize)
		if c.sendWindow < size {
			return
		}
		c.waiting = c.waiting[1:]
		c.send(slot, size)
	}
}

func (c *grpcClient) slotOf(stream uint32) int {
	for slot := range c.calls {
		if stream != 0 && c.calls[slot].id == stream {
			return slot
		}
	}
	return -1
}

func (c *grpcClient) data(flags byte, stream uint32, payload []byte) error {
	c.received += len(payload)
	if c.received > ourWindow/2 {
		c.frame(frameWindow, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(c.received)))
		c.received = 0
	}
	slot := c.slotOf(stream)
	if slot < 0 {
		return nil // of a call that was reset
	}
	payload, err := unpad(flags, payload)
	if err != nil {
		return err
	}
	c.calls[slot].body = append(c.calls[slot].body, payload...)
	if flags&flagEndStream != 0 {
		c.finish(slot, "no trailers")
	}
	return nil
}

func unpad(flags byte, payload []byte) ([]byte, error) {
	if flags&flagPadded == 0 {
		return payload, nil
	}
	if len(payload) == 0 || int(payload[0]) >= len(payload) {
		return nil, errors.New("a frame with more padding than content")
	}
	return payload[1 : len(payload)-int(payload[0])], nil
}

func (c *grpcClient) headers(kind, flags byte, stream uint32, payload []byte) error {
	if kind == frameHeaders {
		var err error
		if payload, err = unpad(flags, payload); err != nil {
			return err
		}
		if flags&flagPriority != 0 {
			payload = payload[min(prioritySize, len(payload)):]
		}
		c.block, c.ending = c.block[:0], flags&flagEndStream != 0
	}
	c.block = append(c.block, payload...)
	if flags&flagEndHeaders == 0 {
		return nil
	}
	slot := c.slotOf(stream)
	c.emitting = &call{}
	if slot >= 0 {
		c.emitting = &c.calls[slot]
	}
	if _, err := c.decoder.Write(c.block); err != nil {
		return err
	}
	if err := c.decoder.Close(); err != nil {
		return err
	}
	if slot >= 0 && c.ending {
		c.finish(slot, "")
	}
	return nil
}

func (c *grpcClient) emit(field hpack.HeaderField) {
	switch field.Name {
	case ":status":
		c.emitting.http = field.Value
	case "grpc-status":
		c.emitting.status = field.Value
	case "grpc-message":
		c.emitting.reason = field.Value
	}
}

func (c *grpcClient) finish(slot int, failure string) {
	one := &c.calls[slot]
	body := one.body
	switch {
	case failure != "":
	case one.http != "200":
		failure = "HTTP status " + one.http
	case one.status != "0":
		failure = fmt.Sprintf("gRPC status %q: %s", one.status, one.reason)
	case len(body) < prefixSize || body[0] != 0 ||
		int(binary.BigEndian.Uint32(body[1:])) != len(body)-prefixSize:
		failure = "not one plain message"
	default:
		body = body[prefixSize:]
	}
	one.id = 0
	c.run.answered(c.number, slot, one.request, one.due, body, failure)
}
