package idempotency

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
)

// maxKey is how long a key may be, in bytes.
const maxKey = 255

var errMissing = errors.New("the header Idempotency-Key is missing")

// keyOf is the key of a request, or errMissing, or what is wrong with its header.
func keyOf(h http.Header) (string, error) {
	lines := h.Values(headerKey)
	if len(lines) == 0 {
		return "", errMissing
	}
	if len(lines) > 1 {
		return "", errors.New("there is more than one key")
	}
	return parseKey(lines[0])
}

// parseKey reads the value of the header: a String of RFC 9651, section 3.3.3,
// without parameters, of which the draft knows none. Many clients send their key
// without the quotes: characters of a token (section 3.3.4), whichever comes first,
// are taken as if they stood in quotes.
func parseKey(value string) (string, error) {
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
	if len(key) > maxKey {
		return "", fmt.Errorf("the key has %d characters, more than %d", len(key), maxKey)
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
