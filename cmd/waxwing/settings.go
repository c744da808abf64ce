package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"
)

// A setting may be given as a flag, as a WAXWING_* variable or, for serve, in a
// YAML file. The first of these that has it wins.

// settingsFileMax bounds the settings file, in bytes.
const settingsFileMax = 1 << 20

// envAnnotation marks the flags that a variable may set, with its name.
// sourceAnnotation says where the value of a flag comes from, if not from the
// command line; for one name of a pairsValue, the name is appended to it.
const (
	envAnnotation    = "waxwing_env"
	sourceAnnotation = "waxwing_source"
)

// bindEnv lets WAXWING_<NAME> set each of the named flags.
func bindEnv(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		variable := "WAXWING_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		must(fs.SetAnnotation(name, envAnnotation, []string{variable}))
	}
}

// applyEnv sets the flags that the command line left alone from their
// variables. A variable that is set but empty counts: WAXWING_HTTP= turns the
// HTTP listener off.
func applyEnv(fs *pflag.FlagSet) error {
	var first error
	fs.VisitAll(func(f *pflag.Flag) {
		variable := f.Annotations[envAnnotation]
		if len(variable) == 0 || first != nil {
			return
		}
		if value, ok := os.LookupEnv(variable[0]); ok {
			first = setLower(fs, f, value, variable[0])
		}
	})
	return first
}

// source says where the value of a flag, or of one of its pairs, was given:
// "waxwing.yaml:3: shards", "WAXWING_SHARDS" or, from the command line or by
// default, "shards".
func source(fs *pflag.FlagSet, name, pair string) string {
	f := fs.Lookup(name)
	if f == nil {
		return name
	}
	if where := f.Annotations[sourceAnnotation+pair]; len(where) > 0 {
		return where[0]
	}
	return name
}

// setLower gives f a value of lower precedence than it may already have. where
// names the source in errors.
func setLower(fs *pflag.FlagSet, f *pflag.Flag, value, where string) error {
	if _, ok := f.Value.(pairsValue); ok {
		more, err := parsePairs(value)
		if err != nil {
			return fmt.Errorf("%s: %q: %w", where, value, err)
		}
		for name, value := range more {
			fillPair(fs, f, name, value, where)
		}
		return nil
	}
	if f.Changed {
		return nil
	}
	if err := f.Value.Set(value); err != nil {
		var number *strconv.NumError
		if errors.As(err, &number) {
			err = number.Err
		}
		return fmt.Errorf("%s: %q: %w", where, value, err)
	}
	f.Changed = true
	must(fs.SetAnnotation(f.Name, sourceAnnotation, []string{where}))
	return nil
}

// fillPair adds a pair to f, a pairsValue, unless it has one of that name.
func fillPair(fs *pflag.FlagSet, f *pflag.Flag, name, value, where string) {
	pairs := f.Value.(pairsValue)
	if _, ok := pairs[name]; !ok {
		pairs[name] = value
		must(fs.SetAnnotation(f.Name, sourceAnnotation+name, []string{where}))
	}
}

// applyFile sets the flags that neither the command line nor the environment
// gave from the YAML file at path. Its keys are the names of the flags.
func applyFile(fs *pflag.FlagSet, path string) error {
	doc, err := readSettingsFile(path)
	if err != nil || doc == nil {
		return err
	}
	if doc.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: must be a list of \"key: value\" lines", path, doc.Line)
	}
	var seen []string
	for i := 0; i+1 < len(doc.Content); i += 2 {
		key, value := doc.Content[i], doc.Content[i+1]
		where := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d: %s", path, n.Line, key.Value) }
		f := fs.Lookup(key.Value)
		if f == nil || len(f.Annotations[envAnnotation]) == 0 || f.Name == "config" {
			return fmt.Errorf("%s:%d: unknown key %q", path, key.Line, key.Value)
		}
		if slices.Contains(seen, f.Name) {
			return fmt.Errorf("%s: is set twice", where(key))
		}
		seen = append(seen, f.Name)
		if err := applyNode(fs, f, value, where); err != nil {
			return err
		}
	}
	return nil
}

