package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"nearby/catalog"
	"nearby/collection"
)

// Number is a metric of a source.
type Number struct {
	Name  string // by the rules of Prometheus: in base units; the name of a counter ends in _total
	Help  string
	Count bool // it only grows
	Value float64
}

// Source adds the numbers that a function returns. It must always return the same
// names, and may be called concurrently.
func (m *Metrics) Source(numbers func() []Number) {
	s := &source{numbers: numbers, descs: map[string]*prometheus.Desc{}}
	for _, n := range numbers() {
		s.descs[n.Name] = prometheus.NewDesc(n.Name, n.Help, nil, nil)
	}
	m.registry.MustRegister(s)
}

type source struct {
	numbers func() []Number
	descs   map[string]*prometheus.Desc
}

// Describe is part of prometheus.Collector.
func (s *source) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (s *source) Collect(ch chan<- prometheus.Metric) {
	for _, n := range s.numbers() {
		kind := prometheus.GaugeValue
		if n.Count {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(s.descs[n.Name], kind, n.Value)
	}
}

// Catalog adds the state of a catalog and of each of its collections.
func (m *Metrics) Catalog(c *catalog.Catalog) {
	m.Source(func() []Number { return status(c.Status()) })
	m.registry.MustRegister(newCollections(c))
}

func status(st catalog.Status) []Number {
	verified := 0.0
	if !st.Verified.IsZero() {
		verified = float64(st.Verified.UnixMilli()) / 1000
	}
	return []Number{
		{"nearby_ready", "1 when everything in the store is in memory.", false, one(st.Ready)},
		{"nearby_degraded", "1 while answers may be old or writes fail.", false, one(st.Degraded != nil)},
		{"nearby_restored", "1 while the database is being restored, or was restored and is not released.", false, one(st.Restored)},
		{"nearby_position", "Number of the last commit that all answers show.", false, float64(st.At.Seq)},
		{"nearby_staleness_seconds", "How long ago that was known to be the newest commit.", false, st.Staleness.Seconds()},
		{"nearby_waiting_requests", "Requests that wait until this server is as new as they demand.", false, float64(st.Waiting)},
		{"nearby_rebuilds_total", "How often everything was read again, because the store's history or the way to it had changed.", true, float64(st.Rebuilt)},
		{"nearby_verification_mismatches_total", "Items that were not in memory as in the store, found by comparing.", true, float64(st.Mismatches)},
		{"nearby_verification_timestamp_seconds", "When the last comparison with the store ended, Unix time; 0: never.", false, verified},
		{"nearby_verification_failed", "1 if the last comparison could not be made.", false, one(st.VerifyErr != nil)},
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// collections has the metrics of each collection.
type collections struct {
	catalog *catalog.Catalog
	columns []column
}

type column struct {
	desc  *prometheus.Desc
	value func(*collection.Collection, *collection.Snapshot) float64
}

func newCollections(c *catalog.Catalog) *collections {
	out := &collections{catalog: c}
	add := func(name, help string, value func(*collection.Collection, *collection.Snapshot) float64) {
		out.columns = append(out.columns, column{prometheus.NewDesc(name, help, []string{"collection"}, nil), value})
	}
	add("nearby_collection_items", "Items of the collection.", func(_ *collection.Collection, s *collection.Snapshot) float64 { return float64(s.Len()) })
	add("nearby_collection_index_bytes", "Memory of its index.", func(_ *collection.Collection, s *collection.Snapshot) float64 { return float64(s.Stats().Index.Bytes) })
	add("nearby_collection_record_bytes", "Memory of its ids, positions and properties.", func(_ *collection.Collection, s *collection.Snapshot) float64 { return float64(s.Stats().RecordBytes) })
	add("nearby_collection_table_bytes", "Memory of its maps by id and number, and of its queryable properties.", func(_ *collection.Collection, s *collection.Snapshot) float64 { return float64(s.Stats().TableBytes) })
	add("nearby_collection_queued_writes", "Requests that wait for its writer.", func(c *collection.Collection, _ *collection.Snapshot) float64 { return float64(c.Queued()) })
	add("nearby_collection_pending_writes", "Its writes that were acknowledged and are not yet durable.", func(c *collection.Collection, _ *collection.Snapshot) float64 { return float64(c.Pending()) })
	add("nearby_collection_loss_window_seconds", "How old an acknowledged write may be that is not yet durable; 0: all are.", func(c *collection.Collection, _ *collection.Snapshot) float64 { return c.LossWindow().Seconds() })
	return out
}

// Describe is part of prometheus.Collector.
func (c *collections) Describe(ch chan<- *prometheus.Desc) {
	for _, col := range c.columns {
		ch <- col.desc
	}
}

// Collect is part of prometheus.Collector.
func (c *collections) Collect(ch chan<- prometheus.Metric) {
	all, err := c.catalog.List()
	if err != nil {
		return // not loaded yet: nearby_ready says so
	}
	for _, one := range all {
		snap := one.Snapshot()
		for _, col := range c.columns {
			ch <- prometheus.MustNewConstMetric(col.desc, prometheus.GaugeValue, col.value(one, snap), one.Name())
		}
	}
}

// Counts adds a counter for each value of a label, which a function returns. It must always return
// the same values, and may be called concurrently.
func (m *Metrics) Counts(name, help, label string, counts func() map[string]uint64) {
	m.registry.MustRegister(&counters{prometheus.NewDesc(name, help, []string{label}, nil), counts})
}

type counters struct {
	desc   *prometheus.Desc
	counts func() map[string]uint64
}

// Describe is part of prometheus.Collector.
func (c *counters) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect is part of prometheus.Collector.
func (c *counters) Collect(ch chan<- prometheus.Metric) {
	for value, n := range c.counts() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), value)
	}
}
