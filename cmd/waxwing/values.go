package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// enumValue is a flag that takes one of a few words.
type enumValue struct {
	value   string
	allowed []string
}

// newEnum returns a flag value whose default is the first of allowed.
func newEnum(allowed ...string) *enumValue {
	return &enumValue{value: allowed[0], allowed: allowed}
}

func (e *enumValue) String() string { return e.value }
func (e *enumValue) Type() string   { return strings.Join(e.allowed, "|") }

func (e *enumValue) Set(s string) error {
	if !slices.Contains(e.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(e.allowed, ", "))
	}
	e.value = s
	return nil
}

// complete offers the words to shell completion.
func (e *enumValue) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return e.allowed, cobra.ShellCompDirectiveNoFileComp
}

// addEnum adds the flag to cmd, with completion of its words.
func addEnum(cmd *cobra.Command, e *enumValue, name, shorthand, usage string) {
	cmd.Flags().VarP(e, name, shorthand, usage)
	must(cmd.RegisterFlagCompletionFunc(name, e.complete))
}

// sizeValue is a flag in bytes: a whole number, or one with a unit (128MiB).
type sizeValue int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40},
	{"b", 1},
}

func (v *sizeValue) String() string { return strconv.FormatInt(int64(*v), 10) }
func (v *sizeValue) Type() string   { return "bytes" }

func (v *sizeValue) Set(s string) error {
	number, unit := strings.ToLower(strings.TrimSpace(s)), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("not a size in bytes, such as 1048576, 64KiB or 1GB")
	}
	if n > math.MaxInt64/unit {
		return fmt.Errorf("size is too large")
	}
	*v = sizeValue(n * unit)
	return nil
}

// pairsValue is a flag that is given once per name=value. Pairs of lower
// precedence (environment, file) fill in only the names that are missing.
type pairsValue map[string]string

func (p pairsValue) Type() string { return "name=value" }

func (p pairsValue) String() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		pairs = append(pairs, name+"="+p[name])
	}
	return strings.Join(pairs, ";")
}

func (p pairsValue) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return fmt.Errorf("must be name=value")
	}
	p[name] = value
	return nil
}

// parsePairs reads "a=1;b=2". Values may contain commas, as Kafka's do.
func parsePairs(s string) (pairsValue, error) {
	p := pairsValue{}
	for pair := range strings.SplitSeq(s, ";") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		if err := p.Set(pair); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// must panics on errors that only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
