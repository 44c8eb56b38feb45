package value_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nearby/item"
	"nearby/value"
)

// ascending are the JSON values of each line equal, and less than those of the next. The
// type decides how a string is read.
var ascending = []struct {
	t      value.Type
	values [][]string
}{
	{value.Any, [][]string{
		{"null", ""}, {"false"}, {"true"},
		{"-1e400"}, {"-1234"}, {"-2", "-2.0", "-20e-1"}, {"-1.5"}, {"-1e-400"},
		{"0", "-0", "0.000", "-0e17"}, {"1e-400"}, {"0.1", "1e-1"}, {"0.10000000000000000001"}, {"0.11"},
		{"1", "1.0", "1e0", "10e-1"}, {"1.5"}, {"9"}, {"10", "1E+1"}, {"1234"},
		{"9007199254740992"}, {"9007199254740993"}, {"9007199254740994"},
		{"1e400"}, {"1e401", "10e400"}, {"1e99999999999999999999"}, {"1.1e99999999999999999999", "11e99999999999999999998"},
		{`""`}, {`"01234"`}, {`"1"`}, {`"10"`}, {`"2018-02-12"`}, {`"9"`}, {`"A"`, `"\u0041"`}, {`"AA"`}, {`"a"`}, {`"é"`, `"\u00e9"`}, {`"日"`},
		{"[1]"}, {`{"a":1}`},
	}},
	{value.DateTime, [][]string{
		{"null"}, {`"0000-01-01"`}, {`"1969-12-31T23:59:59.5Z"`},
		{`"1970-01-01"`, `"1970-01-01T00:00:00Z"`, `"1970-01-01t02:00:00.000+02:00"`, `"1969-12-31 19:00:00-05:00"`},
		{`"1970-01-01T00:00:00.000000001Z"`}, {`"1970-01-01T00:00:00.0000000011Z"`}, {`"1970-01-01T00:00:00.000000002Z"`},
		{`"1970-01-02"`},
		{`"2016-12-31T23:59:59.999999999Z"`}, {`"2016-12-31T23:59:60Z"`, `"2017-01-01T00:59:60+01:00"`}, {`"2016-12-31T23:59:60.5Z"`},
		{`"2017-01-01"`}, {`"9999-12-31"`}, {`"9999-12-31T23:59:59Z"`},
	}},
}

// of reads JSON that fits.
func of(t *testing.T, as value.Type, json string) value.Value {
	t.Helper()
	v, fits := value.Of(as, []byte(json))
	if !fits {
		t.Fatalf("%s does not fit %v", json, as)
	}
	return v
}

// TestOrder: the order of values is that of the table, in either direction; equal values,
// and no others, have the same key, and their float64s are in the same order.
func TestOrder(t *testing.T) {
	for _, table := range ascending {
		for i, line := range table.values {
			for _, a := range line {
				for j, other := range table.values {
					for _, b := range other {
						compared(t, of(t, table.t, a), of(t, table.t, b), cmp.Compare(i, j), a+" and "+b)
					}
				}
			}
		}
	}
}

// compared tests all that is said of how two values compare.
func compared(t *testing.T, a, b value.Value, want int, text string) {
	t.Helper()
	if got := value.Compare(a, b); got != want {
		t.Errorf("%s: Compare is %d, want %d", text, got, want)
	}
	ka, keyed := a.AppendKey(nil)
	kb, other := b.AppendKey(nil)
	if equal := want == 0 && keyed && other; value.Equal(a, b) != equal || equal != (keyed && other && string(ka) == string(kb)) {
		t.Errorf("%s: Equal is %v, the keys are %q and %q", text, value.Equal(a, b), ka, kb)
	}
	if a.Kind() != b.Kind() || a.Kind() != value.KindNumber && a.Kind() != value.KindTime {
		return
	}
	fa, shortA := a.Float64()
	fb, shortB := b.Float64()
	if want*cmp.Compare(fa, fb) < 0 || want == 0 && fa != fb {
		t.Errorf("%s: the float64s are %v and %v", text, fa, fb)
	}
	if shortA && shortB && (fa == fb) != (want == 0) {
		t.Errorf("%s: both are short, and the float64s are %v and %v", text, fa, fb)
	}
	ca, cb := a.Code(), b.Code()
	if ca == 0 || cb == 0 || want*cmp.Compare(ca>>1, cb>>1) < 0 || want == 0 && ca != cb {
		t.Errorf("%s: the codes are %#x and %#x", text, ca, cb)
	}
	if ca == cb && ca&1 == 0 && want != 0 {
		t.Errorf("%s: neither is long, and both have the code %#x", text, ca)
	}
}

