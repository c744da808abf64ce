package waxwing

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/waxwing-mq/waxwing/"

// allowed lists, for every package of the product, which packages of ours it
// may import. Arrows point down: the protocols know the broker and never each
// other, the journal or the disk; only node knows which engine runs. A new
// package has to be added here, which is the moment to think about its place.
var allowed = map[string][]string{
	"":                           {"internal/node"},
	"cmd/waxwing":                {"examples/orders/demo", "inbox", "internal/node", "saga", "seal", "seal/directory", "seal/ratchet", "seal/safetynumber", "seal/senderkey", "sqldb"},
	"bus":                        {},
	"bus/amqp":                   {"bus", "internal/killpoint", "internal/lane"},
	"bus/bustest":                {"bus", "internal/killpoint", "internal/safeguard"},
	"bus/kafka":                  {"bus", "internal/killpoint", "internal/lane"},
	"internal/lane":              {"bus", "internal/killpoint", "internal/safeguard"},
	"sqldb":                      {"internal/sqltx"},
	"outbox":                     {"bus", "internal/busrow", "internal/killpoint", "internal/msgtrace", "internal/safeguard", "internal/sqltx", "sqldb"},
	"inbox":                      {"bus", "internal/busrow", "internal/killpoint", "internal/msgtrace", "internal/safeguard", "internal/sqltx", "sqldb"},
	"seal":                       {"bus", "internal/busrow", "internal/safeguard", "internal/sqltx", "seal/directory", "seal/ratchet", "seal/safetynumber", "seal/senderkey", "sqldb"},
	"seal/directory":             {},
	"saga":                       {"bus", "inbox", "internal/flow", "internal/killpoint", "internal/safeguard", "internal/sqltx", "outbox", "sqldb"},
	"internal/flow":              {},
	"idempotency":                {"internal/killpoint", "internal/sfkey", "internal/sqltx", "sqldb"},
	"internal/sfkey":             {},
	"seal/ratchet":               {},
	"internal/busrow":            {"bus"},
	"internal/msgtrace":          {"bus"},
	"internal/killpoint":         {},
	"internal/safeguard":         {},
	"internal/sqltx":             {},
	"waxtest":                    {"", "bus", "internal/killpoint", "internal/sqltx", "sqldb"},
	"internal/sqltest":           {"sqldb"},
	"internal/sample":            {},
	"internal/sealtest":          {"seal", "seal/directory", "sqldb"},
	"seal/senderkey":             {"seal/ratchet"},
	"seal/safetynumber":          {"seal/ratchet"},
	"seal/internal/peer":         {},
	"internal/node":              {"internal/amqp", "internal/amqp/wire", "internal/broker", "internal/broker/access", "internal/broker/queue", "internal/directory", "internal/engine", "internal/engine/disk", "internal/engine/mem", "internal/kafka", "internal/listen", "internal/settings", "seal/directory"},
	"internal/listen":            {},
	"internal/kafka":             {"internal/broker", "internal/broker/group", "internal/record", "internal/settings"},
	"internal/amqp/wire":         {},
	"internal/amqp":              {"internal/amqp/wire", "internal/broker", "internal/broker/access", "internal/broker/queue", "internal/broker/route", "internal/record"},
	"internal/broker":            {"internal/broker/access", "internal/broker/group", "internal/broker/prekey", "internal/broker/queue", "internal/broker/route", "internal/broker/topic", "internal/datafile", "internal/enc", "internal/engine", "internal/journal", "internal/mutant", "internal/record", "internal/settings"},
	"internal/broker/access":     {"internal/enc"},
	"internal/broker/group":      {},
	"internal/broker/prekey":     {"internal/enc"},
	"internal/broker/queue":      {"internal/datafile", "internal/enc"},
	"internal/broker/route":      {"internal/enc"},
	"internal/broker/topic":      {"internal/datafile", "internal/enc", "internal/mutant"},
	"internal/settings":          {},
	"internal/journal":           {"internal/datafile", "internal/enc", "internal/engine", "internal/mutant"},
	"internal/datafile":          {"internal/engine"},
	"internal/directory":         {"internal/broker", "internal/broker/access", "internal/broker/prekey", "seal/directory"},
	"internal/engine":            {},
	"internal/engine/disk":       {"internal/engine", "internal/mutant"},
	"internal/engine/mem":        {"internal/engine", "internal/engine/disk"},
	"internal/engine/enginetest": {"internal/engine", "internal/engine/disk", "internal/engine/mem"},
	"internal/record":            {},
	"internal/enc":               {},
	"internal/mutant":            {},
	"internal/sim":               {"internal/broker", "internal/broker/group", "internal/broker/prekey", "internal/broker/queue", "internal/broker/route", "internal/engine", "internal/engine/disk", "internal/engine/mem", "internal/record"},
}

// pure packages do no I/O and know no clock: a state machine or a codec.
var pure = []string{"internal/amqp/wire", "internal/broker/access", "internal/broker/group", "internal/broker/prekey", "internal/broker/queue", "internal/broker/route", "internal/broker/topic", "internal/enc", "internal/flow", "internal/record", "internal/settings", "seal/ratchet", "seal/safetynumber", "seal/senderkey"}

// impure are the packages that a pure one must not import.
var impure = []string{"context", "net", "os", "syscall", "sync", "log/slog", "net/http", "golang.org/x/sys/unix"}

// mayImport are exceptions, with the reason.
var mayImport = map[string]string{
	"internal/record sync":        "pools of decompressors",
	"internal/broker/access sync": "the lock of the view that connections read",
	"internal/broker/route sync":  "the lock of the table that publishers read",
}

type listed struct {
	ImportPath string
	Imports    []string
}

// packages asks the go command for what every package imports, tests left out.
func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal("go list: ", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath+"/", module)
		p.ImportPath = strings.TrimSuffix(p.ImportPath, "/")
		all = append(all, p)
	}
}

func TestArrowsPointDown(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		seen[p.ImportPath] = true
		if strings.HasPrefix(p.ImportPath, "bench/") || strings.HasPrefix(p.ImportPath, "examples/") || p.ImportPath == "scripts" {
			continue
		}
		may, known := allowed[p.ImportPath]
		if !known {
			t.Errorf("package %q is not in the list: where does it belong?", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if ours, ok := strings.CutPrefix(imp, module); ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s, which is not below it", p.ImportPath, ours)
			}
		}
	}
	for p := range allowed {
		if !seen[p] {
			t.Errorf("package %q is listed but does not exist", p)
		}
	}
}

func TestPurePackagesArePure(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, p.ImportPath) {
			continue
		}
		for _, imp := range p.Imports {
			if slices.Contains(impure, imp) && mayImport[p.ImportPath+" "+imp] == "" {
				t.Errorf("%s is pure and imports %s", p.ImportPath, imp)
			}
		}
	}
}
