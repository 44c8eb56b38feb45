package main

import (
	"log/slog"
	"time"

	"nearby/api"
	"nearby/collection"
	"nearby/indexes"
	"nearby/internal/command"
	"nearby/store"
)

// limits are the bounds of the server, each a flag.
type limits struct {
	MaxK           int           `name:"max-k" default:"1000" help:"Greatest k of a query."`
	MaxLimit       int           `default:"10000" help:"Greatest number of items in a page."`
	MaxBatch       int           `default:"1000" help:"Greatest number of queries in one request."`
	MaxBody        int64         `default:"1048576" help:"Greatest size in bytes of a request's body, except for loads and requests with many queries."`
	MaxBatchBody   int64         `default:"8388608" help:"Greatest size in bytes of the body of a request with many queries."`
	MaxLoad        int64         `default:"17179869184" help:"Greatest size in bytes of a bulk load after decompression; 0 means any size."`
	MaxBatchK      int           `name:"max-batch-k" default:"100000" help:"Greatest sum of k over the queries of one request."`
	MaxAnswer      int64         `default:"67108864" help:"Greatest size in bytes of an answer. A page ends there, and its next link leads to the rest."`
	MaxCompared    int           `default:"50000000" help:"Greatest number of points that one query compares. An answer that ends there says so."`
	MaxConcurrent  int           `default:"512" help:"Greatest number of requests that the server works on at once. Eight times as many may wait: for their client, a commit or a newer state."`
	MaxConnections int           `default:"10000" help:"Greatest number of open connections, but at most a quarter of the files that the system lets the process open. For one more, the server closes the one that has been idle for longest."`
	RequestTimeout time.Duration `default:"30s" help:"Longest time for a request that is not a load."`
	LoadTimeout    time.Duration `default:"60s" help:"Longest time in which a client may neither send a part of a body nor read a part of an answer. A body that comes slower than 100 bytes a second may take twice that time."`

	MaxMemory      uint64        `default:"0" help:"Memory in bytes that the server may use. When items and indexes fill 80 % of it, the server adds no more items and makes none larger. If it does not suffice for what is stored, the server does not start. 0 means the limit of the container, or else the memory of the machine."`
	MaxCollections int           `default:"1000" help:"Greatest number of collections."`
	MaxItems       int           `default:"2147483648" help:"Greatest number of items in a collection."`
	MaxQueue       int           `default:"1024" help:"Greatest number of writes that wait for one collection."`
	MaxGroup       int           `default:"8192" help:"Greatest number of changes in one commit."`
	CommitTimeout  time.Duration `default:"30s" help:"Longest time for a commit."`
}

// check refuses limits under which nothing would work.
func (l *limits) check() error {
	for _, v := range []struct {
		flag  string
		value int64
	}{
		{"max-k", int64(l.MaxK)}, {"max-limit", int64(l.MaxLimit)}, {"max-batch", int64(l.MaxBatch)},
		{"max-batch-k", int64(l.MaxBatchK)}, {"max-answer", l.MaxAnswer},
		{"max-body", l.MaxBody}, {"max-batch-body", l.MaxBatchBody}, {"max-compared", int64(l.MaxCompared)},
		{"max-concurrent", int64(l.MaxConcurrent)}, {"max-connections", int64(l.MaxConnections)}, {"request-timeout", int64(l.RequestTimeout)},
		{"load-timeout", int64(l.LoadTimeout)}, {"max-collections", int64(l.MaxCollections)},
		{"max-items", int64(l.MaxItems)}, {"max-queue", int64(l.MaxQueue)}, {"max-group", int64(l.MaxGroup)},
		{"commit-timeout", int64(l.CommitTimeout)},
	} {
		if v.value < 1 {
			return command.Usagef("--%s: must be more than 0", v.flag)
		}
	}
	if l.MaxLoad < 0 {
		return command.Usagef("--max-load %d: must not be negative", l.MaxLoad)
	}
	return nil
}

// api are those of the HTTP layer.
func (l *limits) api(m *memory) api.Limits {
	return api.Limits{
		MaxK: l.MaxK, MaxLimit: l.MaxLimit, MaxBatch: l.MaxBatch, MaxBatchK: l.MaxBatchK,
		MaxBodyBytes: l.MaxBody, MaxBatchBytes: l.MaxBatchBody, MaxLoadBytes: l.MaxLoad,
		MaxAnswerBytes: l.MaxAnswer, MaxCompared: l.MaxCompared, MaxConcurrent: l.MaxConcurrent,
		MaxUnreadBytes: m.unread(), Timeout: l.RequestTimeout,
	}
}

// catalog are those of the collections.
func (l *limits) catalog(st store.Store, m *memory, log *slog.Logger) collection.Options {
	return collection.Options{
		Store: st, Kinds: indexes.Kinds(), Log: log,
		MemoryFull: m.Full, MemoryOver: m.Over,
		MaxCollections: l.MaxCollections, MaxItems: l.MaxItems, MaxQueue: l.MaxQueue,
		MaxGroup: l.MaxGroup, CommitTimeout: l.CommitTimeout,
	}
}
