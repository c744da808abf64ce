package directory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Path is where the directory lies at the broker: Path + NAME, with the name
// escaped as one segment of a path.
const Path = "/seal/v1/identities/"

// answerBytesMax bounds what an answer can take in memory.
const answerBytesMax = 1 << 20

// timeoutDefault is how long a call may take.
const timeoutDefault = 30 * time.Second

// Config says which directory, and who asks.
type Config struct {
	// URL of the broker, such as https://broker.example:15672. Without TLS
	// (http) the host must be this machine.
	URL string
	// User and Password are a user of the broker.
	User, Password string
	// TLS is used as it is for https (own roots in RootCAs); nil: the system's
	// roots. It is cloned.
	TLS *tls.Config
	// Timeout is how long a call may take; 0: 30 s. A context can end it sooner.
	Timeout time.Duration
}

// Client asks a directory. Any number of goroutines may use it at once.
type Client struct {
	base           string
	user, password string
	http           *http.Client
}

// NewClient returns a client; it connects when it is first asked something.
func NewClient(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("directory: %q is not https://host:port", u.Redacted())
	case u.Scheme == "http" && !isLocal(u.Hostname()):
		return nil, fmt.Errorf("directory: %q sends a password without TLS; http is for this machine only", u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("directory: %q is neither https nor http", u.Redacted())
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.TLS != nil {
		transport.TLSClientConfig = cfg.TLS.Clone()
	}
	return &Client{
		base: strings.TrimSuffix(u.String(), "/"), user: cfg.User, password: cfg.Password,
		http: &http.Client{
			Transport: transport, Timeout: cmp.Or(cfg.Timeout, timeoutDefault),
			// A redirection could take the password elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Close closes idle connections. The client can be used afterwards.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Publish publishes what an identity has, and makes the identity if it is not
// there. When it returns without an error, all of it is durable. It may be called
// again with the same publication if it is unknown whether it was done. What is
// larger than PublicationBytesMax goes in several requests, with the one-time keys
// in their order; if one fails, those before it were done. The status is that after
// the last one. It keeps no reference to p.
func (c *Client) Publish(ctx context.Context, name string, p Publication) (Status, error) {
	for {
		part, rest, more := split(p)
		var s Status
		if err := c.do(ctx, http.MethodPut, name, "", part, &s); err != nil || !more {
			return s, err
		}
		p = rest
	}
}

// Take returns what is needed to begin a session with an identity, and gives out
// its next one-time keys: no other call returns them. Where none is left, or the
// caller's user has taken too many of this identity lately, the bundle is without a
// one-time key and has the last-resort KEM key; that is not an error. A call that
// fails may have used keys up. Whether what it returns is to be believed is the
// caller's to check.
func (c *Client) Take(ctx context.Context, name string) (Bundle, error) {
	var b Bundle
	err := c.do(ctx, http.MethodPost, name, "/take", nil, &b)
	return b, err
}

// Status returns what an identity has published: its certificate and the keys that
// everybody is given, how many one-time keys wait, and up to which id. It uses none up,
// and what it returns is the caller's to check, too.
func (c *Client) Status(ctx context.Context, name string) (Status, error) {
	var s Status
	err := c.do(ctx, http.MethodGet, name, "", nil, &s)
	return s, err
}

// Raise lifts the marks of lanes to the given sequences, in one step, and returns
// the marks of these lanes. A mark never sinks: where it is above the given
// sequence, it stays, and what is returned is above what was given, which says that
// another copy of the sender has been further. When it returns without an error the
// marks are durable. It may be called again.
func (c *Client) Raise(ctx context.Context, name string, marks map[uint32]uint64) (map[uint32]uint64, error) {
	var m Marks
	err := c.do(ctx, http.MethodPost, name, "/marks", Marks{Marks: marks}, &m)
	return m.Marks, err
}

// Marks returns all marks of an identity, by lane; a lane that is not in it has
// none.
func (c *Client) Marks(ctx context.Context, name string) (map[uint32]uint64, error) {
	var m Marks
	err := c.do(ctx, http.MethodGet, name, "/marks", nil, &m)
	return m.Marks, err
}

// Delete deletes an identity with all its keys and marks. What was published under
// its name before is forgotten, so that ids and sequences may start anew.
func (c *Client) Delete(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, name, "", nil, nil)
}

// do sends in as JSON, if there is one, and reads the answer into out.
func (c *Client) do(ctx context.Context, method, name, page string, in, out any) error {
	what := fmt.Sprintf("directory: %s %s%s", method, name, page)
	if err := CheckName(name); err != nil {
		return fmt.Errorf("%s: %w", what, &Error{Status: http.StatusBadRequest, Reason: err.Error()})
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+Path+url.PathEscape(name)+page, body)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	r.SetBasicAuth(c.user, c.password)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	// The transport repeats nothing that is not idempotent, so no Take either.
	response, err := c.http.Do(r)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // what was asked is told already
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	switch {
	case response.StatusCode/100 != 2:
		return fmt.Errorf("%s: %w", what, failure(response.StatusCode, answer))
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case len(answer) > answerBytesMax:
		return fmt.Errorf("%s: an answer of more than %d bytes", what, answerBytesMax)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Error is what a directory answered instead of doing what was asked.
type Error struct {
	Status int    // of HTTP
	Reason string // by the directory, in words
}

// The kinds of an Error, for errors.Is.
var (
	ErrInvalid      = errors.New("refused as invalid or beyond a limit")      // 400, 413
	ErrUnauthorized = errors.New("wrong user or password")                    // 401
	ErrForbidden    = errors.New("not allowed to this user, or not this way") // 403
	ErrNotFound     = errors.New("no such identity")                          // 404
	ErrConflict     = errors.New("another key has this id")                   // 409
	ErrQuota        = errors.New("what is there already leaves no room")      // 429
	ErrUnavailable  = errors.New("not now")                                   // 5xx: try later
)

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Reason, e.Status) }

// Is says whether the error is of a kind.
func (e *Error) Is(kind error) bool { return kind != nil && kind == e.kind() }

func (e *Error) kind() error {
	switch {
	case e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge:
		return ErrInvalid
	case e.Status == http.StatusUnauthorized:
		return ErrUnauthorized
	case e.Status == http.StatusForbidden:
		return ErrForbidden
	case e.Status == http.StatusNotFound:
		return ErrNotFound
	case e.Status == http.StatusConflict:
		return ErrConflict
	case e.Status == http.StatusTooManyRequests:
		return ErrQuota
	case e.Status >= 500:
		return ErrUnavailable
	}
	return nil
}

const reasonBytesMax = 1000

func failure(status int, answer []byte) *Error {
	e := &Error{Status: status, Reason: http.StatusText(status)}
	var f Failure
	if json.Unmarshal(answer, &f) == nil && f.Reason != "" {
		e.Reason = f.Reason[:min(len(f.Reason), reasonBytesMax)]
	}
	return e
}
