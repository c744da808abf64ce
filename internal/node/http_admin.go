package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/broker/access"
)

// The pages that administer vhosts, users and permissions, in the shape of
// RabbitMQ's management API:
//
//	GET     /api/whoami
//	GET     /api/vhosts  /api/users  /api/permissions  /api/topic-permissions
//	GET     /api/users/USER/permissions  /api/vhosts/VHOST/permissions
//	GET PUT DELETE  /api/vhosts/VHOST
//	GET PUT DELETE  /api/users/USER
//	GET PUT DELETE  /api/permissions/VHOST/USER
//	GET PUT DELETE  /api/topic-permissions/VHOST/USER
//
// They are for users with the tag administrator; others see only who they are and
// which vhosts they may enter. PUT makes what is not there yet (201) or replaces
// what is (204).

const (
	administrator = "administrator"
	// adminBytesMax bounds the body of a PUT.
	adminBytesMax = 64 << 10
)

// apiVHost is a vhost.
type apiVHost struct {
	Name             string `json:"name"`
	DefaultQueueType string `json:"default_queue_type"`
}

// apiUser is a user. A hash can be put again as it was got.
type apiUser struct {
	Name             string   `json:"name"`
	PasswordHash     string   `json:"password_hash"`
	HashingAlgorithm string   `json:"hashing_algorithm"`
	Tags             []string `json:"tags"`
}

