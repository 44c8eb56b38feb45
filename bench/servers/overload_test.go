package servers

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// A run measures every row of both tables, and each request is in one column.
func TestMeasureOverload(t *testing.T) {
	o := OverloadOptions{
		Program: []string{buildNearby(t), "serve"}, Points: 3000, RowTime: 200 * time.Millisecond,
		Questions: []string{"near10", "page"}, Times: []float64{0.1, 3}, Clients: []int{40},
	}
	steps := 0
	r, err := MeasureOverload(t.Context(), o, func(string) error { steps++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if steps != o.Steps() || len(r.Peaks) != 2 || len(r.Beside) != 2 {
		t.Fatalf("%d steps, said were %d: %+v", steps, o.Steps(), r)
	}
	for _, p := range r.Peaks {
		if p.Peak <= 0 || len(p.Rows) != 2 {
			t.Errorf("%+v", p)
		}
		for _, row := range p.Rows {
			if row.Failed > 0 || row.Answered+row.Refused <= 0 || row.Good.P99 < row.Good.P50 || row.Bad.P99 < row.Bad.P50 {
				t.Errorf("%+v", row)
			}
		}
	}
	for _, row := range r.Beside {
		if row.Cheap.Answered <= 0 || row.Costly.Answered <= 0 || row.Cheap.Failed+row.Costly.Failed > 0 {
			t.Errorf("%+v", row)
		}
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "3 ×") || !strings.Contains(text.String(), "40 clients") {
		t.Errorf("%v: %s", err, &text)
	}
	t.Logf("\n%s", &text)
}

// Each kind of question is one that the server answers.
func TestOverloadQuestions(t *testing.T) {
	r, err := openOverload(t.Context(), OverloadOptions{Program: []string{buildNearby(t), "serve"}, Points: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer r.server.close()
	for _, q := range overloadQuestions() {
		s := sender{r: r}
		if s.send(t.Context(), q, 1, time.Now()); len(s.good) != 1 {
			t.Errorf("%s: %v", q.name, s.failure)
		}
		s.close()
	}
}
