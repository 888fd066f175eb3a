package main

import "math/bits"

// Values are counted in cells that are at most 1/128 of their value wide.
const mantissa = 7

type histogram struct {
	cells [64 << mantissa]int64
	count int64
	sum   int64
	max   int64
}

func cellOf(value int64) int {
	if value < 0 {
		value = 0
	}
	if value < 1<<mantissa {
		return int(value)
	}
	shift := bits.Len64(uint64(value)) - mantissa - 1
	return (shift+1)<<mantissa + int(value>>shift) - 1<<mantissa
}

// middleOf returns the middle of a cell.
func middleOf(cell int) int64 {
	if cell < 1<<mantissa {
		return int64(cell)
	}
	shift := cell>>mantissa - 1
	low := int64(cell&(1<<mantissa-1)+1<<mantissa) << shift
	return low + int64(1)<<shift/2
}

func (h *histogram) add(value int64) {
	h.cells[cellOf(value)]++
	h.count++
	h.sum += value
	if value > h.max {
		h.max = value
	}
}

// quantile returns the value that a share of all values does not exceed.
func (h *histogram) quantile(share float64) int64 {
	rank := int64(share*float64(h.count) + 0.5)
	if rank < 1 {
		rank = 1
	}
	var seen int64
	for cell, count := range h.cells {
		seen += count
		if seen >= rank {
			return min(middleOf(cell), h.max)
		}
	}
	return h.max
}

func (h *histogram) latency() Latency {
	if h.count == 0 {
		return Latency{}
	}
	const nanosInMicro = 1e3
	at := func(share float64) float64 { return float64(h.quantile(share)) / nanosInMicro }
	return Latency{
		Mean: float64(h.sum) / float64(h.count) / nanosInMicro,
		P50:  at(0.5),
		P90:  at(0.9),
		P99:  at(0.99),
		P999: at(0.999),
		Max:  float64(h.max) / nanosInMicro,
	}
}
