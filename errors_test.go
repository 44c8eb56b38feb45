package nearby_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// speaks are the files whose errors get into answers, terminals and logs.
var speaks = regexp.MustCompile(`^(api|catalog|client|cmd|collection|ingest|item|metrics|replica|store|table|worldmap)/|^index/[a-z]+\.go$`)

// Texts of errors are for whoever reads them: none begins with the name of the package that
// it is from.
func TestErrorsDoNotNamePackages(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		t.Skip("no git: ", err)
	}
	files := strings.Fields(string(out))
	packages := map[string]bool{}
	for _, file := range files {
		packages[path.Base(path.Dir(file))] = true
	}
	begins := regexp.MustCompile(`^([a-z]+): `)
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || !speaks.MatchString(file) {
			continue
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch callee := calleeOf(call); callee {
			case "errors.New", "fmt.Errorf", "refuse":
			default:
				return true
			}
			for _, arg := range call.Args {
				lit, ok := arg.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				seen++
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if name := begins.FindStringSubmatch(text); name != nil && packages[name[1]] {
					t.Errorf("%v: an error begins with the name of a package: %q", fset.Position(lit.Pos()), text)
				}
				break // the others are what the text is about
			}
			return true
		})
	}
	if seen < 200 {
		t.Errorf("only %d texts of errors were seen", seen)
	}
}

// calleeOf names the function that a call is of, as the source writes it.
func calleeOf(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if of, ok := f.X.(*ast.Ident); ok {
			return of.Name + "." + f.Sel.Name
		}
	}
	return ""
}