// readSettingsFile returns the file's one document, or nil if it is empty.
func readSettingsFile(path string) (*yaml.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, settingsFileMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > settingsFileMax {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, settingsFileMax)
	}
	return parseSettings(path, text)
}

// parseSettings returns the one YAML document in text, or nil if it is empty.
func parseSettings(path string, text []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&doc)
	if err == nil {
		if err = dec.Decode(&more); err == nil && len(more.Content) > 0 {
			return nil, fmt.Errorf("%s:%d: must hold one document only", path, more.Content[0].Line)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, syntaxError(path, text, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// yamlLine is how the parser says where it gave up.
var yamlLine = regexp.MustCompile(`^line (\d+): (.*)$`)

// yamlAnchor is how it says that there is no such anchor.
var yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)

// syntaxError names file and line. The parser counts lines from 0 in errors of
// its grammar; for anchors and for bytes that are not text it names none, so they
// are looked for.
func syntaxError(path string, text []byte, err error) error {
	line, what := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1])
		if what = m[2]; strings.HasPrefix(what, "did not find") {
			line++
		}
	} else if m := yamlAnchor.FindStringSubmatch(what); m != nil {
		line = lineAt(text, bytes.Index(text, []byte("*"+m[1])))
	} else {
		line = lineAt(text, bytes.IndexFunc(text, notText))
	}
	last := lineAt(text, len(bytes.TrimRight(text, "\n")))
	return fmt.Errorf("%s:%d: not YAML: %s", path, min(line, last), what)
}

// lineAt is the line of text that byte i lies in; 1 if i is negative.
func lineAt(text []byte, i int) int {
	return 1 + bytes.Count(text[:max(0, i)], []byte("\n"))
}

func notText(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) && !unicode.IsSpace(r)
}

// applyNode sets f from the value of one key. where names a line of the file.
func applyNode(fs *pflag.FlagSet, f *pflag.Flag, value *yaml.Node, where func(*yaml.Node) string) error {
	at := value
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	if _, ok := f.Value.(pairsValue); ok && value.Kind == yaml.MappingNode {
		return applyPairs(fs, f, value, where)
	}
	if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
		return fmt.Errorf("%s: needs one value (\"\" for an empty one)", where(at))
	}
	return setLower(fs, f, value.Value, where(at))
}

// applyPairs adds the pairs of a mapping to f, a pairsValue.
func applyPairs(fs *pflag.FlagSet, f *pflag.Flag, value *yaml.Node, where func(*yaml.Node) string) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(value.Content); i += 2 {
		name, v := value.Content[i], value.Content[i+1]
		switch {
		case name.Kind != yaml.ScalarNode || v.Kind != yaml.ScalarNode:
			return fmt.Errorf("%s: must hold \"name: value\" lines only", where(name))
		case seen[name.Value]:
			return fmt.Errorf("%s: %s is set twice", where(name), name.Value)
		}
		seen[name.Value] = true
		fillPair(fs, f, name.Value, v.Value, where(name))
	}
	return nil
}

// printSettings writes the settings that hold as a file that applyFile reads.
func printSettings(w io.Writer, fs *pflag.FlagSet) error {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	fs.VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[envAnnotation]) == 0 || len(f.Annotations[twinAnnotation]) > 0 || f.Name == "config" {
			return
		}
		doc.Content = append(doc.Content, scalar(f.Name), settingNode(f))
	})
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(doc), enc.Close())
}

// settingNode is the value of one setting.
func settingNode(f *pflag.Flag) *yaml.Node {
	pairs, ok := f.Value.(pairsValue)
	if !ok {
		return scalar(f.Value.String())
	}
	node := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	if len(pairs) > 0 {
		node.Style = 0
	}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		node.Content = append(node.Content, scalar(name), scalar(pairs[name]))
	}
	return node
}

// scalar is a value that is quoted where it would be read as something else or
// take more than a line.
func scalar(s string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if s == "" || strings.EqualFold(s, "null") || s == "~" || strings.ContainsFunc(s, unicode.IsControl) {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
