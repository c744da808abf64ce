package idempotency

import (
	"log/slog"
	"net/http"
	"time"
)

// What New takes if no option says otherwise.
const (
	DefaultExpiry      = 24 * time.Hour
	DefaultMaxBody     = 1 << 20 // bytes
	DefaultMaxResponse = 1 << 20 // bytes
)

// An Option changes what New makes.
type Option func(*options)

type options struct {
	tenant      func(*http.Request) string
	fingerprint func(r *http.Request, body []byte) []byte
	onError     func(w http.ResponseWriter, r *http.Request, err error)
	optional    bool
	expiry      time.Duration
	retryAfter  time.Duration
	maxBody     int64
	maxResponse int
	help        string
	log         *slog.Logger
	now         func() time.Time
}

func defaults() options {
	return options{
		tenant:      func(*http.Request) string { return "" },
		fingerprint: payload,
		expiry:      DefaultExpiry,
		retryAfter:  time.Second,
		maxBody:     DefaultMaxBody,
		maxResponse: DefaultMaxResponse,
		help:        "https://github.com/waxwing-mq/waxwing/blob/main/docs/patterns/idempotency-key.md",
		log:         slog.Default(),
		now:         time.Now,
	}
}

// Tenant says to whom the keys of a request belong: the account, say, that an
// authenticating handler in front has found. It must not be something that the
// client can choose. By default all clients share one space.
func Tenant(of func(*http.Request) string) Option { return func(o *options) { o.tenant = of } }

// Fingerprint says what of a request has to be the same when its key is used again;
// it must not change the body. By default that is the target with its query as the
// client sent it, the Content-Type, and the body, byte by byte. A multipart body,
// whose boundary is another one each time, needs this option.
func Fingerprint(of func(r *http.Request, body []byte) []byte) Option {
	return func(o *options) { o.fingerprint = of }
}

// Optional lets requests without a key pass: they run in a transaction, too, but
// nothing is stored. By default they are answered by 400.
func Optional() Option { return func(o *options) { o.optional = true } }

// Expiry is for how long responses are stored; tell your clients. By default
// DefaultExpiry. A key that is older counts as new.
func Expiry(d time.Duration) Option { return func(o *options) { o.expiry = d } }

// RetryAfter is what a client is told to wait after 409 and 503, in whole seconds,
// by default one.
func RetryAfter(d time.Duration) Option { return func(o *options) { o.retryAfter = d } }

// MaxBody is how many bytes a request's body may have, by default DefaultMaxBody.
func MaxBody(bytes int64) Option { return func(o *options) { o.maxBody = bytes } }

// MaxResponse is how many bytes the header and body of a response may have, by
// default DefaultMaxResponse. The transaction of one that has more is rolled back.
func MaxResponse(bytes int) Option { return func(o *options) { o.maxResponse = bytes } }

// OnError answers a request whose transaction was rolled back by an error: one that
// the handler returned, ErrTooLarge, or one of the database. If the database's
// connection was lost while it committed, it may have committed; the client's retry
// finds out. By default the error is logged, and the answer is 500, or 503 with
// Retry-After where the transaction was refused because of others. w is the
// server's own; nothing was written to it.
func OnError(answer func(w http.ResponseWriter, r *http.Request, err error)) Option {
	return func(o *options) { o.onError = answer }
}

// Help is the address of a page that tells your clients of keys. The "type" of
// problems is that address with #key-missing, #key-invalid, #key-reused,
// #in-progress, #body-too-large, #body-unreadable, #failed or #conflict after it. By
// default it is this package's page.
func Help(url string) Option { return func(o *options) { o.help = url } }

// Logger is where errors go that no caller gets, by default slog.Default().
func Logger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// Clock is the clock that keys expire by, by default time.Now.
func Clock(now func() time.Time) Option { return func(o *options) { o.now = now } }
