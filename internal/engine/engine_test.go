package engine_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

func TestDamageSaysWhereAndWhatToDo(t *testing.T) {
	d := &engine.ErrDamaged{Path: "a/b", Off: 4096, Reason: "checksum"}
	if got, want := d.Error(), "a/b is damaged at offset 4096: checksum; restore the folder from a backup"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := d.Fault(), "a/b is damaged at offset 4096: checksum"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	d.Advice = "choose another"
	if got, want := d.Error(), "a/b is damaged at offset 4096: checksum; choose another"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAllDamageSaysWhere: each damage in the sources has a path and a reason,
// and leaves to Error what to do, which would be said twice otherwise.
func TestAllDamageSaysWhere(t *testing.T) {
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || !isDamage(lit.Type) {
				return true
			}
			found++
			has := map[string]bool{}
			for _, e := range lit.Elts {
				field, ok := e.(*ast.KeyValueExpr)
				if !ok {
					t.Errorf("%v: a field has no name", fset.Position(e.Pos()))
					continue
				}
				name := field.Key.(*ast.Ident).Name
				has[name] = true
				if name == "Reason" && saysWhatToDo(field.Value) {
					t.Errorf("%v: the reason says what to do", fset.Position(e.Pos()))
				}
			}
			if !has["Path"] || !has["Reason"] {
				t.Errorf("%v: damage without a path or a reason", fset.Position(lit.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 15 {
		t.Errorf("there are %d places that report damage, there were 18", found)
	}
}

func isDamage(x ast.Expr) bool {
	sel, ok := x.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "ErrDamaged"
}

func saysWhatToDo(x ast.Expr) (found bool) {
	ast.Inspect(x, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		found = found || ok && strings.Contains(lit.Value, "backup")
		return true
	})
	return found
}