// TestFractions: times with any number of digits of a second are in the order of the fractions that
// these say, and a key says the same time again.
func TestFractions(t *testing.T) {
	rnd := rand.New(rand.NewPCG(14, 7))
	random := func() (text string, fraction *big.Rat) {
		digits := "1"
		for range 1 + rnd.IntN(3) {
			digits += []string{"", "0", "00000000", "5", "04", "99999999999"}[rnd.IntN(6)]
		}
		second := []string{"59", "60"}[rnd.IntN(2)]
		at, _ := new(big.Rat).SetString(second + "." + digits)
		zone := []string{"23:59:%s.%sZ", "18:59:%s.%s-05:00"}[rnd.IntN(2)]
		return "2016-12-31T" + fmt.Sprintf(zone, second, digits+strings.Repeat("0", rnd.IntN(2))), at
	}
	for range 20_000 {
		x, fx := random()
		y, fy := random()
		a, b := of(t, value.DateTime, strconv.Quote(x)), of(t, value.DateTime, strconv.Quote(y))
		compared(t, a, b, fx.Cmp(fy), x+" and "+y)
		key, _ := a.AppendKey(nil)
		if again, ok := value.OfKey(string(key)); !ok || value.Compare(again, a) != 0 || value.Compare(again, b) != fx.Cmp(fy) {
			t.Fatalf("the key of %s says %v, %v", x, again, ok)
		}
	}
}

// TestCodes: codes tell apart neighbours that are not long, and decimals of 5 digits and whole
// seconds are not.
func TestCodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		n, e := 10_000+rng.Int64N(90_000)*(1+9*rng.Int64N(2)), rng.IntN(616)-312 // of 5 or 6 digits
		x, y := fmt.Sprintf("%de%d", n, e), fmt.Sprintf("%de%d", n+1, e)
		a, b := of(t, value.Number, x), of(t, value.Number, y)
		compared(t, a, b, -1, x+" and "+y)
		compared(t, of(t, value.Number, "-"+y), of(t, value.Number, "-"+x), -1, "-"+y+" and -"+x)
		if size, _ := a.Float64(); n < 100_000 && size > 0x1p-1021 && size < math.MaxFloat64/2 && a.Code()&1 != 0 {
			t.Errorf("%s is long", x)
		}
		second := rng.Int64N(253402300800+62167219200) - 62167219200
		if rng.IntN(2) == 0 {
			second = []int64{473385600, 2524608000, 0, 951782400}[rng.IntN(4)] + rng.Int64N(200_000) - 100_000
		}
		at := time.Unix(second, rng.Int64N(2)*rng.Int64N(1e9)).UTC()
		next := at.Add(time.Duration(1 + rng.Int64N(3)*rng.Int64N(1e9)))
		offset := time.FixedZone("", 3600*(rng.IntN(47)-23))
		if year := next.In(offset).Year(); year < 0 || year > 9999 {
			continue
		}
		x, y = at.Format(`"`+time.RFC3339Nano+`"`), next.In(offset).Format(`"`+time.RFC3339Nano+`"`)
		a = of(t, value.DateTime, x)
		compared(t, a, of(t, value.DateTime, y), -1, x+" and "+y)
		fine := at.Year() >= 1985 && at.Year() < 2050 || second%86400 == 0
		if long := a.Code()&1 != 0; long != (at.Nanosecond() != 0 || !fine) {
			t.Errorf("%s is long: %v", x, long)
		}
	}
}

