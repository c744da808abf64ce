package sfkey

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for value, want := range map[string]string{
		`"8e03978e-40d5-43e8-bc93-6894a57f9324"`: "8e03978e-40d5-43e8-bc93-6894a57f9324",
		`8e03978e-40d5-43e8-bc93-6894a57f9324`:   "8e03978e-40d5-43e8-bc93-6894a57f9324",
		` "a b" `:                                "a b",
		`"a\"b\\c"`:                              `a"b\c`,
		`"~!;,"`:                                 "~!;,",
		`*abc:/`:                                 "*abc:/",
		`"` + strings.Repeat("x", 255) + `"`:     strings.Repeat("x", 255),
	} {
		if got, err := Parse(value); got != want || err != nil {
			t.Errorf("%s is %q, %v", value, got, err)
		}
	}
	for _, value := range []string{
		"", " ", `""`, `"`, `"a`, `"a\"`, `"a\`, `"a\n"`, `"a"b`, `"a";p=1`, `"a", "b"`, "a b", "a,b", `a"b`, `a;p=1`,
		"\"\x1f\"", "\"\x7f\"", `"é"`, "é", "a\tb", "?1" + " ", "@1659578233", ":YQ==:", `%"a"`, "(a)",
		strings.Repeat("x", 256), `"` + strings.Repeat("x", 256) + `"`,
	} {
		if got, err := Parse(value); err == nil {
			t.Errorf("%q is the key %q", value, got)
		}
	}
}

// quote writes a String as RFC 9651 has it, section 4.1.6.
func quote(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

// FuzzKey: a key that is read is bounded and printable, and the same when written
// and read again.
func FuzzKey(f *testing.F) {
	f.Add(`"8e03978e-40d5-43e8-bc93-6894a57f9324"`)
	f.Fuzz(func(t *testing.T, value string) {
		key, err := Parse(value)
		if err != nil {
			return
		}
		if key == "" || len(key) > Max || strings.ContainsFunc(key, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
			t.Fatalf("%q is the key %q", value, key)
		}
		if again, err := Parse(quote(key)); again != key || err != nil {
			t.Fatalf("%q is read as %q, %v", quote(key), again, err)
		}
	})
}
