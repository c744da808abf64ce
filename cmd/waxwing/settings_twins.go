package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/waxwing-mq/waxwing/internal/node"
)

// twinAnnotation marks a flag that says nothing because broker-config has its
// twin from a place of higher precedence.
const twinAnnotation = "waxwing_twin"

// preferTwins settles between the flags that stand for a broker setting and the
// same settings in broker-config: the one from the place of higher precedence
// stays. From the same place they must be equal.
func preferTwins(fs *pflag.FlagSet, twins []node.Twin) error {
	config := fs.Lookup("broker-config")
	pairs := config.Value.(pairsValue)
	for _, t := range twins {
		value, ok := pairs[t.Name]
		if !ok {
			continue
		}
		f := fs.Lookup(t.Flag)
		flagRank, pairRank := rank(f, ""), rank(config, t.Name)
		switch {
		case flagRank > pairRank:
			delete(pairs, t.Name)
		case flagRank < pairRank:
			must(fs.SetAnnotation(f.Name, twinAnnotation, []string{t.Name}))
		case value != t.Value:
			return fmt.Errorf("%s: %s=%s contradicts %s: %s", source(fs, config.Name, t.Name), t.Name, value, source(fs, f.Name, ""), f.Value)
		default:
			delete(pairs, t.Name)
		}
	}
	return nil
}

// rank orders the places of a flag's value, or of one of its pairs: 3 the
// command line, 2 a variable, 1 the file, 0 nowhere.
func rank(f *pflag.Flag, pair string) int {
	where := f.Annotations[sourceAnnotation+pair]
	switch {
	case pair == "" && !f.Changed:
		return 0
	case len(where) == 0:
		return 3
	case slices.Contains(f.Annotations[envAnnotation], where[0]):
		return 2
	}
	return 1
}

// warnUnknownEnv tells of WAXWING_* variables that no command has, which are
// most likely misspelt.
func warnUnknownEnv(root *cobra.Command, log *slog.Logger) {
	known := map[string]bool{}
	for _, variable := range allVariables(root) {
		known[variable] = true
	}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "WAXWING_") && !known[name] {
			log.Warn("no setting has this variable", "variable", name)
		}
	}
}

// allVariables are the variables of cmd's flags and of those of all commands
// below it.
func allVariables(cmd *cobra.Command) []string {
	var names []string
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Annotations[envAnnotation]...) })
	for _, sub := range cmd.Commands() {
		names = append(names, allVariables(sub)...)
	}
	return names
}
