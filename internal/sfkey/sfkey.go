// Package sfkey reads the value of the header Idempotency-Key. It stands alone so
// that it can be fuzzed without the databases' drivers, which take minutes to
// instrument.
package sfkey

import (
	"errors"
	"fmt"
	"strings"
)

// Max is how long a key may be, in bytes.
const Max = 255

// Parse reads the value of the header: a String of RFC 9651, section 3.3.3,
// without parameters, of which the draft knows none. Many clients send their key
// without the quotes: characters of a token (section 3.3.4), whichever comes first,
// are taken as if they stood in quotes.
func Parse(value string) (string, error) {
	value = strings.Trim(value, " \t")
	key := value
	if strings.HasPrefix(value, `"`) {
		var err error
		if key, err = parseString(value); err != nil {
			return "", err
		}
	} else if i := strings.IndexFunc(value, notInToken); i >= 0 {
		return "", fmt.Errorf("it is no string: character %d is not allowed outside of quotes", i+1)
	}
	if key == "" {
		return "", errors.New("the key is empty")
	}
	if len(key) > Max {
		return "", fmt.Errorf("the key has %d characters, more than %d", len(key), Max)
	}
	return key, nil
}

// parseString reads a String, which begins with a quote: printable ASCII, with
// backslashes before quotes and backslashes only.
func parseString(value string) (string, error) {
	var key strings.Builder
	for i := 1; i < len(value); i++ {
		c := value[i]
		switch {
		case c == '"':
			if i+1 < len(value) {
				return "", errors.New("it is no string: something follows the closing quote")
			}
			return key.String(), nil
		case c == '\\':
			i++
			if i == len(value) || value[i] != '"' && value[i] != '\\' {
				return "", errors.New("it is no string: a backslash stands before something else than a quote or backslash")
			}
			c = value[i]
		case c < 0x20 || c > 0x7e:
			return "", fmt.Errorf("it is no string: character %d is not printable ASCII", i+1)
		}
		key.WriteByte(c)
	}
	return "", errors.New("it is no string: the closing quote is missing")
}

func notInToken(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~:/", c)
}