// TestDecimals compares random numbers, many of which differ in one digit or in how they
// are written, with exact rational numbers.
func TestDecimals(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	written := func() string {
		n := []int64{0, 1, 10, 100, 123456789012345, 123456789012346, 1234567890123456, 1234567890123457, 9007199254740993, rng.Int64N(1000)}[rng.IntN(10)]
		s := fmt.Sprint(n)
		if rng.IntN(2) == 0 {
			s = "-" + s
		}
		if rng.IntN(2) == 0 {
			s += "." + []string{"0", "5", "50", "000", "00000000000001", "1"}[rng.IntN(6)]
		}
		if rng.IntN(2) == 0 {
			s += fmt.Sprintf("%s%d", []string{"e", "E+", "e-"}[rng.IntN(3)], []int{0, 1, 2, 15, 16, 300, 310, 330}[rng.IntN(8)])
		}
		return s
	}
	for range 20_000 {
		x, y := written(), written()
		rx, _ := new(big.Rat).SetString(x)
		ry, _ := new(big.Rat).SetString(y)
		a := of(t, value.Any, x)
		compared(t, a, of(t, value.Number, y), rx.Cmp(ry), x+" and "+y)
		if a.IsInteger() != rx.IsInt() {
			t.Errorf("%s is an integer: %v", x, a.IsInteger())
		}
		if want, _ := rx.Float64(); !math.IsInf(want, 0) {
			if f, _ := a.Float64(); f != want {
				t.Errorf("%s is %v, want %v", x, f, want)
			}
		}
	}
}

// TestCompareDoesNotAllocate: values in the memory of an item are compared without copies.
func TestCompareDoesNotAllocate(t *testing.T) {
	for _, json := range []string{"-12.50e3", `"a string"`, "true", `"2018-02-12T23:20:50Z"`} {
		b := []byte(json)
		if n := testing.AllocsPerRun(100, func() {
			v, _ := value.Of(value.Any, b)
			w, _ := value.Of(value.DateTime, b)
			value.Compare(v, w)
			value.Equal(v, v)
		}); n > 0 {
			t.Errorf("%s: %v allocations", json, n)
		}
	}
}

// TestCheck: which JSON fits which type, and what is said where it does not.
func TestCheck(t *testing.T) {
	fits := map[value.Type]string{
		value.Any:      `null 1 -1.5 1e0 1.0 1e400 "1" "" "2018-02-12" "x" true false [1] {}`,
		value.String:   `null "1" "" "2018-02-12" "x"`,
		value.Number:   `null 1 -1.5 1e0 1.0 1e400`,
		value.Integer:  `null 1 1e0 1.0 1e400`,
		value.Boolean:  `null true false`,
		value.DateTime: `null "2018-02-12"`,
	}
	for as, list := range fits {
		for _, json := range strings.Fields(fits[value.Any]) {
			err := value.Check("beds", as, []byte(json))
			want := slices.Contains(strings.Fields(list), json)
			if (err == nil) != want {
				t.Errorf("%s as %v: %v", json, as, err)
			}
			var field *item.FieldError
			if err != nil && (!errors.As(err, &field) || field.Field != "beds" || field.Reason == "") {
				t.Errorf("%s as %v: %v names no field", json, as, err)
			}
		}
		if err := value.Check("beds", as, nil); err != nil {
			t.Errorf("an absent value does not fit %v: %v", as, err)
		}
	}
	const declared = " (correct it, or leave it out; the collection declares that type of the property)"
	for _, c := range []struct {
		as         value.Type
		json, want string
	}{
		{value.Integer, "4.5", `beds "4.5": must be an integer` + declared},
		{value.Integer, `"4"`, `beds "4": must be an integer (it is a string: leave out the quotes)`},
		{value.Number, `"many"`, `beds "many": must be a number` + declared},
		{value.String, "1234", `beds "1234": must be a string (put it in quotes)`},
		{value.Boolean, "1", `beds "1": must be true or false` + declared},
		{value.DateTime, `"2018-02-12T23:20:50"`, `beds "2018-02-12T23:20:50": must be a date such as 2018-02-12, or a time with an offset from UTC, such as 2018-02-12T23:20:50Z (the offset from UTC is missing, such as the Z at the end)`},
		{value.Boolean, `"TRUE"`, `beds "TRUE": must be true or false (write it in small letters)`},
		{value.Number, `" 05,5"`, `beds " 05,5": must be a number (write it as JSON does, such as 0.5, -20 and 1e6: without blanks, a comma, a plus sign, and zeros before it)`},
		{value.Number, `"NaN"`, `beds "NaN": must be a number` + declared},
		{value.Number, "[1]", `beds "[1]": must be a number` + declared},
	} {
		if err := value.Check("beds", c.as, []byte(c.json)); err == nil || err.Error() != c.want {
			t.Errorf("%s as %v: %v", c.json, c.as, err)
		}
	}
}

