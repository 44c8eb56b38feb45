package value_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"nearby/value"
)

// A number lies in the interval around it, whose ends are a multiple of the width and the next one.
func TestStep(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	digits := func(most int) string {
		text := fmt.Sprint(rnd.Uint64(), rnd.Uint64(), rnd.Uint64())
		text = strings.ReplaceAll(text, " ", "")
		return strings.TrimLeft(text[:1+rnd.IntN(most)], "0") + fmt.Sprint(rnd.IntN(9)+1)
	}
	written := func(digits string) string {
		switch at := rnd.IntN(len(digits)); {
		case rnd.IntN(2) == 0 && at > 0:
			digits = digits[:at] + "." + digits[at:]
		case rnd.IntN(3) == 0:
			digits += strings.Repeat("0", rnd.IntN(30))
		case rnd.IntN(3) == 0:
			digits = "0." + strings.Repeat("0", rnd.IntN(30)) + digits
		}
		if rnd.IntN(2) == 0 {
			digits += fmt.Sprint("e", rnd.IntN(120)-60)
		}
		return digits
	}
	rat := func(text string) *big.Rat {
		r, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatal(text)
		}
		return r
	}
	for range 20_000 {
		width := written(digits(14))
		step, ok := value.StepOf(width)
		if !ok {
			t.Fatalf("%s is no width", width)
		}
		text := written(digits(40))
		switch rnd.IntN(8) {
		case 0:
			text = "0.00e7"
		case 1: // a multiple
			text = new(big.Rat).Mul(rat(width), big.NewRat(rnd.Int64N(1000), 1)).FloatString(150)
		}
		if rnd.IntN(2) == 0 {
			text = "-" + text
		}
		v, ok := value.NumberOf(text)
		if !ok {
			t.Fatal(text)
		}
		from, below, ok := step.Around(v)
		if !ok {
			t.Fatalf("%s has no interval of %s", text, width)
		}
		if value.Compare(from, v) > 0 || value.Compare(v, below) >= 0 {
			t.Fatalf("%s is not from %s to %s", text, from.Text(), below.Text())
		}
		a, b := rat(from.Text()), rat(below.Text())
		if !new(big.Rat).Quo(a, rat(width)).IsInt() || b.Sub(b, a).Cmp(rat(width)) != 0 {
			t.Fatalf("%s: %s to %s is no interval of %s", text, from.Text(), below.Text(), width)
		}
		if _, ok := value.NumberOf(from.Text()); !ok {
			t.Fatalf("%s is not written as in JSON", from.Text())
		}
	}
	one, _ := value.StepOf("1")
	for _, c := range []struct{ width, text, from string }{
		{"1", "4.5", "4"}, {"1", "-4.5", "-5"}, {"1", "4", "4"}, {"1", "-4", "-4"}, {"1", "-0", "0"}, {"0.1", "0.3", "0.3"},
		{"0.1", "0.29999999999999999999999", "0.2"}, {"0.1", "-1e-999999999999999999", "-0.1"}, {"0.1", "1e-999999999999999999", "0"},
		{"1", "1e-400", "0"}, {"250", "1e3", "1000"}, {"1e-3", "0.0015", "0.001"}, {"1", "1e25", "1e25"}, {"1e25", "99e25", "99e25"},
	} {
		step, _ := value.StepOf(c.width)
		v, _ := value.NumberOf(c.text)
		if from, _, ok := step.Around(v); !ok || from.Text() != c.from {
			t.Errorf("%s by %s begins with %q", c.text, c.width, from.Text())
		}
	}
	for _, text := range []string{"1e999999999999999999", "-1e402"} {
		v, _ := value.NumberOf(text)
		if _, _, ok := one.Around(v); ok {
			t.Errorf("%s has an interval of 1", text)
		}
	}
	if _, _, ok := one.Around(value.Text("1")); ok {
		t.Error("a string has an interval")
	}
	for _, text := range []string{"", "0", "-1", "0.0", "NaN", "1e301", "1e-301", "1234567890123456", "1e99999999999999999999", "1 ", "01"} {
		if _, ok := value.StepOf(text); ok {
			t.Errorf("%q is a width", text)
		}
	}
}
