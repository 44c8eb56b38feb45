package table

import "unsafe"

// viewString looks at bytes as a string without copying. The bytes must not
// change while the string is in use; those of records never do.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
