package measure

import "testing"

func TestQuantiles(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	if m, p := Median(values), Quantile(values, 0.99); m != 3 || p != 5 {
		t.Errorf("median %v and p99 %v, want 3 and 5", m, p)
	}
}
