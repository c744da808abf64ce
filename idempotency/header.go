package idempotency

import (
	"errors"
	"net/http"

	"github.com/waxwing-mq/waxwing/internal/sfkey"
)

const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
)

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
	return sfkey.Parse(lines[0])
}
