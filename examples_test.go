package waxwing_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withExamples are the packages whose entry points run as examples.
var withExamples = []string{".", "sqldb", "bus", "bus/kafka", "bus/amqp", "outbox", "inbox", "saga", "idempotency", "waxtest"}

// elsewhere are entry points that no example calls by name, with the reason.
var elsewhere = map[string]string{
	"waxtest.Before": "the database calls it",
	"waxtest.After":  "the database calls it",
}

// TestEntryPointsHaveExamples: every exported function and method is called in an
// example of its package. Options are not meant: they are settings.
func TestEntryPointsHaveExamples(t *testing.T) {
	for _, dir := range withExamples {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		points, used := map[string]bool{}, map[string]bool{}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			must(t, err)
			if strings.HasSuffix(file, "_test.go") {
				called(f, used)
			} else {
				entryPoints(f, points)
			}
		}
		if len(points) == 0 {
			t.Errorf("%s has no entry points", dir)
		}
		for _, name := range slices.Sorted(maps.Keys(points)) {
			switch {
			case used[name] || elsewhere[dir+"."+name] != "":
			default:
				t.Errorf("no example of %s calls %s", dir, name)
			}
		}
	}
}

// wellKnown are methods that other packages' interfaces ask for.
var wellKnown = []string{"Error", "Unwrap", "String", "Describe", "Collect"}

// entryPoints adds the exported functions, and methods of exported types, of a file.
func entryPoints(f *ast.File, to map[string]bool) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !fn.Name.IsExported() || isOption(fn) || fn.Recv != nil && (!exported(fn.Recv.List[0].Type) || slices.Contains(wellKnown, fn.Name.Name)) {
			continue
		}
		to[fn.Name.Name] = true
	}
}

// isOption says whether a function returns an option.
func isOption(fn *ast.FuncDecl) bool {
	r := fn.Type.Results
	if fn.Recv != nil || r == nil || len(r.List) != 1 {
		return false
	}
	id, ok := r.List[0].Type.(*ast.Ident)
	return ok && strings.HasSuffix(id.Name, "Option")
}

// exported says whether a receiver's type is.
func exported(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.StarExpr:
		return exported(e.X)
	case *ast.IndexExpr:
		return exported(e.X)
	case *ast.IndexListExpr:
		return exported(e.X)
	case *ast.Ident:
		return e.IsExported()
	}
	return false
}

// called adds what is named in a file with examples, their helpers included.
func called(f *ast.File, to map[string]bool) {
	if !slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example")
	}) {
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			to[s.Sel.Name] = true
		}
		return true
	})
}
