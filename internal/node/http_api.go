package node

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// The HTTP listener tells what AMQP itself cannot list, in the shape of
// RabbitMQ's management API, to who logs in as an AMQP user (HTTP basic
// authentication) and may enter the vhost:
//
//	GET /api/queues     /api/queues/VHOST
//	GET /api/exchanges  /api/exchanges/VHOST
//	GET /api/bindings   /api/bindings/VHOST
//
// Without a VHOST it is "/", which a path writes as %2F. What changes vhosts, users
// and permissions is in http_admin.go.

// apiQueue is a queue, or a topic that AMQP sees as a stream queue.
type apiQueue struct {
	Name           string         `json:"name"`
	VHost          string         `json:"vhost"`
	Type           string         `json:"type"`
	Durable        bool           `json:"durable"`
	AutoDelete     bool           `json:"auto_delete"`
	Exclusive      bool           `json:"exclusive"`
	Arguments      map[string]any `json:"arguments"`
	Ready          int64          `json:"messages_ready"`
	Unacknowledged int64          `json:"messages_unacknowledged"`
	Messages       int64          `json:"messages"`
	Consumers      int            `json:"consumers"`
}

// apiExchange is an exchange.
type apiExchange struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  map[string]any `json:"arguments"`
}

// apiBinding is a binding. Those of the default exchange are not listed.
type apiBinding struct {
	Source          string         `json:"source"`
	VHost           string         `json:"vhost"`
	Destination     string         `json:"destination"`
	DestinationType string         `json:"destination_type"`
	RoutingKey      string         `json:"routing_key"`
	Arguments       map[string]any `json:"arguments"`
}

// handleAPI adds the API's paths to mux.
func (n *Node) handleAPI(mux *http.ServeMux) {
	for what, list := range map[string]func(context.Context, *broker.VHost) (any, error){
		"queues": n.apiQueues, "exchanges": apiExchanges, "bindings": apiBindings,
	} {
		handler := func(w http.ResponseWriter, r *http.Request) { n.serveAPI(w, r, list) }
		mux.HandleFunc("GET /api/"+what, handler)
		mux.HandleFunc("GET /api/"+what+"/{vhost...}", handler) // ServeMux takes a {vhost} of %2F for no vhost
	}
}

// serveAPI checks who asks, and answers with what list returns.
func (n *Node) serveAPI(w http.ResponseWriter, r *http.Request, list func(context.Context, *broker.VHost) (any, error)) {
	user, ok := n.login(w, r)
	if !ok {
		return
	}
	name := cmp.Or(r.PathValue("vhost"), "/")
	if strings.Count(r.URL.EscapedPath(), "/") > strings.Count("/api/WHAT/VHOST", "/") {
		apiError(w, http.StatusNotFound, "no such page")
		return
	}
	if !n.broker.MayEnter(user, name) { // whether it is there is not told
		apiError(w, http.StatusForbidden, "no access to vhost "+strconv.Quote(name))
		return
	}
	v, ok := n.broker.VHost(name)
	if !ok {
		apiError(w, http.StatusNotFound, "no vhost "+strconv.Quote(name))
		return
	}
	answer, err := list(r.Context(), v)
	if err != nil {
		apiFailure(w, err)
		return
	}
	apiAnswer(w, answer)
}

// login says who asks, or answers that nobody may who says so.
func (n *Node) login(w http.ResponseWriter, r *http.Request) (user string, ok bool) {
	if !n.ready.Load() || n.Err() != nil {
		apiError(w, http.StatusServiceUnavailable, "not ready")
		return "", false
	}
	user, password, _ := r.BasicAuth()
	if err := n.broker.Authenticate(user, password, isLocal(r)); err != nil {
		n.cfg.Logger.Warn("HTTP login refused", "from", r.RemoteAddr, "user", user, "reason", err)
		w.Header().Set("WWW-Authenticate", `Basic realm="Waxwing"`)
		apiError(w, http.StatusUnauthorized, "Login failed")
		return "", false
	}
	return user, true
}

// apiAnswer answers with a value in JSON.
func apiAnswer(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that went away is no concern
}

// apiFailure answers with why the broker refuses something.
func apiFailure(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var be *broker.Error
	var ae *access.Error
	switch {
	case errors.As(err, &be) && be.Kind == broker.Stopping:
		status = http.StatusServiceUnavailable
	case errors.As(err, &be) && be.Kind == broker.StorageFull:
		status = http.StatusInsufficientStorage
	case errors.As(err, &ae) && ae.Kind == access.NotFound:
		status = http.StatusNotFound
	case errors.As(err, &ae):
		status = http.StatusBadRequest
	}
	apiError(w, status, err.Error())
}

// apiError answers with a status and why.
func apiError(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": http.StatusText(status), "reason": reason})
}

// isLocal says whether a request comes from this machine itself: not by a proxy
// there, nor by a page of another site whose name leads here.
func isLocal(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	if !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
		return false
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	return isLoopback(r.RemoteAddr)
}

