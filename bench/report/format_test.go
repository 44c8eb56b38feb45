package report

import "testing"

func TestFigures(t *testing.T) {
	for ns, want := range map[float64]string{0: "0.00 ns", 9.994: "9.99 ns", 999.4: "999 ns", 999.6: "1.00 µs", 12345: "12.3 µs", 999.6e3: "1.00 ms", 2.5e9: "2.50 s"} {
		if got := Duration(ns); got != want {
			t.Errorf("%v ns is written %q, want %q", ns, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1 000", 1234567: "1 234 567"} {
		if got := Count(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
	if Recall(1-1e-12) == "1" {
		t.Error("a recall below 1 is written as 1")
	}
}
