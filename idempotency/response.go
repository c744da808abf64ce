package idempotency

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// ErrTooLarge is what a handler's Write returns, and what OnError gets, if the
// response has more bytes than MaxResponse.
var ErrTooLarge = errors.New("idempotency: the response is too large")

// A response is what a handler answers, or has answered.
type response struct {
	status int
	header []byte // as HTTP writes it: "Name: value\r\n" for each line
	body   []byte
}

// recorder is the ResponseWriter of a handler. It holds what is written.
type recorder struct {
	header http.Header
	sent   http.Header // as header was when the status was written
	status int
	body   bytes.Buffer
	max    int
	tooBig bool
}

func (w *recorder) Header() http.Header { return w.header }

// WriteHeader takes the first status that is final, as net/http does.
func (w *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("idempotency: %d is no status", status))
	}
	if w.status == 0 && status >= 200 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !hasBody(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.tooBig || len(p) > w.max-w.body.Len() {
		w.tooBig = true
		return 0, ErrTooLarge
	}
	return w.body.Write(p)
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// notReplayed are headers that belong to a connection, not to a response.
var notReplayed = map[string]bool{"Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true, headerReplayed: true}

// response is what was written, which nothing is written to any more.
func (w *recorder) response() (response, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	var header bytes.Buffer
	if err := w.sent.WriteSubset(&header, notReplayed); err != nil {
		return response{}, err
	}
	if w.tooBig || header.Len()+w.body.Len() > w.max {
		return response{}, ErrTooLarge
	}
	return response{w.status, header.Bytes(), w.body.Bytes()}, nil
}

// send is the answer to the client. What stands in its header already stays, unless
// the response has it too.
func (res response) send(w http.ResponseWriter, r *http.Request, replayed bool) {
	h := w.Header()
	own := http.Header{}
	for line := range strings.SplitSeq(string(res.header), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			own[name] = append(own[name], value)
		}
	}
	for name, values := range own {
		h[name] = values
	}
	if replayed {
		h.Set(headerReplayed, "true")
	}
	if hasBody(res.status) && r.Method != http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(len(res.body)))
	}
	w.WriteHeader(res.status)
	if hasBody(res.status) {
		_, _ = w.Write(res.body) // a client that is gone gets it when it tries again
	}
}
