package node

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// admin is a client of the pages that administer.
type admin struct {
	t              *testing.T
	n              *Node
	user, password string
}

// do asks a page, checks the status, and returns what it answers.
func (a *admin) do(method, path, body string, status int) string {
	a.t.Helper()
	req, err := http.NewRequest(method, "http://"+a.n.HTTPAddr()+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.SetBasicAuth(a.user, a.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if resp.StatusCode != status {
		a.t.Errorf("%s %s %s as %s: status %d, want %d: %s", method, path, body, a.user, resp.StatusCode, status, text)
	}
	return strings.TrimSpace(string(text))
}

// as is the same for another user.
func (a *admin) as(user, password string) *admin { return &admin{a.t, a.n, user, password} }

func startAdmin(t *testing.T) *admin {
	cfg := testConfig(t)
	cfg.Engine = "mem"
	n := start(t, cfg)
	t.Cleanup(func() { stop(t, n) })
	return &admin{t, n, "guest", "guest"}
}

// TestAdminister: a vhost, a user and permissions are made, and hold for AMQP;
// with the vhost its connections go.
func TestAdminister(t *testing.T) {
	a := startAdmin(t)
	a.do("PUT", "/api/vhosts/shop%2F1", `{"default_queue_type":"quorum"}`, 201)
	a.do("PUT", "/api/vhosts/shop%2F1", ``, 204)
	a.do("PUT", "/api/users/ann", `{"password":"secret","tags":"monitoring, management"}`, 201)
	dial := func(user, password string) (*amqp091.Connection, error) {
		return amqp091.Dial("amqp://" + user + ":" + password + "@" + a.n.AMQPAddr() + "/shop%2F1")
	}
	if _, err := dial("ann", "secret"); err == nil {
		t.Fatal("in a vhost without permissions")
	}
	a.do("PUT", "/api/permissions/shop%2F1/ann", `{"configure":"^q","write":".*","read":".*"}`, 201)
	a.do("PUT", "/api/permissions/shop%2F1/ann", `{"configure":"^p","write":".*","read":".*"}`, 204)
	a.do("PUT", "/api/topic-permissions/shop%2F1/ann", `{"exchange":"amq.topic","write":"^a","read":"^b"}`, 201)
	c, err := dial("ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	declare := func(name string) error {
		ch, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		defer ch.Close()
		_, err = ch.QueueDeclare(name, true, false, false, false, nil)
		return err
	}
	if err := declare("q"); err == nil {
		t.Error("declared a queue that the permissions do not name")
	}
	if err := declare("p"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"/api/whoami":                          `{"name":"guest","tags":["administrator"]}`,
		"/api/vhosts":                          `[{"name":"/","default_queue_type":""},{"name":"shop/1","default_queue_type":"quorum"}]`,
		"/api/vhosts/shop%2F1":                 `{"name":"shop/1","default_queue_type":"quorum"}`,
		"/api/permissions/shop%2F1/ann":        `{"user":"ann","vhost":"shop/1","configure":"^p","write":".*","read":".*"}`,
		"/api/vhosts/shop%2F1/permissions":     `[{"user":"ann","vhost":"shop/1","configure":"^p","write":".*","read":".*"},{"user":"guest","vhost":"shop/1","configure":".*","write":".*","read":".*"}]`,
		"/api/users/ann/permissions":           `[{"user":"ann","vhost":"shop/1","configure":"^p","write":".*","read":".*"}]`,
		"/api/topic-permissions/shop%2F1/ann/": `[{"user":"ann","vhost":"shop/1","exchange":"amq.topic","write":"^a","read":"^b"}]`,
	} {
		if got := a.do("GET", path, "", 200); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	var all []apiGrant
	if err := json.Unmarshal([]byte(a.do("GET", "/api/permissions", "", 200)), &all); err != nil || len(all) != 3 {
		t.Errorf("all permissions: %+v %v", all, err)
	}
	ended := c.NotifyClose(make(chan *amqp091.Error, 1))
	a.do("DELETE", "/api/vhosts/shop%2F1", "", 204)
	if e := <-ended; e == nil || e.Code != 320 {
		t.Errorf("the connection ended with %v", e)
	}
	if _, err := dial("ann", "secret"); err == nil {
		t.Error("in a vhost that is gone")
	}
	a.do("GET", "/api/vhosts/shop%2F1", "", 404)
	a.do("GET", "/api/permissions/shop%2F1/ann", "", 404)
	a.do("DELETE", "/api/users/ann", "", 204)
	a.do("GET", "/api/users/ann", "", 404)
	a.as("ann", "secret").do("GET", "/api/whoami", "", 401)
}

// TestUserChanges: a PUT replaces a user; a hash that was got can be put again.
func TestUserChanges(t *testing.T) {
	a := startAdmin(t)
	a.do("PUT", "/api/users/ann", `{"password":"one","tags":["monitoring"]}`, 201)
	var u apiUser
	if err := json.Unmarshal([]byte(a.do("GET", "/api/users/ann", "", 200)), &u); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(map[string]any{"password_hash": u.PasswordHash, "hashing_algorithm": u.HashingAlgorithm, "tags": ""})
	if err != nil {
		t.Fatal(err)
	}
	a.do("PUT", "/api/users/ann", string(again), 204)
	ann := a.as("ann", "one")
	if got := ann.do("GET", "/api/whoami", "", 200); got != `{"name":"ann","tags":[]}` {
		t.Error(got)
	}
	a.do("PUT", "/api/users/ann", `{"password":"two","tags":""}`, 204)
	ann.do("GET", "/api/whoami", "", 401)
	a.as("ann", "two").do("GET", "/api/whoami", "", 200)
	a.do("PUT", "/api/users/ann", `{"password":"three"}`, 400)
	a.do("PUT", "/api/users/ann", ``, 400)
	a.as("ann", "two").do("GET", "/api/whoami", "", 200)
	a.do("PUT", "/api/users/ann", `{"tags":""}`, 204)
	a.as("ann", "two").do("GET", "/api/whoami", "", 401)
}

// TestOnlyAdministrators see and change who may do what; who is none sees the
// vhosts that are open to them.
func TestOnlyAdministrators(t *testing.T) {
	a := startAdmin(t)
	a.do("PUT", "/api/vhosts/shop", "", 201)
	a.do("PUT", "/api/vhosts/other", "", 201)
	a.do("PUT", "/api/users/ann", `{"password":"a","tags":"management"}`, 201)
	a.do("PUT", "/api/permissions/shop/ann", `{"configure":"","write":"","read":""}`, 201)
	ann := a.as("ann", "a")
	if got := ann.do("GET", "/api/vhosts", "", 200); got != `[{"name":"shop","default_queue_type":""}]` {
		t.Error(got)
	}
	for _, page := range []string{"GET /api/users", "GET /api/users/guest", "GET /api/permissions", "GET /api/topic-permissions", "GET /api/vhosts/shop", "PUT /api/vhosts/x", "PUT /api/vhosts",
		"DELETE /api/vhosts/shop", "PUT /api/users/ann", "DELETE /api/users/guest", "PUT /api/permissions/shop/ann", "DELETE /api/permissions/shop/ann", "PUT /api/topic-permissions/shop/ann"} {
		method, path, _ := strings.Cut(page, " ")
		ann.do(method, path, `{"password":"a","tags":"administrator","configure":".*","write":".*","read":".*"}`, 403)
		a.as("ann", "wrong").do(method, path, "", 401)
	}
}

// TestAdminRefuses what cannot be, and the end of the last administrator.
func TestAdminRefuses(t *testing.T) {
	a := startAdmin(t)
	a.do("PUT", "/api/users/ann", `{"password":"a","tags":""}`, 201)
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/api/vhosts/x", `{"default_queue_type":"lazy"}`, 400},
		{"PUT", "/api/vhosts/x", `{`, 400},
		{"PUT", "/api/vhosts/x", `{"a":"` + strings.Repeat("x", adminBytesMax) + `"}`, 413},
		{"PUT", "/api/vhosts/" + strings.Repeat("x", 300), ``, 400},
		{"DELETE", "/api/vhosts/x", "", 404},
		{"DELETE", "/api/vhosts/%2F", "", 400},
		{"POST", "/api/vhosts/x", "", 405},
		{"DELETE", "/api/vhosts", "", 405},
		{"GET", "/api/vhosts/x/y", "", 404},
		{"GET", "/api/users/ann/x/y", "", 404},
		{"PUT", "/api/vhosts/x", `{"default_queue_type":"stream"}`, 400},
		{"PUT", "/api/users/bob", `{"password":"x","password_hash":"y","tags":""}`, 400},
		{"PUT", "/api/users/bob", `{"password_hash":"y","tags":""}`, 400},
		{"PUT", "/api/users/bob", `{"tags":1}`, 400},
		{"DELETE", "/api/users/bob", "", 404},
		{"DELETE", "/api/users/guest", "", 400},
		{"PUT", "/api/users/guest", `{"password":"x","tags":""}`, 400},
		{"PUT", "/api/users/guest", `{"tags":"administrator"}`, 400},
		{"PUT", "/api/permissions/%2F/ann", `{"configure":"","write":""}`, 400},
		{"PUT", "/api/permissions/%2F/ann", `{"configure":"(","write":"","read":""}`, 400},
		{"PUT", "/api/permissions/%2F/bob", `{"configure":"","write":"","read":""}`, 404},
		{"PUT", "/api/permissions/x/ann", `{"configure":"","write":"","read":""}`, 404},
		{"PATCH", "/api/permissions/%2F/ann", "", 405},
		{"GET", "/api/permissions/%2F", "", 404},
		{"PUT", "/api/topic-permissions/%2F/ann", `{"write":"","read":""}`, 400},
		{"PUT", "/api/topic-permissions/%2F/ann", `{"exchange":"e"}`, 400},
		{"GET", "/api/topic-permissions/%2F/ann", "", 404},
	} {
		a.do(tt.method, tt.path, tt.body, tt.status)
	}
	a.do("PUT", "/api/users/ann", `{"password":"a","tags":"administrator"}`, 204)
	a.do("DELETE", "/api/users/guest", "", 204)
	a.as("ann", "a").do("DELETE", "/api/users/ann", "", 400)
}

// TestLocal: guest comes from this machine itself, not by a proxy on it or by a name
// that leads here.
func TestLocal(t *testing.T) {
	a := startAdmin(t)
	for _, tt := range []struct {
		host, header string
		status       int
	}{
		{"localhost:8080", "", 200},
		{"127.0.0.1", "", 200},
		{"[::1]:8080", "", 200},
		{"evil.example.org", "", 401},
		{"localhost", "X-Forwarded-For", 401},
		{"localhost", "Forwarded", 401},
	} {
		req, err := http.NewRequest("GET", "http://"+a.n.HTTPAddr()+"/api/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		req.SetBasicAuth("guest", "guest")
		if tt.header != "" {
			req.Header.Set(tt.header, "for=192.0.2.1")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%+v: status %d", tt, resp.StatusCode)
		}
	}
}
