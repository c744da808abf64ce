package node

import (
	"encoding/json"
	"net/http"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// ask gets a page of the API as a user and decodes it into into, if not nil.
func ask(t *testing.T, n *Node, path, user, password string, into any) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+n.HTTPAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode
}

// TestAPILists: what AMQP declares is listed, with its arguments and counts.
func TestAPILists(t *testing.T) {
	cfg := testConfig(t)
	cfg.Engine = "mem"
	n := start(t, cfg)
	defer stop(t, n)
	nc, err := amqp091.Dial("amqp://guest:guest@" + n.AMQPAddr() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ch, err := nc.Channel()
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	args := amqp091.Table{"x-max-length": int32(5), "x-note": amqp091.Table{"deep": []any{true, 1.5, nil, []byte{255}}}}
	_, err = ch.QueueDeclare("q", true, false, false, false, args)
	must(err)
	_, err = ch.QueueDeclare("s", true, false, false, false, amqp091.Table{"x-queue-type": "stream"})
	must(err)
	_, err = ch.QueueDeclare("mine", false, true, true, false, nil)
	must(err)
	must(ch.ExchangeDeclare("x", "topic", true, false, false, false, nil))
	must(ch.QueueBind("q", "a.#", "x", false, amqp091.Table{"n": int64(1)}))
	must(ch.ExchangeBind("x", "k", "amq.direct", false, nil))
	must(ch.Confirm(false))
	for range 3 {
		c, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{Body: []byte("m")})
		must(err)
		c.Wait()
	}
	if _, ok, err := ch.Get("q", false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	_, err = ch.Consume("mine", "", false, false, false, false, nil)
	must(err)

	var queues []apiQueue
	if status := ask(t, n, "/api/queues/%2F", "guest", "guest", &queues); status != 200 || len(queues) != 3 {
		t.Fatalf("status %d, queues %+v", status, queues)
	}
	mine, q, s := queues[0], queues[1], queues[2]
	if q.Name != "q" || q.VHost != "/" || q.Type != "classic" || !q.Durable || q.Ready != 2 || q.Unacknowledged != 1 || q.Messages != 3 || q.Exclusive {
		t.Errorf("q is %+v", q)
	}
	if text, _ := json.Marshal(q.Arguments); string(text) != `{"x-max-length":5,"x-note":{"deep":[true,1.5,null,"/w=="]}}` {
		t.Errorf("arguments %s", text)
	}
	if mine.Name != "mine" || mine.Durable || !mine.AutoDelete || !mine.Exclusive || mine.Consumers != 1 {
		t.Errorf("mine is %+v", mine)
	}
	if s.Name != "s" || s.Type != "stream" || !s.Durable {
		t.Errorf("s is %+v", s)
	}
	var exchanges []apiExchange
	ask(t, n, "/api/exchanges", "guest", "guest", &exchanges)
	found := map[string]string{}
	for _, x := range exchanges {
		found[x.Name] = x.Type
	}
	if found["x"] != "topic" || found[""] != "direct" || found["amq.fanout"] != "fanout" {
		t.Errorf("exchanges %v", found)
	}
	var bindings []apiBinding
	ask(t, n, "/api/bindings", "guest", "guest", &bindings)
	text, _ := json.Marshal(bindings)
	if want := `[{"source":"amq.direct","vhost":"/","destination":"x","destination_type":"exchange","routing_key":"k","arguments":{}},` +
		`{"source":"x","vhost":"/","destination":"q","destination_type":"queue","routing_key":"a.#","arguments":{"n":1}}]`; string(text) != want {
		t.Errorf("bindings %s, want %s", text, want)
	}
}

// TestAPIAsksWho: nothing is told without a login, nor of other vhosts.
func TestAPIAsksWho(t *testing.T) {
	cfg := testConfig(t)
	cfg.Engine = "mem"
	n := start(t, cfg)
	defer stop(t, n)
	for _, tt := range []struct {
		path, user, password string
		status               int
	}{
		{"/api/queues", "", "", 401},
		{"/api/queues", "guest", "wrong", 401},
		{"/api/bindings", "nobody", "guest", 401},
		{"/api/exchanges/%2F", "guest", "guest", 200},
		{"/api/exchanges/other", "guest", "guest", 403},
		{"/api/exchanges/", "guest", "guest", 200},
		{"/api/exchanges/%2F/x", "guest", "guest", 404},
		{"/api/nothing", "guest", "guest", 404},
	} {
		if status := ask(t, n, tt.path, tt.user, tt.password, nil); status != tt.status {
			t.Errorf("%s as %q: status %d, want %d", tt.path, tt.user, status, tt.status)
		}
	}
}

// TestLoopback: the rule that guest comes from this machine only holds here
// too.
func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"10.0.0.1:80": false, "[2001:db8::1]:80": false, "": false, "@": false,
	} {
		if isLoopback(addr) != want {
			t.Errorf("%q: loopback is %t", addr, !want)
		}
	}
}
