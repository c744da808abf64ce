// Package settings holds the settings of a broker and its topics under the
// names that Kafka gave them: what there is, what it means, what is allowed,
// and what holds when defaults, the operator's values, dynamic values and a
// topic's overrides are laid over each other.
//
// It is pure: text in, structs and descriptions out.
package settings

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is the type of a setting's value.
type Type uint8

// The types of values.
const (
	Bool Type = iota + 1
	String
	Int  // 32 bits
	Long // 64 bits
	Double
	List // comma-separated
)

func (t Type) String() string {
	return [...]string{"unknown", "boolean", "string", "32-bit integer", "64-bit integer", "number", "list"}[t]
}

// Definition says what a setting is.
type Definition struct {
	Name    string
	Type    Type
	Default string // "": none
	Doc     string
	// ReadOnly settings of a broker are read once, at start.
	ReadOnly bool
	// NoEffect settings are accepted because Kafka's tools set them.
	NoEffect bool
	// From names the broker settings that give a topic setting its default,
	// the strongest first.
	From []string

	min, max float64             // bounds of a number, when max > min
	oneOf    []string            // allowed words of a String or List
	because  string              // why only oneOf is allowed
	also     func(string) string // what else is wrong with a value, "" if nothing
}

// Error says which setting has which fault. Its text is for people.
type Error struct {
	Name    string // the setting
	Text    string
	Unknown bool // there is no such setting
}

func (e *Error) Error() string { return e.Text }

func (d *Definition) fault(value, format string, args ...any) *Error {
	return &Error{Name: d.Name, Text: fmt.Sprintf("invalid value %s for %s: %s", quoted(value), d.Name, fmt.Sprintf(format, args...))}
}

// Clean returns a value, allowed or not, as it is understood and shown: without
// spaces around it, and, if it can be read, booleans in small letters, integers
// in their usual form, lists without empty words, and without repeated ones
// where only some words are allowed.
func (d *Definition) Clean(value string) string {
	value = strings.TrimSpace(value)
	switch d.Type {
	case Bool:
		return strings.ToLower(value)
	case Int, Long:
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	case List:
		if d.oneOf != nil {
			return strings.Join(distinct(Words(value)), ",")
		}
		if !strings.ContainsAny(value, " \t\r\n") && !strings.Contains(","+value+",", ",,") {
			return value // it may be long
		}
		return strings.Join(Words(value), ",")
	}
	return value
}

// distinct keeps the first of each word.
func distinct(words []string) []string {
	var kept []string
	for _, w := range words {
		if !slices.Contains(kept, w) {
			kept = append(kept, w)
		}
	}
	return kept
}

// Check returns an *Error if the value is not allowed, else nil. It looks at it
// as Clean gives it.
func (d *Definition) Check(value string) error {
	if err := d.checkType(d.Clean(value)); err != nil || d.also == nil {
		return err
	}
	if wrong := d.also(strings.TrimSpace(value)); wrong != "" {
		return d.fault(value, "%s", wrong)
	}
	return nil
}

// checkType checks a clean value, but for d.also.
func (d *Definition) checkType(value string) error {
	switch d.Type {
	case Bool:
		if value != "true" && value != "false" {
			return d.fault(value, "must be true or false")
		}
		return d.checkWord(value, value)
	case Int, Long:
		bits := 64
		if d.Type == Int {
			bits = 32
		}
		n, err := strconv.ParseInt(value, 10, bits)
		if err != nil {
			return d.fault(value, "must be a %s", d.Type)
		}
		return d.checkBounds(value, float64(n))
	case Double:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(f) {
			return d.fault(value, "must be a %s", d.Type)
		}
		return d.checkBounds(value, f)
	case String:
		return d.checkWord(value, value)
	case List:
		for _, word := range Words(value) {
			if err := d.checkWord(value, word); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Definition) checkBounds(value string, n float64) error {
	switch {
	case d.max <= d.min:
		return nil
	case n < d.min:
		return d.fault(value, "must be at least %s", strconv.FormatFloat(d.min, 'f', -1, 64))
	case n > d.max:
		return d.fault(value, "must be at most %s", strconv.FormatFloat(d.max, 'f', -1, 64))
	}
	return nil
}

func (d *Definition) checkWord(value, word string) error {
	if d.oneOf == nil || slices.Contains(d.oneOf, word) {
		return nil
	}
	text := "must be " + strings.Join(d.oneOf, " or ")
	if d.because != "" {
		text += " (" + d.because + ")"
	}
	return d.fault(value, "%s", text)
}

// noEmptyWords is for Definition.also. A list without any word is allowed.
func noEmptyWords(value string) string {
	if value != "" && len(Words(value)) != strings.Count(value, ",")+1 {
		return "must have no empty words"
	}
	return ""
}

// throttled is for Definition.also, of lists of replicas.
func throttled(value string) string {
	if value == "*" {
		return ""
	}
	for _, word := range Words(value) {
		partition, replica, ok := strings.Cut(word, ":")
		if !ok || !digits(partition) || !digits(replica) {
			return "must be * or a list of partition:replica"
		}
	}
	return ""
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// notZero is for Definition.also, of numbers that may be negative.
func notZero(value string) string {
	if number(value) == 0 {
		return "must be at least 1, or negative"
	}
	return ""
}

// Words splits the value of a List; spaces around words do not count.
func Words(value string) []string {
	var words []string
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// Builders, so that the tables below stay one line per setting.

func boolean(name, def, doc string) Definition {
	return Definition{Name: name, Type: Bool, Default: def, Doc: doc}
}

func integer(name, def string, least int32, doc string) Definition {
	return Definition{Name: name, Type: Int, Default: def, Doc: doc, min: float64(least), max: math.MaxInt32}
}

func long(name, def string, least int64, doc string) Definition {
	return Definition{Name: name, Type: Long, Default: def, Doc: doc, min: float64(least), max: math.MaxInt64}
}

func (d Definition) and(also func(string) string) Definition {
	d.also = also
	return d
}
func (d Definition) most(n float64) Definition       { d.max = n; return d }
func (d Definition) from(names ...string) Definition { d.From = names; return d }
func (d Definition) readOnly() Definition            { d.ReadOnly = true; return d }
func (d Definition) noEffect() Definition            { d.NoEffect = true; return d }

// The parsers below are given values that Check has let through.

func flag(value string) bool { return value == "true" }

func number(value string) int64 {
	n, _ := strconv.ParseInt(value, 10, 64)
	return n
}

// span turns a number of units into a duration. What is too long for a
// duration is the longest there is (292 years); what is negative is -1.
func span(value string, unit time.Duration) time.Duration {
	n := number(value)
	switch {
	case n < 0:
		return -1
	case n > math.MaxInt64/int64(unit):
		return math.MaxInt64
	}
	return time.Duration(n) * unit
}
