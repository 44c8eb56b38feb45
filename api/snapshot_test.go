package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// mayLoad are the functions that may take the newest snapshot of a collection by
// themselves, and why. All others answer from the one that was found fresh enough for
// the request: a second one might be another's, of a world that came later, and the
// token of the answer would lie.
var mayLoad = map[string]string{
	"listCollections": "shows each collection after the position was read",
	"getAPI":          "tells no position: the document is of what there is",
	"makes":           "estimates how much memory a part of a load takes, and answers nothing",
}

func TestReadsHaveOneSnapshot(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files, used := token.NewFileSet(), map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if ok && sel.Sel.Name == "Snapshot" && len(call.Args) == 0 {
					if used[f.Name.Name] = true; mayLoad[f.Name.Name] == "" {
						t.Errorf("%s: %s loads a snapshot", files.Position(call.Pos()), f.Name.Name)
					}
				}
				return true
			})
		}
	}
	for name := range mayLoad {
		if !used[name] {
			t.Errorf("%s does not load a snapshot any more", name)
		}
	}
}
