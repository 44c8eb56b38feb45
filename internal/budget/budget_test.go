package budget_test

import (
	"math/rand/v2"
	"testing"

	"nearby/internal/budget"
)

// A budget of n lets no more than n through; one of 0 lets everything through.
func TestBudget(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 1000 {
		most := rnd.IntN(100)
		b := budget.New(most)
		refused := false
		for range 50 {
			before := b
			points := rnd.IntN(10)
			cost, ok := points, b.Compare
			if rnd.IntN(2) == 0 {
				cost, ok = points+1, b.Enter
			}
			if !ok(points) {
				refused = true
				if b != before || most == 0 || b.Entered+b.Compared+cost <= most {
					t.Fatalf("budget %d: %d more were refused at %+v, now %+v", most, cost, before, b)
				}
			}
		}
		if spent := b.Entered + b.Compared; most > 0 && (spent > most || !refused && most < 50) {
			t.Fatalf("budget %d: spent %d", most, spent)
		}
	}
}