// isLoopback says whether a client's address, host:port, is of this machine.
func isLoopback(addr string) bool {
	at, err := netip.ParseAddrPort(addr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// noDeliveries is the sink of a session that consumes nothing.
type noDeliveries struct{}

func (noDeliveries) Deliver([]queue.Delivery)    {}
func (noDeliveries) Cancelled([]queue.Cancelled) {}

// apiQueues lists the queues by name, and behind them the topics.
func (n *Node) apiQueues(ctx context.Context, v *broker.VHost) (any, error) {
	s := v.NewSession(noDeliveries{})
	defer s.Close()
	reply, err := s.Call(ctx, &queue.List{})
	if err != nil {
		return nil, err
	}
	out := []apiQueue{}
	for _, info := range reply.(*queue.ListReply).Queues {
		out = append(out, apiQueue{
			Name: info.Spec.Name, VHost: v.Name(), Type: queueType(info.Spec.Kind), Durable: info.Spec.Durable,
			AutoDelete: info.Spec.AutoDelete, Exclusive: info.Spec.Exclusive != 0, Arguments: apiArguments(info.Spec.Arguments),
			Ready: info.Ready, Unacknowledged: info.Unacknowledged, Messages: info.Ready + info.Unacknowledged,
			Consumers: len(info.Consumers),
		})
	}
	return append(out, n.apiStreams(v)...), nil
}

func queueType(k queue.Kind) string {
	if k == queue.Quorum {
		return "quorum"
	}
	return "classic"
}

// apiStreams lists the topics of a vhost as the stream queues that they are.
func (n *Node) apiStreams(v *broker.VHost) (out []apiQueue) {
	for _, t := range n.broker.Topics() {
		for i := range t.Partitions {
			name := t.Name
			if len(t.Partitions) > 1 {
				name += "-" + strconv.Itoa(i)
			}
			s, ok := v.Stream(name)
			if _, hidden := v.Queue(name); !ok || hidden {
				continue
			}
			bounds := s.Partition.Bounds()
			ready := bounds.HighWatermark - bounds.Start
			out = append(out, apiQueue{
				Name: name, VHost: v.Name(), Type: "stream", Durable: true,
				Arguments: map[string]any{"x-queue-type": "stream"}, Ready: ready, Messages: ready,
			})
		}
	}
	return out
}

func apiExchanges(_ context.Context, v *broker.VHost) (any, error) {
	out := []apiExchange{}
	for _, x := range v.Exchanges() {
		out = append(out, apiExchange{
			Name: x.Name, VHost: v.Name(), Type: x.Type.String(), Durable: x.Durable, AutoDelete: x.AutoDelete,
			Internal: x.Internal, Arguments: apiArguments(x.Raw),
		})
	}
	return out, nil
}

func apiBindings(_ context.Context, v *broker.VHost) (any, error) {
	out := []apiBinding{}
	for _, b := range v.Bindings() {
		out = append(out, apiBinding{
			Source: b.Source, VHost: v.Name(), Destination: b.Destination.Name,
			DestinationType: b.Destination.Kind.String(), RoutingKey: b.Key, Arguments: apiArguments(b.Raw),
		})
	}
	return out, nil
}

// apiArguments are arguments as AMQP wrote them, never nil.
func apiArguments(raw []byte) map[string]any {
	t, err := wire.ParseTable(raw)
	if err != nil { // another protocol's
		return map[string]any{}
	}
	return apiTable(t)
}

func apiTable(t wire.Table) map[string]any {
	out := map[string]any{}
	for key, v := range t.All() {
		if _, twice := out[string(key)]; !twice {
			out[string(key)] = apiValue(v)
		}
	}
	return out
}

// apiValue is a value of a table in JSON's types.
func apiValue(v wire.Value) any {
	if b, ok := v.Bool(); ok {
		return b
	}
	if n, ok := v.Int(); ok {
		return n
	}
	if t, ok := v.Table(); ok {
		return apiTable(t)
	}
	if a, ok := v.Array(); ok {
		out := []any{}
		for element := range a.All() {
			out = append(out, apiValue(element))
		}
		return out
	}
	switch v.Kind() {
	case wire.KindVoid:
		return nil
	case wire.KindText:
		text, _ := v.Text()
		return text
	case wire.KindBytes:
		b, _ := v.Bytes()
		return base64.StdEncoding.EncodeToString(b)
	case wire.KindTime:
		t, _ := v.Time()
		return t.Unix()
	}
	return json.RawMessage(apiNumber(v))
}

// apiNumber writes a float or a decimal; JSON has no infinity and the like.
func apiNumber(v wire.Value) []byte {
	f, _ := v.Float()
	if scale, unscaled, ok := v.Decimal(); ok {
		f, _ = strconv.ParseFloat(strconv.FormatUint(uint64(unscaled), 10)+"e-"+strconv.Itoa(int(scale)), 64)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return []byte("null")
	}
	return text
}
