// Package directory serves the prekey directory over HTTP: what package
// seal/directory asks, in its JSON types, from the broker's state.
//
//	GET     /seal/v1/identities/NAME         what an identity has published anybody who logs in
//	PUT     /seal/v1/identities/NAME         publish                        its owner
//	DELETE  /seal/v1/identities/NAME         delete it                      its owner
//	POST    /seal/v1/identities/NAME/take    a bundle, with one-time keys   anybody who logs in
//	GET     /seal/v1/identities/NAME/marks   all marks                      its owner
//	POST    /seal/v1/identities/NAME/marks   raise marks                    its owner
//
// Users are the broker's. An identity belongs to the user of its name, or whose name
// is what it begins with, up to a "/" or "."; of several, to the one with the longest
// name. Administrators may do everything.
//
// What a user's identities may take together is bounded, and what all may: beyond that
// it answers 429. For administrators only the latter holds.
//
// It is served over TLS, or to this machine only.
package directory

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/seal/directory"
)

const (
	administrator = "administrator" // the tag of who may do everything

	publicationBytesMax = 2 << 20   // of the body of a PUT, in JSON
	marksBytesMax       = 128 << 10 // of the body that raises marks
	publishingMax       = 8         // publications that are in memory at a time
	bodyTimeout         = 30 * time.Second
)

// Config says what a Handler serves. All fields are needed.
type Config struct {
	// Broker is the running broker. It is asked for after Login only.
	Broker func() *broker.Broker
	// Login says who asks, or answers that nobody may who says so.
	Login func(http.ResponseWriter, *http.Request) (user string, ok bool)
	// Local says whether a request comes from this machine, and not from
	// elsewhere through something on it.
	Local  func(*http.Request) bool
	Logger *slog.Logger
}

// Handler serves the paths below directory.Path.
type Handler struct {
	cfg        Config
	crossSite  *http.CrossOriginProtection
	publishing chan struct{} // as many as publications in memory
}

// New returns a handler.
func New(cfg Config) *Handler {
	return &Handler{cfg: cfg, crossSite: http.NewCrossOriginProtection(), publishing: make(chan struct{}, publishingMax)}
}

// request is one that may be answered: by whom, about whom.
type request struct {
	*http.Request
	w      http.ResponseWriter
	broker *broker.Broker
	user   string
	name   string // of the identity
}

// refusal is an answer that is an error.
type refusal struct {
	status int
	reason string
}

func (e *refusal) Error() string { return e.reason }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A page of another site must not use a browser's login to use up keys.
	if err := h.crossSite.Check(r); err != nil {
		fail(w, refuse(http.StatusForbidden, "%v", err))
		return
	}
	if r.TLS == nil && !h.cfg.Local(r) {
		fail(w, refuse(http.StatusForbidden, "the prekey directory answers over HTTPS, or to the broker's own machine"))
		return
	}
	user, ok := h.cfg.Login(w, r)
	if !ok {
		return
	}
	name, page, err := parsePath(r.URL)
	if err != nil {
		fail(w, err)
		return
	}
	answer, err := h.route(&request{r, w, h.cfg.Broker(), user, name}, page)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that went away is no concern
}

// route is all that can be asked.
func (h *Handler) route(r *request, page string) (answer any, err error) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	switch method + " " + page {
	case "GET ":
		return r.status()
	case "PUT ":
		return owned(r, h.publish)
	case "DELETE ":
		return owned(r, h.delete)
	case "POST take":
		return r.take()
	case "GET marks":
		return owned(r, (*request).marks)
	case "POST marks":
		return owned(r, (*request).raise)
	}
	switch page {
	case "", "take", "marks":
		return nil, refuse(http.StatusMethodNotAllowed, "the page does not know %s", method)
	}
	return nil, refuse(http.StatusNotFound, "no such page")
}

// parsePath returns the name of an identity and the page behind it.
func parsePath(u *url.URL) (name, page string, err error) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), directory.Path)
	escaped, page, _ := strings.Cut(rest, "/")
	if name, err = url.PathUnescape(escaped); !ok || err != nil {
		return "", "", refuse(http.StatusNotFound, "no such page")
	}
	if err := directory.CheckName(name); err != nil {
		return "", "", refuse(http.StatusBadRequest, "%v", err)
	}
	return name, page, nil
}

// owned has do answer if the identity is the user's.
func owned(r *request, do func(*request) (any, error)) (any, error) {
	if isAdministrator(r) || owner(r.broker.Access(), r.name) == r.user {
		return do(r)
	}
	return nil, refuse(http.StatusForbidden, "the identity %q is not of user %q", r.name, r.user)
}

func isAdministrator(r *request) bool {
	u, _ := r.broker.Access().User(r.user)
	return u.HasTag(administrator)
}

// account says which identities count together with what a user publishes; an
// administrator has none.
func account(r *request) func(identity string) bool {
	if isAdministrator(r) {
		return nil
	}
	view := r.broker.Access()
	return func(identity string) bool {
		// Most are others', which their names tell.
		return strings.HasPrefix(identity, r.user) && owner(view, identity) == r.user
	}
}

// owner is the user that an identity belongs to, or "". It is the longest that
// there is, so that nobody gets identities of "a.b" by being "a".
func owner(view *access.View, identity string) string {
	for name := identity; name != ""; {
		if _, there := view.User(name); there {
			return name
		}
		name = name[:max(0, strings.LastIndexAny(name, "/."))]
	}
	return ""
}

// fail answers with why something was not done, as the management API does.
func fail(w http.ResponseWriter, err error) {
	status := statusOf(err)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(directory.Failure{Error: http.StatusText(status), Reason: err.Error()})
}

// statusOf is the one table from errors to HTTP.
func statusOf(err error) int {
	var re *refusal
	var pe *prekey.Error
	var be *broker.Error
	switch {
	case errors.As(err, &re):
		return re.status
	case errors.As(err, &pe):
		switch pe.Kind {
		case prekey.NotFound:
			return http.StatusNotFound
		case prekey.Conflict:
			return http.StatusConflict
		case prekey.QuotaReached:
			return http.StatusTooManyRequests
		}
		return http.StatusBadRequest
	case errors.As(err, &be):
		switch be.Kind {
		case broker.StorageFull:
			return http.StatusInsufficientStorage
		case broker.Stopping, broker.Failed:
			return http.StatusServiceUnavailable
		case broker.InvalidRequest:
			return http.StatusRequestEntityTooLarge
		}
	}
	return http.StatusInternalServerError
}