// TestParse: what a text of a URL stands for, by type.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		as         value.Type
		text, want string // JSON values that are equal; "": an error
	}{
		{value.Any, "5", `"5" 5`}, {value.Any, "5.0", `"5.0" 5`}, {value.Any, "01234", `"01234"`}, {value.Any, "true", `"true" true`}, {value.Any, "", `""`},
		{value.String, "5", `"5"`}, {value.String, "true", `"true"`},
		{value.Number, "5", "5"}, {value.Number, "5e-1", "0.5"}, {value.Number, "05", ""}, {value.Number, "five", ""}, {value.Number, "", ""},
		{value.Integer, "9007199254740993", "9007199254740993"}, {value.Integer, "4.5", "4.5"},
		{value.Boolean, "false", "false"}, {value.Boolean, "False", ""}, {value.Boolean, "1", "true"}, {value.Boolean, "0", "false"}, {value.Boolean, "2", ""},
		{value.DateTime, "2018-02-12", `"2018-02-12T00:00:00Z"`}, {value.DateTime, "2018", ""},
	} {
		got, err := value.Parse(c.as, c.text)
		want := strings.Fields(c.want)
		if (err == nil) != (len(want) > 0) || len(got) != len(want) {
			t.Errorf("%q as %v: %v, %v", c.text, c.as, got, err)
			continue
		}
		for i, v := range got {
			as := value.Any
			if c.as == value.DateTime {
				as = c.as
			}
			if !value.Equal(v, of(t, as, want[i])) {
				t.Errorf("%q as %v: value %d is no %s", c.text, c.as, i, want[i])
			}
		}
	}
}

// TestTypeNames: a type is read as it is written.
func TestTypeNames(t *testing.T) {
	for as := value.Any; as <= value.DateTime; as++ {
		text, _ := as.MarshalText()
		var back value.Type
		if err := back.UnmarshalText(text); err != nil || back != as {
			t.Errorf("%s is %v, %v", text, back, err)
		}
	}
	var back value.Type
	if err := back.UnmarshalText([]byte("float")); err == nil || !strings.Contains(err.Error(), "string, number, integer, boolean, date-time") {
		t.Errorf("float: %v", err)
	}
}

// TestTimes: the forms of times, when they begin and end, and how an instant is written.
func TestTimes(t *testing.T) {
	for _, c := range []struct {
		text       string
		form       value.Form
		begin, end string
	}{
		{"2018-02-12", value.WholeDay, "2018-02-12T00:00:00Z", "2018-02-12T23:59:59Z"},
		{"2018-02-12T23:20:50Z", value.AtInstant, "2018-02-12T23:20:50Z", "2018-02-12T23:20:50Z"},
		{"2018-02-12T23:20:50.120+05:30", value.AtInstant, "2018-02-12T17:50:50.12Z", "2018-02-12T17:50:50.12Z"},
		{"2016-12-31T23:59:60.25Z", value.AtInstant, "2016-12-31T23:59:60.25Z", "2016-12-31T23:59:60.25Z"},
	} {
		got, ok := value.ParseTime(c.text)
		if !ok || got.Form() != c.form || got.Begin().String() != c.begin || got.End().String() != c.end {
			t.Errorf("%s: %v, from %v to %v", c.text, got.Form(), got.Begin(), got.End())
		}
		if in := value.TimeIn([]byte(`"` + c.text + `"`)); in != got {
			t.Errorf("%s in JSON is %v", c.text, in)
		}
	}
	for _, text := range []string{
		"", "2018", "2018-02", "2018-02-30", "2018-13-01", "18-02-12", "2018-02-12T", "2018-02-12T23:20:50", "2018-02-12T24:00:00Z", "2018-02-12T23:60:00Z",
		"2018-02-12T23:20:60Z", "2018-02-12T23:20:50.Z", "2018-02-12T23:20:50+0100", "2018-02-12T23:20:50+24:00", "2018-02-12Z", "2018-02-12T23:20:50Z ",
	} {
		if got, ok := value.ParseTime(text); ok {
			t.Errorf("%q is %v", text, got.Begin())
		}
	}
	for json, form := range map[string]value.Form{"null": value.NoTime, "": value.NoTime, `"soon"`: value.Unreadable, "2018": value.Unreadable, "[]": value.Unreadable} {
		if got := value.TimeIn([]byte(json)).Form(); got != form {
			t.Errorf("%s: form %v, want %v", json, got, form)
		}
	}
}

