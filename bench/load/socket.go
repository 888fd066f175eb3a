package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

var errAgain = syscall.EAGAIN

// A connection's bytes.  Reads and writes are raw system calls: nothing else runs in this process
// that the Go scheduler would have to know about.
type socket struct {
	fd      int
	pending []byte // what the kernel did not take yet
}

func dial(address string) (socket, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return socket{}, err
	}
	ip := net.ParseIP(host).To4()
	number, err := strconv.Atoi(port)
	if err != nil || ip == nil {
		return socket{}, fmt.Errorf("%q is not an IPv4 address with a port", address)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return socket{}, err
	}
	// While it is dialled and greeted the socket blocks, for a bounded time.
	patience := syscall.NsecToTimeval(int64(10 * time.Second))
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &patience),
		syscall.Connect(fd, &syscall.SockaddrInet4{Port: number, Addr: [4]byte(ip)}),
	)
	if err != nil {
		syscall.Close(fd)
		return socket{}, err
	}
	return socket{fd: fd}, nil
}

// read returns 0 and no error at the end of the stream.
func (s *socket) read(into []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(
			syscall.SYS_READ, uintptr(s.fd), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// write sends what the kernel takes now and keeps the rest.
func (s *socket) write(data []byte) error {
	if len(s.pending) > 0 {
		s.pending = append(s.pending, data...)
		return nil
	}
	for len(data) > 0 {
		n, _, errno := syscall.RawSyscall(
			syscall.SYS_WRITE, uintptr(s.fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
		switch errno {
		case 0:
			data = data[n:]
		case syscall.EINTR:
		case syscall.EAGAIN:
			s.pending = append(s.pending[:0], data...)
			return nil
		default:
			return errno
		}
	}
	return nil
}

// flush sends what was kept.
func (s *socket) flush() error {
	if len(s.pending) == 0 {
		return nil
	}
	kept := s.pending
	s.pending = nil
	return s.write(kept)
}

type poller struct {
	fd     int
	events [256]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return &poller{fd: fd}, err
}

// watch reports the socket's edges under a number from now on.
func (p *poller) watch(s *socket, number int) error {
	if err := syscall.SetNonblock(s.fd, true); err != nil {
		return err
	}
	const edgeTriggered = 1 << 31
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, s.fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered,
		Fd:     int32(number),
	})
}

// wait returns the numbers of the sockets that something happened to.
func (p *poller) wait(longest time.Duration) ([]syscall.EpollEvent, error) {
	const epollPwait2 = 441 // the same number on every architecture
	longest = max(longest, 0)
	until := syscall.NsecToTimespec(int64(longest))
	n, _, errno := syscall.RawSyscall6(epollPwait2, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(&until)), 0, 0)
	if errno == syscall.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, fmt.Errorf("epoll_pwait2 (Linux 5.11 or newer is needed): %w", errno)
	}
	return p.events[:n], nil
}
