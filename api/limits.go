package api

import (
	"time"

	"nearby/parameter"
)

// Limits bound what a request may ask for. A field that is zero gets its default.
type Limits struct {
	MaxK           int           // nearest items in an answer; default 1000
	MaxLimit       int           // items in a page; default 10000
	MaxBatch       int           // queries in one request; default 1000
	MaxBatchK      int           // sum of their k; default 100,000
	MaxBodyBytes   int64         // size of a body with one item or definition; default 1 MiB
	MaxBatchBytes  int64         // size of a body with queries; default 8 MiB
	MaxLoadBytes   int64         // size of a bulk load after decompression; default 0: any size
	MaxAnswerBytes int64         // size of an answer; default 64 MiB, and at most MaxUnreadBytes
	MaxUnreadBytes int64         // size of all answers together that are sent whole and not yet read; default 512 MiB
	MaxCompared    int           // points compared by one query, or for a page before it may end; default 50 million
	MaxConcurrent  int           // requests that are worked on at once; default 512
	Timeout        time.Duration // time of a request that is not a load; default 30 s
}

// WithDefaults returns the limits with the default in place of each zero.
func (l Limits) WithDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.MaxK, parameter.MaxK)
	def(&l.MaxLimit, parameter.MaxLimit)
	def(&l.MaxBatch, 1000)
	def(&l.MaxBatchK, 100_000)
	def(&l.MaxCompared, 50_000_000)
	def(&l.MaxConcurrent, 512)
	if l.MaxBodyBytes == 0 {
		l.MaxBodyBytes = 1 << 20
	}
	if l.MaxBatchBytes == 0 {
		l.MaxBatchBytes = 8 << 20
	}
	if l.MaxAnswerBytes == 0 {
		l.MaxAnswerBytes = 64 << 20
	}
	if l.MaxUnreadBytes == 0 {
		l.MaxUnreadBytes = 512 << 20
	}
	l.MaxAnswerBytes = min(l.MaxAnswerBytes, l.MaxUnreadBytes)
	if l.Timeout == 0 {
		l.Timeout = 30 * time.Second
	}
	return l
}
