package waxwing_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A snippet is a block of Go in a page of the documentation.
type snippet struct {
	page string
	n    int // of the page's blocks, from 1
	code string
}

func (s snippet) String() string { return fmt.Sprintf("%s, block %d of Go", s.page, s.n) }

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// snippets are the blocks of Go in a text.
func snippets(page, text string) (out []snippet) {
	for i, m := range goBlock.FindAllStringSubmatch(text, -1) {
		out = append(out, snippet{page, i + 1, m[1]})
	}
	return out
}

// readmeSDK is the README's section on the SDK.
func readmeSDK(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## The SDK\n")
	if !found {
		t.Fatal("README.md has no section The SDK")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// TestSnippetsCompile: the blocks of Go in docs/patterns, in docs/seal and in the
// README's section on the SDK compile, where the names below are what a program around
// them has.
func TestSnippetsCompile(t *testing.T) {
	all := snippets("README.md", readmeSDK(t))
	pages, err := filepath.Glob("docs/[ps]*/*.md")
	must(t, err)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		must(t, err)
		blocks := snippets(page, string(text))
		if len(blocks) == 0 && filepath.Dir(page) == "docs/patterns" && filepath.Base(page) != "README.md" {
			t.Errorf("%s has no block of Go", page)
		}
		all = append(all, blocks...)
	}
	// They are packages of this module that only the compiler sees.
	overlay := map[string]string{}
	dir, root := t.TempDir(), workdir(t)
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json")}
	for i, s := range all {
		file := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		must(t, os.WriteFile(file, []byte(program(t, s)), 0o644))
		in := fmt.Sprintf("internal/snippets/s%d", i)
		overlay[filepath.Join(root, in, "snippet.go")] = file
		args = append(args, "./"+in)
	}
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o644))
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
		for i, s := range all {
			t.Logf("s%d is %s", i, s)
		}
	}
}

func workdir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	return dir
}

// around are the names that snippets use and do not declare. TX is *sql.Tx in
// the README and pgx.Tx in the pages.
const around = `
type Order struct { ID string; Cents int }

var (
	ctx context.Context
	pool *pgxpool.Pool
	db *sqldb.DB[TX]
	broker bus.Bus
	ob *outbox.Outbox[TX]
	in *inbox.Inbox[TX]
	order Order
	mux *http.ServeMux
	identityFile, storageKeyFile, rootFile []byte
	password string
	id *seal.Identity
	keys *seal.KeyRing
	root seal.RootKey
	dir *directory.Client
	account func(*http.Request) string

	placeOrder, invoice func(context.Context, TX, Order) error
	place func(context.Context, TX, *http.Request) (Order, error)
	covered func(context.Context, TX, Order) bool
	book func(context.Context, TX, Order) (any, error)
	version func(*bus.Delivery) int64
	reserve, release, charge, ship saga.Builder[Order]
	authenticate func(http.Handler) http.Handler
)
`

// imports are what snippets may use, by name.
var imports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "json": "encoding/json", "sql": "database/sql", "time": "time",
	"pgx": "github.com/jackc/pgx/v5", "pgxpool": "github.com/jackc/pgx/v5/pgxpool",
	"amqp": ours + "/bus/amqp", "bus": ours + "/bus", "idempotency": ours + "/idempotency", "inbox": ours + "/inbox", "kafka": ours + "/bus/kafka",
	"outbox": ours + "/outbox", "saga": ours + "/saga", "seal": ours + "/seal", "directory": ours + "/seal/directory", "sqldb": ours + "/sqldb", "waxtest": ours + "/waxtest",
}

const ours = "github.com/waxwing-mq/waxwing"

// program is a package with a snippet in it.
func program(t *testing.T, s snippet) string {
	t.Helper()
	tx := "pgx.Tx"
	if s.page == "README.md" {
		tx = "*sql.Tx"
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+s.code+"\n}", 0)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	body := f.Decls[0].(*ast.FuncDecl).Body
	code := around + "\ntype TX = " + tx + "\n\nfunc _() error {\n" + s.code
	for _, name := range declared(body) {
		code += "\n_ = " + name // the reader goes on with it
	}
	if _, returns := body.List[len(body.List)-1].(*ast.ReturnStmt); !returns {
		code += "\nreturn nil"
	}
	text := "package p\n\nimport (\n"
	bare := regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(code, "")
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(bare) {
			text += fmt.Sprintf("\t%s %q\n", name, path)
		}
	}
	return text + ")\n" + code + "\n}\n"
}

// declared are the variables that a block declares itself, unless it returns at its
// end, where nothing can follow.
func declared(body *ast.BlockStmt) (names []string) {
	for _, s := range body.List {
		switch s := s.(type) {
		case *ast.ReturnStmt:
			return nil
		case *ast.AssignStmt:
			for _, e := range s.Lhs {
				if id, ok := e.(*ast.Ident); ok && s.Tok == token.DEFINE && !slices.Contains(names, id.Name) {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}

var named = regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Za-z0-9]+)`")

// TestSealPagesNameTests: what docs/seal says is shown by a test is, as far as there is a
// test of that name.
func TestSealPagesNameTests(t *testing.T) {
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)[A-Za-z0-9]+)\(`)
	for _, dir := range []string{"seal", "outbox", "inbox", "sqldb", "internal", "cmd", "conformance"} {
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range declared.FindAllSubmatch(text, -1) {
				there[string(m[1])] = true
			}
			return err
		}))
	}
	pages, err := filepath.Glob("docs/seal/*.md")
	must(t, err)
	n := 0
	for _, page := range append(pages, "docs/patterns/seal.md") {
		text, err := os.ReadFile(page)
		must(t, err)
		for _, m := range named.FindAllSubmatch(text, -1) {
			if n++; !there[string(m[1])] {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if n < 50 {
		t.Errorf("%d tests are named", n)
	}
}