// FuzzOf: JSON of any kind is read without a panic, equals itself, and compares alike with
// its own text.
func FuzzOf(f *testing.F) {
	for _, table := range ascending {
		for _, line := range table.values {
			f.Add(line[0], line[len(line)-1])
		}
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		for as := value.Any; as <= value.DateTime; as++ {
			a, _ := value.Of(as, []byte(x))
			b, _ := value.Of(as, []byte(y))
			if value.Compare(a, b) != -value.Compare(b, a) || value.Compare(a, a) != 0 {
				t.Fatalf("%q and %q have no order", x, y)
			}
			compared(t, a, b, value.Compare(a, b), fmt.Sprintf("%q and %q", x, y))
		}
		checkCode(t, x)
	})
}

// checkCode compares what is read in one step with what Of and Code say.
func checkCode(t *testing.T, json string) {
	t.Helper()
	for _, as := range []value.Type{value.Number, value.Integer} {
		v, fits := value.Of(as, []byte(json))
		want := v.Code()
		if !fits {
			want = 0
		}
		if code, ok := value.CodeIn(as, []byte(json)); ok != fits || code != want {
			t.Errorf("%q as %v: the code is %d, %v; want %d, %v", json, as, code, ok, want, fits)
		}
	}
	v, fits := value.Of(value.DateTime, []byte(json))
	want := v.Time()
	if got := value.TimeIn([]byte(json)); fits != (got.Form() != value.Unreadable) || fits && (got != want || got.Code() != v.Code()) {
		t.Errorf("%q: the time is %v of %v, want %v of %v", json, got.Form(), got.Begin(), want.Form(), want.Begin())
	}
}

// What is read in one step, a number or a time and its code, is what it is in several.
func TestCodeIn(t *testing.T) {
	for _, json := range []string{"", "null", "true", "{}", "[1]", `""`, `"1"`, `"2018-02-12"`, `"2018-02-12T23:20:50Z"`, `"\u0032018-02-12"`, `"2018`, "-", "--1", "1-", ".5", "-.5", "5.", "1.2.3", "05", "-05", "00", "0.", "-0", "0", "0.0", "-0.000", "1e2", "1E-2", "+1", "1 ",
		"999999999999999", "1000000000000000", "-99999999999999.9", "0.000000000000001", "0.0000000000000001", "0.123456789012345", "12345678901234.5000", "100000", "100001", "99999", "10.00000", "3.0", "3.5", "18446744073709551617", "99999999999999999"} {
		checkCode(t, json)
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	for range 100_000 {
		text := fmt.Sprintf("%.*f", rnd.IntN(17), rnd.NormFloat64()*math.Pow(10, float64(rnd.IntN(16)-4)))
		if rnd.IntN(10) == 0 {
			i := rnd.IntN(len(text))
			text = text[:i] + string("0123456789.-eE \""[rnd.IntN(16)]) + text[i:]
		}
		checkCode(t, text)
	}
}

// A day of the calendar is the one that package time says, and no other day is read.
func TestDays(t *testing.T) {
	for year := 0; year < 10_000; year += 7 { // all places in the 400 years after which the calendar repeats
		for month := 1; month <= 12; month++ {
			for _, day := range []int{1, 2, 27, 28, 29, 30, 31} {
				want := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
				got, ok := value.ParseTime(fmt.Sprintf("%04d-%02d-%02d", year, month, day))
				if is := want.Day() == day; ok != is || is && got.Begin().String() != want.Format(time.RFC3339) {
					t.Fatalf("%04d-%02d-%02d is %v, %v", year, month, day, got.Begin(), ok)
				}
			}
		}
	}
}

// The float64 of a number lies between the bounds of its code, and the bounds of a greater code
// are not below.
func TestCodeBounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	for range 100_000 {
		text := fmt.Sprint(rnd.NormFloat64() * math.Pow(10, float64(rnd.IntN(400)-200)))
		if rnd.IntN(10) == 0 {
			text = []string{"0", "-0", "1e400", "-1e400", "1e-400", "-1e-400", "4.9237", "5"}[rnd.IntN(8)]
		}
		v, ok := value.NumberOf(text)
		if !ok {
			continue
		}
		f, _ := v.Float64()
		if least, most := value.CodeBounds(v.Code()); !(least <= f && f <= most) {
			t.Fatalf("%s is not from %v to %v", text, least, most)
		}
	}
}