// apiGrant is what a user may do in a vhost.
type apiGrant struct {
	User      string `json:"user"`
	VHost     string `json:"vhost"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// apiTopicGrant is what routing keys of an exchange a user may use.
type apiTopicGrant struct {
	User     string `json:"user"`
	VHost    string `json:"vhost"`
	Exchange string `json:"exchange"`
	Write    string `json:"write"`
	Read     string `json:"read"`
}

// adminRequest is what a page is asked.
type adminRequest struct {
	ctx    context.Context
	method string
	names  []string // of the path, after the page's own
	body   []byte   // of a PUT
	by     access.User
}

// adminAnswer is what a page says: a value, or that something was made.
type adminAnswer struct {
	value any
	made  bool
}

// errNoPage and errMethod say that a path leads nowhere, or cannot be asked so.
var (
	errNoPage = errors.New("no such page")
	errMethod = errors.New("the page does not know this method")
)

// handleAdmin adds the pages to mux.
func (n *Node) handleAdmin(mux *http.ServeMux) {
	pages := map[string]func(*adminRequest) (adminAnswer, error){
		"vhosts": n.adminVHosts, "users": n.adminUsers, "permissions": n.adminGrants, "topic-permissions": n.adminTopicGrants,
	}
	for _, what := range slices.Sorted(maps.Keys(pages)) {
		handler := func(w http.ResponseWriter, r *http.Request) { n.serveAdmin(w, r, pages[what]) }
		mux.HandleFunc("/api/"+what, handler)
		mux.HandleFunc("/api/"+what+"/{rest...}", handler)
	}
	mux.HandleFunc("GET /api/whoami", func(w http.ResponseWriter, r *http.Request) {
		if name, ok := n.login(w, r); ok {
			u, _ := n.broker.Access().User(name)
			apiAnswer(w, map[string]any{"name": name, "tags": tagsOf(u)})
		}
	})
}

// serveAdmin checks who asks, has a page answer, and logs what it changed.
func (n *Node) serveAdmin(w http.ResponseWriter, r *http.Request, page func(*adminRequest) (adminAnswer, error)) {
	name, ok := n.login(w, r)
	if !ok {
		return
	}
	req := &adminRequest{ctx: r.Context(), method: r.Method}
	if req.method == http.MethodHead {
		req.method = http.MethodGet
	}
	req.by, _ = n.broker.Access().User(name)
	for _, part := range strings.Split(r.URL.EscapedPath(), "/")[3:] { // after "", "api" and the page
		name, err := url.PathUnescape(part)
		if err != nil {
			apiError(w, http.StatusBadRequest, err.Error())
			return
		}
		req.names = append(req.names, name)
	}
	if k := len(req.names); k > 0 && req.names[k-1] == "" { // a slash at the end
		req.names = req.names[:k-1]
	}
	listsVHosts := strings.HasPrefix(r.URL.Path, "/api/vhosts") && len(req.names) == 0 && req.method == http.MethodGet
	if !req.by.HasTag(administrator) && !listsVHosts {
		apiError(w, http.StatusForbidden, "user "+strconv.Quote(name)+" is no administrator")
		return
	}
	var err error
	if req.method == http.MethodPut {
		if req.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, adminBytesMax)); err != nil {
			status := http.StatusBadRequest
			if errors.As(err, new(*http.MaxBytesError)) {
				status = http.StatusRequestEntityTooLarge
			}
			apiError(w, status, err.Error())
			return
		}
	}
	if req.method != http.MethodGet {
		n.admin.Lock() // one change at a time, with what follows from it
		defer n.admin.Unlock()
	}
	answer, err := page(req)
	switch {
	case errors.Is(err, errNoPage):
		apiError(w, http.StatusNotFound, err.Error())
		return
	case errors.Is(err, errMethod):
		w.Header().Set("Allow", "GET, HEAD, PUT, DELETE")
		apiError(w, http.StatusMethodNotAllowed, err.Error())
		return
	case err != nil:
		apiFailure(w, err)
		return
	}
	if req.method == http.MethodGet {
		apiAnswer(w, answer.value)
		return
	}
	n.cfg.Logger.Info("access changed", "by", name, "method", req.method, "path", r.URL.EscapedPath())
	if answer.made {
		w.WriteHeader(http.StatusCreated)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// decode reads the body of a PUT; none is as {}.
func (r *adminRequest) decode(into any) error {
	if len(strings.TrimSpace(string(r.body))) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.body, into); err != nil {
		return &access.Error{Kind: access.Invalid, Text: "the body is not the JSON that it must be: " + err.Error()}
	}
	return nil
}

// is says whether the path has so many names and, unless method is empty, that
// method.
func (r *adminRequest) is(method string, names int) bool {
	return len(r.names) == names && (method == "" || r.method == method)
}

// noSuch says what is wrong with a request that no page knows, of which those
// with so many names have the methods of one thing.
func (r *adminRequest) noSuch(names int) error {
	if len(r.names) == names || len(r.names) == 0 {
		return errMethod
	}
	return errNoPage
}

func notThere(what, name string) error {
	return &access.Error{Kind: access.NotFound, Text: "no " + what + " '" + name + "'"}
}

func (n *Node) adminVHosts(r *adminRequest) (adminAnswer, error) {
	view := n.broker.Access()
	switch {
	case r.is(http.MethodGet, 0):
		out := []apiVHost{}
		for _, v := range view.VHosts() {
			if r.by.HasTag(administrator) || view.MayEnter(r.by.Name, v.Name) {
				out = append(out, apiVHost{v.Name, v.DefaultQueueType})
			}
		}
		return adminAnswer{value: out}, nil
	case r.is(http.MethodGet, 2) && r.names[1] == "permissions":
		if _, ok := view.VHost(r.names[0]); !ok {
			return adminAnswer{}, notThere("vhost", r.names[0])
		}
		return n.grants(func(g *access.Grant) bool { return g.VHost == r.names[0] }), nil
	case r.is(http.MethodGet, 1):
		v, ok := view.VHost(r.names[0])
		if !ok {
			return adminAnswer{}, notThere("vhost", r.names[0])
		}
		return adminAnswer{value: apiVHost{v.Name, v.DefaultQueueType}}, nil
	case r.is(http.MethodPut, 1):
		var body apiVHost
		if err := r.decode(&body); err != nil {
			return adminAnswer{}, err
		}
		made, err := n.broker.AddVHost(r.ctx, r.names[0], body.DefaultQueueType)
		if err == nil && made { // as RabbitMQ does, for whoever makes it
			all := access.Grant{User: r.by.Name, VHost: r.names[0], Permissions: access.Permissions{Configure: ".*", Write: ".*", Read: ".*"}}
			err = n.broker.ChangeAccess(r.ctx, func(d *access.Durable) ([]access.Entry, error) { return d.DecideSetPermissions(all) })
		}
		return adminAnswer{made: made}, err
	case r.is(http.MethodDelete, 1):
		err := n.broker.DeleteVHost(r.ctx, r.names[0])
		if err == nil && n.amqp != nil {
			n.amqp.VHostDeleted(r.names[0])
		}
		return adminAnswer{}, err
	}
	return adminAnswer{}, r.noSuch(1)
}

func tagsOf(u access.User) []string { return append([]string{}, u.Tags...) }

func toAPIUser(u access.User) apiUser {
	return apiUser{u.Name, u.Password.Encoded(), u.Password.Algorithm.String(), tagsOf(u)}
}

func (n *Node) adminUsers(r *adminRequest) (adminAnswer, error) {
	view := n.broker.Access()
	switch {
	case r.is(http.MethodGet, 0):
		out := []apiUser{}
		for _, u := range view.Users() {
			out = append(out, toAPIUser(u))
		}
		return adminAnswer{value: out}, nil
	case r.is(http.MethodGet, 1), r.is(http.MethodGet, 2) && r.names[1] == "permissions":
		u, ok := view.User(r.names[0])
		if !ok {
			return adminAnswer{}, notThere("user", r.names[0])
		}
		if len(r.names) == 2 {
			return n.grants(func(g *access.Grant) bool { return g.User == u.Name }), nil
		}
		return adminAnswer{value: toAPIUser(u)}, nil
	case r.is(http.MethodPut, 1):
		return n.putUser(r)
	case r.is(http.MethodDelete, 1):
		err := n.broker.ChangeAccess(r.ctx, func(d *access.Durable) ([]access.Entry, error) {
			if err := staysAdministered(d, r.names[0]); err != nil {
				return nil, err
			}
			return d.DecideDeleteUser(r.names[0])
		})
		if err == nil && n.amqp != nil {
			n.amqp.UserDeleted(r.names[0])
		}
		return adminAnswer{}, err
	}
	return adminAnswer{}, r.noSuch(1)
}

// staysAdministered refuses to take the last administrator away: nobody could
// make another.
func staysAdministered(d *access.Durable, name string) error {
	u, _ := d.User(name)
	if !canAdminister(u) || slices.ContainsFunc(d.Users(), func(u access.User) bool { return u.Name != name && canAdminister(u) }) {
		return nil
	}
	return &access.Error{Kind: access.Invalid, Text: "user '" + name + "' is the last administrator: make another first"}
}

func canAdminister(u access.User) bool {
	return u.HasTag(administrator) && u.Password.Algorithm != access.NoPassword
}

// putUser makes a user, or gives one another password and other tags.
func (n *Node) putUser(r *adminRequest) (adminAnswer, error) {
	var body struct {
		Password         *string    `json:"password"`
		PasswordHash     *string    `json:"password_hash"`
		HashingAlgorithm string     `json:"hashing_algorithm"`
		Tags             *tagsField `json:"tags"`
	}
	if err := r.decode(&body); err != nil {
		return adminAnswer{}, err
	}
	u := access.User{Name: r.names[0]}
	var err error
	switch {
	case body.Tags == nil: // as in RabbitMQ: who forgets them does not mean to take them away
		err = &access.Error{Kind: access.Invalid, Text: "tags are needed; they may be empty"}
	case body.Password != nil && body.PasswordHash != nil:
		err = &access.Error{Kind: access.Invalid, Text: "password and password_hash are both given"}
	case body.Password != nil:
		var salt [access.SaltBytes]byte
		rand.Read(salt[:]) // never fails
		u.Password = access.HashPassword(access.SHA256, salt, *body.Password)
	case body.PasswordHash != nil:
		u.Password, err = access.ParseHash(body.HashingAlgorithm, *body.PasswordHash)
	}
	if err != nil {
		return adminAnswer{}, err
	}
	u.Tags = *body.Tags
	_, there := n.broker.Access().User(u.Name)
	err = n.broker.ChangeAccess(r.ctx, func(d *access.Durable) ([]access.Entry, error) {
		put := u
		old, _ := d.User(u.Name)
		put.LoopbackOnly = old.LoopbackOnly || u.Name == "guest" // as in RabbitMQ, also one that is made anew
		if !canAdminister(u) {
			if err := staysAdministered(d, u.Name); err != nil {
				return nil, err
			}
		}
		return d.DecidePutUser(put)
	})
	return adminAnswer{made: !there}, err
}

// tagsField is tags as a list, or as a text with commas between them.
type tagsField []string

// UnmarshalJSON implements json.Unmarshaler.
func (f *tagsField) UnmarshalJSON(text []byte) error {
	var list []string
	if json.Unmarshal(text, &list) == nil {
		*f = list
		return nil
	}
	var joined string
	if err := json.Unmarshal(text, &joined); err != nil {
		return errors.New("tags are a list, or a text with commas")
	}
	for _, tag := range strings.Split(joined, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			*f = append(*f, tag)
		}
	}
	return nil
}

// grants lists permissions.
func (n *Node) grants(which func(*access.Grant) bool) adminAnswer {
	out := []apiGrant{}
	for _, g := range n.broker.Access().Grants() {
		if which(&g) {
			out = append(out, apiGrant{g.User, g.VHost, g.Permissions.Configure, g.Permissions.Write, g.Permissions.Read})
		}
	}
	return adminAnswer{value: out}
}

func (n *Node) adminGrants(r *adminRequest) (adminAnswer, error) {
	switch {
	case r.is(http.MethodGet, 0):
		return n.grants(func(*access.Grant) bool { return true }), nil
	case !r.is("", 2):
		return adminAnswer{}, r.noSuch(2)
	}
	vhost, user := r.names[0], r.names[1]
	found := n.grants(func(g *access.Grant) bool { return g.VHost == vhost && g.User == user }).value.([]apiGrant)
	switch r.method {
	case http.MethodGet:
		if len(found) == 0 {
			return adminAnswer{}, notThere("permissions of user", user)
		}
		return adminAnswer{value: found[0]}, nil
	case http.MethodPut:
		var body struct{ Configure, Write, Read *string }
		if err := r.decode(&body); err != nil {
			return adminAnswer{}, err
		}
		if body.Configure == nil || body.Write == nil || body.Read == nil {
			return adminAnswer{}, &access.Error{Kind: access.Invalid, Text: "configure, write and read are all needed"}
		}
		g := access.Grant{User: user, VHost: vhost, Permissions: access.Permissions{Configure: *body.Configure, Write: *body.Write, Read: *body.Read}}
		err := n.broker.ChangeAccess(r.ctx, func(d *access.Durable) ([]access.Entry, error) { return d.DecideSetPermissions(g) })
		return adminAnswer{made: len(found) == 0}, err
	case http.MethodDelete:
		err := n.broker.ChangeAccess(r.ctx, func(d *access.Durable) ([]access.Entry, error) { return d.DecideClearPermissions(user, vhost) })
		return adminAnswer{}, err
	}
	return adminAnswer{}, errMethod
}

func (n *Node) adminTopicGrants(r *adminRequest) (adminAnswer, error) {
	list := func(which func(*access.TopicGrant) bool) []apiTopicGrant {
		out := []apiTopicGrant{}
		for _, g := range n.broker.Access().TopicGrants() {
			if which(&g) {
				out = append(out, apiTopicGrant{g.User, g.VHost, g.Exchange, g.Permissions.Write, g.Permissions.Read})
			}
		}
		return out
	}
	switch {
	case r.is(http.MethodGet, 0):
		return adminAnswer{value: list(func(*access.TopicGrant) bool { return true })}, nil
	case !r.is("", 2):
		return adminAnswer{}, r.noSuch(2)
	}
	vhost, user := r.names[0], r.names[1]
	found := list(func(g *access.TopicGrant) bool { return g.VHost == vhost && g.User == user })
	switch r.method {
	case http.MethodGet:
		if len(found) == 0 {
			return adminAnswer{}, notThere("topic permissions of user", user)
		}
		return adminAnswer{value: found}, nil
	case http.MethodPut:
		var body struct {
			Exchange    string
			Write, Read *string
		}
		if err := r.decode(&body); err != nil {
			return adminAnswer{}, err
		}
		if body.Write == nil || body.Read == nil {
			return adminAnswer{}, &access.Error{Kind: access.Invalid, Text: "exchange, write and read are all needed"}
		}
		g := access.TopicGrant{User: user, VHost: vhost, Exchange: body.Exchange, Permissions: access.TopicPermissions{Write: *body.Write, Read: *body.Read}}
		err := n.broker.ChangeAccess(r.ctx, func(d *access.Durable) ([]access.Entry, error) { return d.DecideSetTopicPermissions(g) })
		made := !slices.ContainsFunc(found, func(g apiTopicGrant) bool { return g.Exchange == body.Exchange })
		return adminAnswer{made: made}, err
	case http.MethodDelete:
		err := n.broker.ChangeAccess(r.ctx, func(d *access.Durable) ([]access.Entry, error) { return d.DecideClearAllTopicPermissions(user, vhost) })
		return adminAnswer{}, err
	}
	return adminAnswer{}, errMethod
}
