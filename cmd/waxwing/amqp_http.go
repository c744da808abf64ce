package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// amqpAdmin holds the flags of the commands that ask for what AMQP cannot say: lists,
// and who may do what. They go over HTTP, as RabbitMQ's management API is asked.
type amqpAdmin struct {
	conn    amqpConnection
	httpURL string
}

// addTo adds the flags to cmd.
func (l *amqpAdmin) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.httpURL, "http-url", "", "where the broker answers over HTTP (default: port 8080 of the host of --url; RabbitMQ: its management port)")
	must(cmd.Flags().SetAnnotation("http-url", envAnnotation, []string{"WAXWING_HTTP_URL"}))
	l.conn.addTo(cmd)
	cmd.Flags().Lookup("url").Usage = "its user, password and vhost are used"
}

// listBytesMax bounds what a broker may answer, in bytes.
const listBytesMax = 1 << 30

// list asks for what ("queues") of the vhost and decodes it into into.
func (l *amqpAdmin) list(ctx context.Context, what string, into any) error {
	uri, err := l.conn.check()
	if err != nil {
		return err
	}
	_, err = l.ask(ctx, http.MethodGet, []string{what, uri.Vhost}, nil, into)
	var refusal *httpRefusal
	if errors.As(err, &refusal) {
		switch refusal.status {
		case http.StatusForbidden:
			return fmt.Errorf("the user %q may not enter the vhost %q", uri.Username, uri.Vhost)
		case http.StatusNotFound:
			return fmt.Errorf("%s has no such list of the vhost %q (is it the address of waxwing serve --http, or of RabbitMQ's management plugin?)", refusal.host, uri.Vhost)
		}
	}
	return err
}

// httpClient follows no redirections: they make a GET of everything, and take the
// password elsewhere.
var httpClient = http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// ask does something with the page of these names, and returns the status. What it
// sends and gets is JSON; both may be nil. What the broker refuses is an
// *httpRefusal.
func (l *amqpAdmin) ask(ctx context.Context, method string, page []string, body, into any) (status int, err error) {
	uri, err := l.conn.check()
	if err != nil {
		return 0, err
	}
	where := l.httpURL
	if where == "" {
		where = "http://" + net.JoinHostPort(uri.Host, "8080")
	}
	base, err := url.Parse(where)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return 0, fmt.Errorf("--http-url must be like http://127.0.0.1:8080")
	}
	ctx, cancel := context.WithTimeout(ctx, l.conn.timeout)
	defer cancel()
	path := strings.TrimSuffix(base.String(), "/") + "/api"
	for _, name := range page {
		path += "/" + url.PathEscape(name)
	}
	var sent io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, sent)
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(uri.Username, uri.Password)
	req.Header.Set("Content-Type", "application/json")
	answer, err := httpClient.Do(req)
	if err != nil {
		return 0, l.unreachable(base.Host, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return answer.StatusCode, refusal(answer, uri.Username, base.Host)
	}
	if into == nil {
		return answer.StatusCode, nil
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, listBytesMax)).Decode(into); err != nil {
		return 0, fmt.Errorf("cannot read the answer of %s: %w", base.Host, err)
	}
	return answer.StatusCode, nil
}

// unreachable says why there was no answer, and what to look at.
func (l *amqpAdmin) unreachable(host string, err error) error {
	const hint = "this goes over HTTP, to waxwing serve --http or RabbitMQ's management plugin; see --http-url"
	var outer *url.Error // says again what was asked
	switch {
	case errors.Is(err, context.Canceled):
		return errInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no reply within %s", l.conn.timeout)
	case errors.As(err, &outer):
		err = outer.Err
	}
	return fmt.Errorf("nothing answers at %s: %w (%s)", host, err, hint)
}

// httpRefusal is what the broker answered instead of doing something.
type httpRefusal struct {
	status int
	host   string
	text   string
}

// Error says what it was about.
func (r *httpRefusal) Error() string { return r.text }

// refusal says what a status means.
func refusal(answer *http.Response, user, host string) error {
	var said struct{ Reason string }
	_ = json.NewDecoder(io.LimitReader(answer.Body, 4096)).Decode(&said) // not everything says why
	r := &httpRefusal{answer.StatusCode, host, fmt.Sprintf("%s refuses: %s", host, said.Reason)}
	switch {
	case r.status == http.StatusUnauthorized && (said.Reason == "" || strings.HasPrefix(said.Reason, "Login")):
		r.text = fmt.Sprintf("%s refuses the user %q or the password of --url", host, user)
	case r.status < 400:
		r.text = fmt.Sprintf("%s is elsewhere: it answers %s to %s", host, answer.Status, answer.Header.Get("Location"))
	case said.Reason == "":
		r.text = fmt.Sprintf("%s answers %s", host, answer.Status)
	}
	return r
}

// argumentsText writes arguments as name=value, with blanks between.
func argumentsText(arguments map[string]any) string {
	pairs := pairsValue{}
	for name, value := range arguments {
		if text, ok := value.(string); ok {
			pairs[name] = text
		} else {
			pairs[name] = strings.TrimSpace(string(plainJSON(value)))
		}
	}
	return strings.ReplaceAll(pairs.String(), ";", " ")
}

// argumentsField is the arguments of a list's row. RabbitMQ writes empty ones
// as a list.
type argumentsField map[string]any

// UnmarshalJSON implements json.Unmarshaler.
func (a *argumentsField) UnmarshalJSON(text []byte) error {
	*a = argumentsField{}
	if string(text) == "[]" || string(text) == "null" {
		return nil
	}
	return json.Unmarshal(text, (*map[string]any)(a))
}

// yesNo writes a boolean in a table.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
