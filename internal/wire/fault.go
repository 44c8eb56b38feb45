package wire

import (
	"cmp"
	"strconv"
)

// String is the fault in words, without the line and the id of what it is about.
func (f Fault) String() string {
	s := f.Reason
	if name := cmp.Or(f.Parameter, f.Field); name != "" {
		if f.Got != "" {
			name += " " + strconv.Quote(f.Got)
		}
		s = name + ": " + s
	}
	if f.Hint != "" {
		s += " (hint: " + f.Hint + ")"
	}
	return s
}
