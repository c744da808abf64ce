package kafka_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestGolden has conversations of real clients again, which `make golden` has
// recorded (conformance/golden): the same requests, in the same order, with the
// ids of this broker instead of the recorded ones. Every response must be the
// recorded one, apart from what cannot be the same.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d conversations, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// The records are as old as the recording, so nobody may look for
			// old ones.
			n := start(t, setting("log.retention.check.interval.ms", "86400000"), setting("num.partitions", "2"))
			g := &golden{t: t, n: n, conns: map[string]*goldenConn{}, ids: map[any]any{}}
			for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
				g.line = i + 1
				g.play(line)
			}
			if g.compared < 10 {
				t.Errorf("only %d responses", g.compared)
			}
		})
	}
}

// golden is a conversation that is had again.
type golden struct {
	t        *testing.T
	n        *node
	line     int
	conns    map[string]*goldenConn
	ids      map[any]any // recorded → of this broker
	compared int
}

type goldenConn struct {
	*raw
	asked []kmsg.Request // and not answered yet
	gone  bool
}

// play does what a line says; see conformance/golden for its form.
func (g *golden) play(line string) {
	g.t.Helper()
	mark, rest, _ := strings.Cut(line, " ")
	number, text, _ := strings.Cut(rest, " ")
	frame, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		g.t.Fatalf("line %d: %v", g.line, err)
	}
	c := g.conns[number]
	if c == nil {
		c = &goldenConn{raw: g.n.dial(g.t)}
		g.conns[number] = c
	}
	switch {
	case mark == "x":
		c.Close()
		c.gone = true
	case mark == ">":
		g.ask(c, frame)
	case !c.gone: // an answer that the client did not wait for
		g.compare(c, frame)
	}
}

// ask sends a recorded request.
func (g *golden) ask(c *goldenConn, frame []byte) {
	g.t.Helper()
	req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(frame)))
	req.SetVersion(int16(binary.BigEndian.Uint16(frame[2:])))
	head := 10
	if n := int16(binary.BigEndian.Uint16(frame[8:])); n > 0 {
		head += int(n)
	}
	if req.IsFlexible() {
		head++ // no client sends tags in a header
	}
	if err := req.ReadFrom(frame[head:]); err != nil {
		g.t.Fatalf("line %d: %s: %v", g.line, kmsg.NameForKey(req.Key()), err)
	}
	if produce, ok := req.(*kmsg.ProduceRequest); !ok || produce.Acks != 0 {
		c.asked = append(c.asked, req)
	}
	g.translate(reflect.ValueOf(req).Elem())
	out := req.AppendTo(append([]byte{0, 0, 0, 0}, frame[:head]...))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	if _, err := c.Write(out); err != nil {
		g.t.Fatalf("line %d: %v", g.line, err)
	}
}

// goldenIDs are the fields that hold what each broker makes up.
var goldenIDs = []string{"TopicID", "MemberID", "LeaderID", "ProducerID", "SessionID"}

// translate puts this broker's ids into what was recorded.
func (g *golden) translate(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			switch {
			case !f.IsExported():
			case slices.Contains(goldenIDs, f.Name):
				if to, ok := g.ids[v.Field(i).Interface()]; ok {
					v.Field(i).Set(reflect.ValueOf(to))
				}
			default:
				g.translate(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				g.translate(v.Index(i))
			}
		}
	}
}

// learn finds out which id of this broker stands for which recorded one, where
// two responses have the same shape.
func (g *golden) learn(recorded, got reflect.Value) {
	switch recorded.Kind() {
	case reflect.Struct:
		for i := range recorded.NumField() {
			f := recorded.Type().Field(i)
			switch {
			case !f.IsExported():
			case slices.Contains(goldenIDs, f.Name):
				from, to := recorded.Field(i), got.Field(i)
				if from.IsZero() != to.IsZero() || from.CanInt() && (from.Int() < 0) != (to.Int() < 0) {
					continue // they are told apart later
				}
				if _, known := g.ids[from.Interface()]; !known {
					g.ids[from.Interface()] = to.Interface()
				}
			default:
				g.learn(recorded.Field(i), got.Field(i))
			}
		}
	case reflect.Slice:
		if recorded.Type().Elem().Kind() == reflect.Struct && recorded.Len() == got.Len() {
			for i := range recorded.Len() {
				g.learn(recorded.Index(i), got.Index(i))
			}
		}
	}
}

// compare reads a response and compares it with the recorded one.
func (g *golden) compare(c *goldenConn, frame []byte) {
	g.t.Helper()
	if len(c.asked) == 0 {
		g.t.Fatalf("line %d: an answer to nothing", g.line)
	}
	req := c.asked[0]
	c.asked = c.asked[1:]
	what := fmt.Sprintf("line %d: %s version %d", g.line, kmsg.NameForKey(req.Key()), req.GetVersion())
	live, err := c.frame()
	if err != nil {
		g.t.Fatalf("%s: %v", what, err)
	}
	want, got := decodeGolden(g.t, what, req, frame), decodeGolden(g.t, what, req, live)
	g.learn(reflect.ValueOf(want).Elem(), reflect.ValueOf(got).Elem())
	g.translate(reflect.ValueOf(want).Elem())
	mask(reflect.ValueOf(want).Elem())
	mask(reflect.ValueOf(got).Elem())
	if !bytes.Equal(want.AppendTo(nil), got.AppendTo(nil)) {
		g.t.Fatalf("%s: got\n%+v, recorded is\n%+v", what, got, want)
	}
	g.compared++
}

func decodeGolden(t *testing.T, what string, req kmsg.Request, frame []byte) kmsg.Response {
	t.Helper()
	resp := req.ResponseKind()
	head := 4
	if req.IsFlexible() && req.Key() != kmsg.ApiVersions.Int16() {
		head++
	}
	if req.Key() == kmsg.ApiVersions.Int16() && len(frame) >= 6 && frame[5] == 35 {
		resp.SetVersion(0) // an unknown version is answered so
	}
	if err := resp.ReadFrom(frame[head:]); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return resp
}

// mask clears what says where and which broker it is.
func mask(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			switch f := v.Type().Field(i); {
			case !f.IsExported():
			case f.Name == "Host" || f.Name == "Port" || f.Name == "ClusterID":
				v.Field(i).SetZero()
			default:
				mask(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				mask(v.Index(i))
			}
		}
	}
}
