package main

import (
	"nearby/api"
	"nearby/metrics"
	"nearby/shadow"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres"
)

// measure adds to the metrics what the server has under way and what the store has
// done.
func measure(m *metrics.Metrics, server *api.Server, connections *api.Connections, memory *memory, st store.Store) {
	m.Source(func() []metrics.Number {
		busy := server.Busy()
		full := 0.0
		if memory.Full() {
			full = 1
		}
		return []metrics.Number{
			{Name: "nearby_http_requests_in_flight", Help: "Requests that the server works on, health and metrics excepted.", Value: float64(busy.Requests)},
			{Name: "nearby_http_requests_waiting", Help: "Requests that wait for their client, a commit, a newer state or their turn.", Value: float64(busy.Waiting)},
			{Name: "nearby_http_connections", Help: "Open connections.", Value: float64(connections.Open())},
			{Name: "nearby_http_rate_limited_total", Help: "Requests that were refused because their address had used up its limit.", Count: true, Value: float64(server.RateLimited())},
			{Name: "nearby_memory_limit_bytes", Help: "Memory that the server may use; 0: not known.", Value: float64(memory.limit)},
			{Name: "nearby_memory_full", Help: "1 while no items are added or made larger, because more than 80 % of that memory is in use.", Value: full},
			{Name: "nearby_loads_in_flight", Help: "Bulk loads under way.", Value: float64(busy.Loads)},
		}
	})
	m.Counts("nearby_http_refused_total", "Requests that were refused because of their API key, by cause.", "cause", server.Refused)
	if folder, ok := st.(*embedded.Store); ok {
		m.Source(func() []metrics.Number { return folderNumbers(folder.Stats()) })
	}
	if database, ok := st.(*postgres.Store); ok {
		m.Source(func() []metrics.Number { return databaseNumbers(database.Stats()) })
	}
}

// folderNumbers are those of a store in a folder.
func folderNumbers(s embedded.Stats) []metrics.Number {
	writable := 0.0
	if s.Writable {
		writable = 1
	}
	all := []metrics.Number{{Name: "nearby_folder_writable", Help: "1 while the data folder takes writes.", Value: writable}}
	if s.FreeBytes != nil {
		all = append(all, metrics.Number{Name: "nearby_folder_free_bytes", Help: "Space left where the data folder is.", Value: float64(*s.FreeBytes)})
	}
	return all
}

// shadowNumbers are those of --shadow.
func shadowNumbers(s shadow.Stats) []metrics.Number {
	count := func(name, help string, n uint64) metrics.Number {
		return metrics.Number{Name: "nearby_shadow_" + name + "_total", Help: help, Count: true, Value: float64(n)}
	}
	return []metrics.Number{
		count("checked", "Answers that were compared with those of scans.", s.Checked),
		count("mismatches", "Answers that differed from those of scans. There must be none.", s.Mismatches),
		count("dropped", "Answers of the sample that were not compared, because others were.", s.Dropped),
	}
}

// databaseNumbers are those of a store in PostgreSQL.
func databaseNumbers(s postgres.Stats) []metrics.Number {
	connected := 0.0
	if s.Connected {
		connected = 1
	}
	count := func(name, help string, n uint64) metrics.Number {
		return metrics.Number{Name: "nearby_database_" + name + "_total", Help: help, Count: true, Value: float64(n)}
	}
	return []metrics.Number{
		{Name: "nearby_database_connected", Help: "1 if the last attempt to read the database succeeded.", Value: connected},
		count("reconnects", "Connections that were made again.", s.Reconnects),
		count("commits", "Commits made.", s.Commits),
		count("batches", "Transactions that made them.", s.Batches),
		count("rows", "Items written and deleted by them.", s.Rows),
		count("retries", "Transactions that were sent again.", s.Retries),
		count("resolved", "Commits whose answer was lost and whose outcome was found out.", s.Resolved),
		count("unresolved", "Commits of which it is not known whether they were made.", s.Unresolved),
		count("own_steps", "Steps that were followed from memory, of this server's own commits.", s.OwnSteps),
		count("read_steps", "Steps that were read from the database.", s.ReadSteps),
		count("read_rows", "Rows that were read for them.", s.ReadRows),
		count("skipped_rows", "Bad rows that were met and are not served.", s.SkippedRows),
		count("purged_rows", "Rows that nobody needs any more and that were removed.", s.Purged),
		count("attached_polls", "Questions for the changes of attached tables.", s.Polls),
		count("attached_sweeps", "Comparisons of all rows of attached tables.", s.Sweeps),
		count("attached_rows", "Rows of attached tables that were found to differ, and were taken over.", s.AttachedRows),
	}
}
