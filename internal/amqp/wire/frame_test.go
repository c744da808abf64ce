package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// payloadOf is the payload of the one frame that b is.
func payloadOf(t testing.TB, b []byte) []byte {
	t.Helper()
	f, n, err := wire.ParseFrame(b, math.MaxUint32)
	if err != nil || n != len(b) {
		t.Fatalf("%d of %d bytes (%v)", n, len(b), err)
	}
	return f.Payload
}

// framesOf are the frames that b is made of.
func framesOf(t testing.TB, b []byte, frameMax uint32) []wire.Frame {
	t.Helper()
	var frames []wire.Frame
	for len(b) > 0 {
		f, n, err := wire.ParseFrame(b, frameMax)
		if err != nil || n == 0 {
			t.Fatalf("frame %d: %d bytes (%v)", len(frames), n, err)
		}
		frames = append(frames, f)
		b = b[n:]
	}
	return frames
}

func TestFramesSplitAtEveryByte(t *testing.T) {
	d := delivery()
	b := wire.AppendHeartbeat(wire.AppendDelivery(nil, 7, wire.FrameMaxMin, &d))
	want := framesOf(t, b, wire.FrameMaxMin)
	for cut := range b {
		var got []wire.Frame
		have := bytes.Clone(b[:cut])
		for more := false; ; {
			f, n, err := wire.ParseFrame(have, wire.FrameMaxMin)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 && more {
				break
			}
			if n == 0 {
				have, more = append(have, b[cut:]...), true
				continue
			}
			got = append(got, f)
			have = have[n:]
		}
		if len(have) != 0 || !reflect.DeepEqual(got, want) {
			t.Fatalf("cut at %d: %d bytes are left, frames %v", cut, len(have), got)
		}
	}
}

func TestPayloadsDoNotRunIntoWhatFollows(t *testing.T) {
	b := wire.AppendBody(nil, 1, 0, []byte("body"))
	f, _, _ := wire.ParseFrame(b, wire.FrameMaxMin)
	_ = append(f.Payload, 'x')
	if b[len(b)-1] != wire.FrameEnd {
		t.Error("appending to a payload wrote over the frame's end")
	}
}

func TestBodiesAreSplit(t *testing.T) {
	body := make([]byte, 3*4088+1)
	for i := range body {
		body[i] = byte(i % 251)
	}
	for _, c := range []struct {
		size     int
		frameMax uint32
		want     []int
	}{
		{0, 4096, nil},
		{1, 4096, []int{1}},
		{4088, 4096, []int{4088}},
		{4089, 4096, []int{4088, 1}},
		{2 * 4088, 4096, []int{4088, 4088}},
		{3*4088 + 1, 4096, []int{4088, 4088, 4088, 1}},
		{3*4088 + 1, 0, []int{3*4088 + 1}},
		{3, 3, []int{1, 1, 1}},
	} {
		var got []int
		var whole []byte
		for _, f := range framesOf(t, wire.AppendBody(nil, 3, c.frameMax, body[:c.size]), math.MaxUint32) {
			if f.Type != wire.TypeBody || f.Channel != 3 {
				t.Errorf("frame %+v", f)
			}
			got = append(got, len(f.Payload))
			whole = append(whole, f.Payload...)
		}
		if !reflect.DeepEqual(got, c.want) || !bytes.Equal(whole, body[:c.size]) {
			t.Errorf("%d bytes with frame-max %d: payloads of %v, not %v", c.size, c.frameMax, got, c.want)
		}
	}
}

func TestDecodeIntoOverwrites(t *testing.T) {
	m := wire.BasicPublish{Exchange: "old", RoutingKey: "older", Mandatory: true, Immediate: true}
	want := wire.BasicPublish{Exchange: "", RoutingKey: "key"}
	payload := payloadOf(t, wire.AppendMethod(nil, 1, &want))
	if err := wire.DecodeInto(payload, &m); err != nil || m != want {
		t.Errorf("%+v (%v)", m, err)
	}
	clear(payload)
	if m.RoutingKey != "key" {
		t.Error("a short string aliases the payload")
	}
}

func TestErrorsSayWhere(t *testing.T) {
	ack := payloadOf(t, wire.AppendMethod(nil, 1, &wire.BasicAck{DeliveryTag: 1}))
	for _, c := range []struct {
		err  error
		want wire.Error
	}{
		{decode(ack[:6]), wire.Error{Code: wire.FrameError, Method: wire.IDBasicAck, Reason: "basic.ack: a field needs 8 bytes where 2 are left"}},
		{decode([]byte{0, 60, 0, 255}), wire.Error{Code: wire.NotImplemented, Method: 60<<16 | 255, Reason: "method 60.255 is unknown"}},
		{decode(nil), wire.Error{Code: wire.FrameError, Reason: "method frame of 0 bytes"}},
		{wire.DecodeInto(ack, new(wire.BasicNack)), wire.Error{Code: wire.CommandInvalid, Method: wire.IDBasicAck, Reason: "expected basic.nack, got basic.ack"}},
		{wire.DecodeInto(nil, new(wire.BasicNack)), wire.Error{Code: wire.FrameError, Reason: "method frame of 0 bytes"}},
	} {
		var got *wire.Error
		if wrapped := fmt.Errorf("conn 1: %w", c.err); !errors.As(wrapped, &got) || *got != c.want || wire.CodeOf(wrapped) != c.want.Code {
			t.Errorf("%v, not %v", c.err, &c.want)
		}
	}
	if wire.CodeOf(nil) != 0 || wire.CodeOf(errors.ErrUnsupported) != 0 {
		t.Error("an error of someone else has a code")
	}
}

func decode(payload []byte) error {
	_, err := wire.DecodeMethod(payload)
	return err
}
