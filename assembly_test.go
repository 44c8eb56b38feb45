package nearby_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	commentInAssembly = regexp.MustCompile(`//.*`)
	labelInAssembly   = regexp.MustCompile(`^\w+:\s*`)
	macroInAssembly   = regexp.MustCompile(`^#define\s+(\w+)(?:\(([^)]*)\))?\s*`)
	vectorRegister    = regexp.MustCompile(`\b[XYZ](?:[12]?[0-9]|3[01])\b`)
	wideRegister      = regexp.MustCompile(`\b[YZ](?:[12]?[0-9]|3[01])\b`)
)

// legacyVector lists the instructions of amd64 assembly that touch a vector register and
// are not encoded with VEX or EVEX. While the upper halves of the registers are in use
// such an instruction costs a state transition on some processors (Intel, "64 and IA-32
// Architectures Optimization Reference Manual", 15.3, Mixing AVX Code with SSE Code), and
// on others nothing, so that no benchmark on those shows it.
//
// What begins with V is encoded so. Of the others it is the operands that tell: MOVQ
// takes general registers and vector registers. A parameter of a macro may be either, so
// it counts as a vector register. A function that writes a wide register and returns
// without VZEROUPPER leaves the same cost to its caller.
func legacyVector(source string) []string {
	var found []string
	params := map[string]bool{}
	macros := map[string]bool{}
	inMacro, wide := false, false
	for i, line := range strings.Split(source, "\n") {
		line = strings.TrimSpace(commentInAssembly.ReplaceAllString(line, ""))
		if m := macroInAssembly.FindStringSubmatch(line); m != nil {
			inMacro, macros[m[1]] = true, true
			clear(params)
			for p := range strings.SplitSeq(m[2], ",") {
				params[strings.TrimSpace(p)] = true
			}
			line = line[len(m[0]):]
		} else if strings.HasPrefix(line, "#") {
			continue
		}
		more := strings.HasSuffix(line, `\`)
		for in := range strings.SplitSeq(strings.TrimSuffix(line, `\`), ";") {
			in = labelInAssembly.ReplaceAllString(strings.TrimSpace(in), "")
			op, operands, _ := strings.Cut(strings.ReplaceAll(in, "\t", " "), " ")
			call, _, _ := strings.Cut(op, "(")
			switch {
			case op == "TEXT", op == "VZEROUPPER":
				wide = false
			case op == "RET" && wide:
				found = append(found, fmt.Sprintf("line %d: RET without VZEROUPPER", i+1))
			case op == "", op == "DATA", op == "GLOBL", macros[call]:
			case strings.HasPrefix(op, "V"):
			default:
				vector := vectorRegister.MatchString(operands)
				for p := range params {
					vector = vector || inMacro && p != "" && regexp.MustCompile(`\b`+p+`\b`).MatchString(operands)
				}
				if vector {
					found = append(found, fmt.Sprintf("line %d: %s", i+1, in))
				}
			}
			wide = wide || wideRegister.MatchString(in)
		}
		inMacro = inMacro && more
	}
	return found
}

// TestAssemblyIsVEX: no instruction of an assembly file pays for a change between the two
// encodings of vector instructions.
func TestAssemblyIsVEX(t *testing.T) {
	read := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".s") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		for _, in := range legacyVector(string(text)) {
			t.Errorf("%s, %s", path, in)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read != 3 {
		t.Errorf("%d assembly files, ARCHITECTURE.md tells of 3", read)
	}

	for _, source := range []string{
		"\tMOVQ R13, X14", "\tMOVQ X14, R13", "\tMOVUPS (SI), X0", "next:\tPXOR X1, X1", "\tADDSD X1, X2 // VADDSD",
		"#define LOAD(R, V) \\\n\tMOVQ R, V\n", "#define SUM ADDPD X1, X2", "\tVMOVUPD (SI), Y1; MOVSD X3, (DI)", "\tCVTSQ2SD AX, X31",
		"TEXT f(SB)\n\tVMOVUPD (SI), Y1\n\tRET", "TEXT f(SB)\n\tVZEROUPPER\n\tVMOVUPD (SI), Y1\n\tRET",
	} {
		if len(legacyVector(source)) != 1 {
			t.Errorf("%q is taken for VEX", source)
		}
	}
	for _, source := range []string{
		"\tVMOVQ R13, X14", "\tMOVQ x+8(FP), SI", "\t// MOVQ R13, X14", "#define V(K) \\\n\tVMINPD K, K, K\nTEXT f(SB)\n\tVMOVUPD (SI), Y1\n\tV(Y1)\n\tVZEROUPPER\n\tRET",
	} {
		if found := legacyVector(source); found != nil {
			t.Errorf("%q: %v", source, found)
		}
	}
}
