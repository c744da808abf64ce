package seal

import (
	"bytes"
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
)

func FuzzParseEnvelope(f *testing.F) {
	e := Envelope{Profile: 5, Kind: KindHandshake, Sender: "orders", Recipient: "billing", Lane: 3, Certificate: []byte("certificate")}
	f.Add(append(e.header(), "body"...))
	e.Kind = KindMessage
	f.Add(append(e.header(), "body"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEnvelope(b)
		if err != nil {
			return
		}
		if len(e.head)+len(e.Body) != len(b) {
			t.Fatal("bytes are lost")
		}
		again, err := ParseEnvelope(append(e.header(), e.Body...))
		if err != nil || again.Sender != e.Sender || again.Lane != e.Lane || !bytes.Equal(again.Body, e.Body) {
			t.Fatalf("%+v, %+v, %v", e, again, err)
		}
	})
}

func FuzzDecodeContent(f *testing.F) {
	c := content{kind: contentEvent, sender: "orders", recipient: "billing", id: "1", topic: "things", key: "k", typ: "t", ctype: "text/plain", lane: 1, stream: 2, seq: 3,
		headers: []bus.Header{{Name: "a", Value: []byte("b")}}, body: []byte("body")}
	f.Add(c.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeContent(b)
		if err != nil {
			return
		}
		again, err := decodeContent(c.encode())
		if err != nil || again.id != c.id || again.seq != c.seq || !bytes.Equal(again.body, c.body) || len(again.headers) != len(c.headers) {
			t.Fatalf("%+v, %+v, %v", c, again, err)
		}
	})
}

func FuzzParseCertificate(f *testing.F) {
	root, err := NewRoot()
	if err != nil {
		f.Fatal(err)
	}
	id, err := NewIdentity("orders")
	if err != nil {
		f.Fatal(err)
	}
	c := Certificate{Name: "orders", Key: id.Key(), Lanes: 8}
	c.NotAfter = c.NotBefore.AddDate(1, 0, 0)
	cert, err := root.Issue(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCertificate(b)
		if err != nil {
			return
		}
		if u := c.unsigned(); !bytes.Equal(u, b[:len(b)-64]) {
			t.Fatalf("%x, %x", u, b)
		}
		if _, err := root.Public().Verify(b, c.NotBefore); err == nil && !bytes.Equal(b, cert.Bytes()) {
			t.Fatal("forged")
		}
	})
}

func FuzzDecodeDistribution(f *testing.F) {
	f.Add(distribution{group: "readers", instance: "0", lane: 1, key: []byte("key")}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDistribution(b)
		if err != nil {
			return
		}
		again, err := decodeDistribution(d.encode())
		if err != nil || again.group != d.group || again.lane != d.lane || !bytes.Equal(again.key, d.key) {
			t.Fatalf("%+v, %+v, %v", d, again, err)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	id, err := NewIdentity("orders")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(id.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := identityOf(b)
		if err != nil {
			return
		}
		again, err := identityOf(id.bytes())
		if err != nil || again.key != id.key || again.name != id.name {
			t.Fatal(err)
		}
	})
}
