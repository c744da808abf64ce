package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"
)

// A setting may be given as a flag, as a WAXWING_* variable or, for serve, in a
// YAML file. The first of these that has it wins.

// settingsFileMax bounds the settings file, in bytes.
const settingsFileMax = 1 << 20

// envAnnotation marks the flags that a variable may set, with its name.
const envAnnotation = "waxwing_env"

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
			first = setLower(f, value, variable[0])
		}
	})
	return first
}

// setLower gives f a value of lower precedence than it may already have. where
// names the source in the error.
func setLower(f *pflag.Flag, value, where string) error {
	if pairs, ok := f.Value.(pairsValue); ok {
		more, err := parsePairs(value)
		if err != nil {
			return fmt.Errorf("%s: %q: %w", where, value, err)
		}
		pairs.fill(more)
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
	return nil
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
		where := fmt.Sprintf("%s:%d: %s", path, key.Line, key.Value)
		f := fs.Lookup(key.Value)
		if f == nil || len(f.Annotations[envAnnotation]) == 0 || f.Name == "config" {
			return fmt.Errorf("%s:%d: unknown key %q", path, key.Line, key.Value)
		}
		if slices.Contains(seen, f.Name) {
			return fmt.Errorf("%s: is set twice", where)
		}
		seen = append(seen, f.Name)
		if err := applyNode(f, value, where); err != nil {
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
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// applyNode sets f from the value of one key.
func applyNode(f *pflag.Flag, value *yaml.Node, where string) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	if pairs, ok := f.Value.(pairsValue); ok && value.Kind == yaml.MappingNode {
		more := pairsValue{}
		for i := 0; i+1 < len(value.Content); i += 2 {
			name, v := value.Content[i], value.Content[i+1]
			if name.Kind != yaml.ScalarNode || v.Kind != yaml.ScalarNode {
				return fmt.Errorf("%s: must hold \"name: value\" lines only", where)
			}
			if _, ok := more[name.Value]; ok {
				return fmt.Errorf("%s: %s is set twice", where, name.Value)
			}
			more[name.Value] = v.Value
		}
		pairs.fill(more)
		return nil
	}
	if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
		return fmt.Errorf("%s: needs one value (\"\" for an empty one)", where)
	}
	return setLower(f, value.Value, where)
}

// printSettings writes the settings that hold as a file that applyFile reads.
func printSettings(w io.Writer, fs *pflag.FlagSet) error {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	fs.VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[envAnnotation]) == 0 || f.Name == "config" {
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
