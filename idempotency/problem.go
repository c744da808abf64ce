package idempotency

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A problem is an answer that is not the handler's (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// The problems there are. Their types become addresses.
var (
	keyMissing   = problem{"#key-missing", "Idempotency-Key is missing", http.StatusBadRequest, "This operation needs the header Idempotency-Key: a string in quotes that is new for each operation and the same for each try."}
	keyInvalid   = problem{"#key-invalid", "Idempotency-Key is invalid", http.StatusBadRequest, ""}
	keyReused    = problem{"#key-reused", "Idempotency-Key is already used", http.StatusUnprocessableEntity, "This key was used with another payload. Another operation needs another key."}
	inProgress   = problem{"#in-progress", "A request is outstanding for this Idempotency-Key", http.StatusConflict, "A request with this key has not ended yet. Try again later, with the same key."}
	bodyTooLarge = problem{"#body-too-large", "The body is too large", http.StatusRequestEntityTooLarge, ""}
	bodyCut      = problem{"#body-unreadable", "The body cannot be read", http.StatusBadRequest, ""}
	failed       = problem{"#failed", "The request failed", http.StatusInternalServerError, "Nothing was stored. The request can be sent again with the same key."}
	conflict     = problem{"#conflict", "The request met others", http.StatusServiceUnavailable, "Nothing was stored. Try again later, with the same key."}
)

// reject answers by a problem.
func (o *options) reject(w http.ResponseWriter, p problem) {
	p.Type = o.help + p.Type
	body, _ := json.Marshal(p) // strings and a number
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if p.Status == http.StatusConflict || p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.FormatInt(int64((o.retryAfter+time.Second-1)/time.Second), 10))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that is gone
}

// rejectf answers by a problem with details of its own.
func (o *options) rejectf(w http.ResponseWriter, p problem, format string, args ...any) {
	p.Detail = fmt.Sprintf(format, args...)
	o.reject(w, p)
}

// fail answers a request whose transaction was rolled back.
func (o *options) fail(w http.ResponseWriter, r *http.Request, err error) {
	if o.onError != nil {
		o.onError(w, r, err)
		return
	}
	if sqltx.Transient(err) {
		o.reject(w, conflict)
		return
	}
	if r.Context().Err() == nil { // else the client has gone, and that is why
		o.log.ErrorContext(r.Context(), "idempotency: a request failed", "method", r.Method, "route", r.Pattern, "error", err)
	}
	o.reject(w, failed)
}
