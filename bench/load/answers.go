package main

import "bytes"

// mostAnswers distinct answers are kept of one request; whatever comes beyond is an error, since
// nobody could judge it.
const mostAnswers = 64

// Answer is a body, or a gRPC message, and how often it came.
type Answer struct {
	Body  []byte `json:"body"`
	Count int64  `json:"count"`
}

type answers [][]Answer

// note counts an answer and returns false if it is one too many.
func (a answers) note(request int, body []byte) bool {
	known := a[request]
	for i := range known {
		if bytes.Equal(known[i].Body, body) {
			known[i].Count++
			return true
		}
	}
	if len(known) == mostAnswers {
		return false
	}
	a[request] = append(known, Answer{Body: bytes.Clone(body), Count: 1})
	return true
}
