package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// client asks a server that answers with handler.
func client(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := NewClient(Config{URL: s.URL + "/", User: "u", Password: "p:ä", TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewClientRefuses(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://broker.example": true, "https://broker.example:8443/prefix": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://LOCALHOST": true,
		"http://broker.example": false, "http://10.0.0.1": false, "http://localhost.example": false, "ftp://localhost": false, "localhost:8080": false,
		"": false, "https://": false, "https://u:p@broker.example": false, "https://broker.example?x=1": false, "https://broker.example#x": false, "%": false,
	} {
		_, err := NewClient(Config{URL: url, Password: "secret"})
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), ":p@") {
			t.Errorf("a password in %v", err)
		}
	}
}

func TestAnswers(t *testing.T) {
	status, body := 200, ""
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if status/100 == 3 {
			w.Header().Set("Location", "https://elsewhere.example/")
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
	long := strings.Repeat("x", answerBytesMax)
	for _, x := range []struct {
		status int
		body   string
		kind   error
		says   string
	}{
		{400, `{"error":"Bad Request","reason":"why"}`, ErrInvalid, "directory: GET a/b: why (HTTP 400)"},
		{413, ``, ErrInvalid, "Request Entity Too Large"},
		{401, `not JSON`, ErrUnauthorized, "Unauthorized"},
		{403, `{"reason":7}`, ErrForbidden, "Forbidden"},
		{404, `{}`, ErrNotFound, "Not Found"},
		{409, `{"reason":"r"}`, ErrConflict, "r"},
		{429, ``, ErrQuota, "Too Many"},
		{500, ``, ErrUnavailable, ""},
		{503, `{"reason":"not ready"}`, ErrUnavailable, "not ready"},
		{507, `{"reason":"the disk is full"}`, ErrUnavailable, "full"},
		{302, ``, nil, "Found"},
		{200, `{"name":`, nil, "unexpected end"},
		{200, ``, nil, "unexpected end"},
		{200, `"` + long + `"`, nil, "an answer of more than 1048576 bytes"},
		{400, `{"reason":"` + long[:9000] + `"}`, ErrInvalid, long[:1000] + " (HTTP 400)"},
	} {
		status, body = x.status, x.body
		_, err := c.Status(t.Context(), "a/b")
		if err == nil || !strings.Contains(err.Error(), x.says) || len(err.Error()) > 2000 {
			t.Errorf("%d %.50s: %v", x.status, x.body, err)
		}
		for _, kind := range []error{ErrInvalid, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrConflict, ErrQuota, ErrUnavailable} {
			if errors.Is(err, kind) != (kind == x.kind) {
				t.Errorf("%d: %v is %v: %v", x.status, err, kind, errors.Is(err, kind))
			}
		}
	}
	status, body = 200, `{"name":"n","later":[1]}` // a newer directory says more
	if s, err := c.Status(t.Context(), "n"); err != nil || s.Name != "n" {
		t.Error(s, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Take(ctx, "n"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestUnreachable: an error of the network tells once what was asked.
func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	c, err := NewClient(Config{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Status(t.Context(), "n")
	if err == nil || !strings.HasPrefix(err.Error(), "directory: GET n: dial tcp ") || strings.Contains(err.Error(), Path) {
		t.Error(err)
	}
}

func TestTimeout(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c.http.Timeout = 20 * time.Millisecond
	var timeout interface{ Timeout() bool }
	if _, err := c.Take(t.Context(), "n"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error(err)
	}
}

// TestRequestsAre: what is asked, by whom.
func TestRequestsAre(t *testing.T) {
	var got []string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprint(r.Method, " ", r.URL.EscapedPath(), " ", user, " ", password, " ", string(body)))
		io.WriteString(w, `{"marks":{"7":18446744073709551615}}`)
	})
	ctx := t.Context()
	_, err := c.Take(ctx, "a/ü?")
	_, err2 := c.Status(ctx, "%2F")
	marks, err3 := c.Raise(ctx, "n", map[uint32]uint64{7: 8})
	_, err4 := c.Marks(ctx, "n")
	err5 := c.Delete(ctx, "n")
	_, err6 := c.Publish(ctx, "n", Publication{RegistrationID: 1, OneTime: []Key{{2, []byte("k")}}, Replace: true})
	if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil || marks[7] != 1<<64-1 {
		t.Fatal(marks, err)
	}
	want := []string{
		"POST /seal/v1/identities/a%2F%C3%BC%3F/take u p:ä ",
		"GET /seal/v1/identities/%252F u p:ä ",
		`POST /seal/v1/identities/n/marks u p:ä {"marks":{"7":8}}`,
		"GET /seal/v1/identities/n/marks u p:ä ",
		"DELETE /seal/v1/identities/n u p:ä ",
		`PUT /seal/v1/identities/n u p:ä {"registration_id":1,"one_time":[{"id":2,"key":"aw=="}],"replace":true}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLargePublications go in parts that are small enough, in order, and everything
// but one-time keys goes first.
func TestLargePublications(t *testing.T) {
	p := Publication{
		RegistrationID: 1, Certificate: make([]byte, CertificateBytesMax), Replace: true,
		Signed: &SignedKey{1, make([]byte, KeyBytesMax), make([]byte, KeyBytesMax)}, LastResort: &SignedKey{1, make([]byte, KeyBytesMax), make([]byte, KeyBytesMax)},
	}
	for i := range uint32(OneTimeMax) {
		p.OneTime = append(p.OneTime, Key{i + 1, make([]byte, 700)})
		p.OneTimeKEM = append(p.OneTimeKEM, SignedKey{i + 1, make([]byte, 1569), make([]byte, 64)})
	}
	var next, nextKEM uint32
	parts, failAt := 0, -1
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		var part Publication
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &part); err != nil || len(body) > 2<<20 {
			t.Errorf("%d bytes: %v", len(body), err)
		}
		if first := parts == 0; first != part.Replace || first != (part.Certificate != nil) || first != (part.Signed != nil) || first != (part.RegistrationID != 0) {
			t.Errorf("part %d: %+v", parts, part)
		}
		for _, k := range part.OneTime {
			if next++; k.ID != next {
				t.Errorf("key %d comes as number %d", k.ID, next)
			}
		}
		for _, k := range part.OneTimeKEM {
			if nextKEM++; k.ID != nextKEM {
				t.Errorf("KEM key %d comes as number %d", k.ID, nextKEM)
			}
		}
		if parts++; parts-1 == failAt {
			w.WriteHeader(http.StatusInsufficientStorage)
			return
		}
		json.NewEncoder(w).Encode(Status{OneTime: parts})
	})
	s, err := c.Publish(t.Context(), "n", p)
	if err != nil || next != OneTimeMax || nextKEM != OneTimeMax || s.OneTime != parts || parts < 3 {
		t.Errorf("%d parts, %d keys, %d KEM keys, %+v, %v", parts, next, nextKEM, s, err)
	}
	parts, next, nextKEM, failAt = 0, 0, 0, 1
	if _, err := c.Publish(t.Context(), "n", p); !errors.Is(err, ErrUnavailable) || parts != 2 {
		t.Errorf("%d parts, %v", parts, err)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "a.b/c d": true, "ü": true, "...": true, "/": true, strings.Repeat("a", 255): true,
		"": false, ".": false, "..": false, strings.Repeat("a", 256): false, "a\x00": false, "\x7f": false, "a\nb": false, "\xff": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
