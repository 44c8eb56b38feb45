package servers

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/pgtest"
)

// A run measures every row, and leaves nothing behind, also where it is ended on the
// way.
func TestMeasureReplicas(t *testing.T) {
	o := ReplicaOptions{Server: pgtest.Database(t), Program: []string{buildNearby(t), "serve"}, Points: 3000, RowTime: 300 * time.Millisecond}
	steps := 0
	r, err := MeasureReplicas(t.Context(), o, func(string) error { steps++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if steps != ReplicaSteps {
		t.Errorf("%d steps, said were %d", steps, ReplicaSteps)
	}
	if r.Load <= 0 || r.Shown < r.Load || r.Start <= 0 || (r.Copy > 0) == (r.NoCopy != "") || len(r.Writes) != 4 || r.Lag.Probes == 0 || r.Lag.Rate <= 0 || r.Lag.P99 < r.Lag.P50 {
		t.Errorf("%+v", r)
	}
	for _, w := range r.Writes {
		if w.Rate <= 0 || w.P50 <= 0 || w.P99 < w.P50 {
			t.Errorf("%+v", w)
		}
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || strings.Count(text.String(), "\n") != 10 {
		t.Errorf("%v: %s", err, &text)
	}
	t.Logf("\n%s", &text)

	ctx, cancel := context.WithCancel(t.Context())
	ended := errors.New("ended")
	if _, err := MeasureReplicas(ctx, o, func(doing string) error {
		if doing == "lag" {
			cancel()
			return ended
		}
		return nil
	}); !errors.Is(err, ended) {
		t.Errorf("a run that was ended: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), o.Server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var left int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_database WHERE datname LIKE 'nearby\_bench%'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d databases are left, %v", left, err)
	}

	for _, bad := range []ReplicaOptions{{Server: "redis://127.0.0.1"}, {Server: o.Server, Points: 1}, {Server: o.Server, Points: 3000, RowTime: time.Hour}} {
		if err := bad.Check(); err == nil {
			t.Errorf("%+v is right", bad)
		}
	}
}
