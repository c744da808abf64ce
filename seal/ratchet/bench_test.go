package ratchet

import (
	"bytes"
	"crypto/rand"
	"io"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// BenchmarkOneWay is one message of 1 KB: seal and open, with the rows decoded
// and encoded on both sides.
func BenchmarkOneWay(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			alice, bob := pair(b, p)
			want(b, bob, alice.seal(b, "first"), "first")
			want(b, alice, bob.seal(b, "answer"), "answer")
			plaintext := bytes.Repeat([]byte{1}, 1024)
			b.ReportAllocs()
			cpu := startCPU()
			for b.Loop() {
				exchange(b, rand.Reader, alice, bob, plaintext)
			}
			cpu.report(b)
		})
	}
}

// BenchmarkPingPong is two messages of 1 KB, one each way: a step of the
// Diffie-Hellman ratchet on both sides. It also says how long a row is after many.
func BenchmarkPingPong(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			alice, bob := pair(b, p)
			want(b, bob, alice.seal(b, "first"), "first")
			plaintext := bytes.Repeat([]byte{1}, 1024)
			b.ReportAllocs()
			cpu := startCPU()
			for b.Loop() {
				exchange(b, rand.Reader, bob, alice, plaintext)
				exchange(b, rand.Reader, alice, bob, plaintext)
			}
			cpu.report(b)
			b.ReportMetric(float64(len(alice.row)), "row-B")
		})
	}
}

// A cpuTime is what the process had used when the benchmark began: others may
// use the machine, too.
type cpuTime time.Duration

func startCPU() cpuTime {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return cpuTime(u.Utime.Nano() + u.Stime.Nano())
}

func (c cpuTime) report(b *testing.B) {
	b.ReportMetric(float64(startCPU()-c)/1000/float64(b.N), "cpu-µs/op")
}

// exchange seals and opens one message, and decodes and encodes the rows.
func exchange(t rapid.TB, rand io.Reader, from, to *party, plaintext []byte) {
	s, err := DecodeSession(from.row)
	if err != nil {
		t.Fatal(err)
	}
	next, m, err := s.Seal(rand, nil, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	from.row = next.Encode()
	if s, err = DecodeSession(to.row); err != nil {
		t.Fatal(err)
	}
	o, err := s.Open(rand, nil, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	to.row = o.Next.Encode()
}

// BenchmarkHandshake is both sides of a handshake, up to the first message that
// is opened. The bundle is there.
func BenchmarkHandshake(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			alice, bob := newParty(b, "alice", p), newParty(b, "bob", p)
			bundle := bob.bundle(b, true)
			b.ReportAllocs()
			cpu := startCPU()
			for b.Loop() {
				alice.initiate(b, bundle)
				bob.row = nil
				if _, err := bob.open(alice.seal(b, "first")); err != nil {
					b.Fatal(err)
				}
			}
			cpu.report(b)
		})
	}
}

// BenchmarkHostile is a forged message that is as far ahead as it may be.
func BenchmarkHostile(b *testing.B) {
	for _, p := range []Profile{PQXDH, SignalV4} {
		b.Run(p.String(), func(b *testing.B) {
			alice, bob := pair(b, p)
			want(b, bob, alice.seal(b, "first"), "first")
			m := forge(alice.session(b), MaxJump)
			s := bob.session(b)
			for b.Loop() {
				if _, err := s.Open(rand.Reader, nil, m, nil); err != ErrMAC {
					b.Fatal(err)
				}
			}
		})
	}
}

// forge makes a message with a counter that is jump ahead, without knowing any
// key.
func forge(s *Session, jump uint32) []byte {
	m := []byte{s.profile.version()}
	m = appendKey(m, fieldRatchet, &s.public)
	m = appendUint(m, fieldCounter, s.send.n+jump)
	m = appendBytes(m, fieldBody, make([]byte, 16))
	if s.profile == SignalV4 {
		m = appendBytes(m, fieldPQRatchet, appendPQ(nil, s.pq.send.n+jump))
	}
	return append(m, make([]byte, macSize)...)
}

func BenchmarkSign(b *testing.B) {
	k := newKey(b)
	for b.Loop() {
		if _, err := Sign(rand.Reader, k, make([]byte, 33)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	k := newKey(b)
	sig, err := Sign(rand.Reader, k, make([]byte, 33))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !Verify(k.Public(), make([]byte, 33), sig) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	k := newKey(b).Public().Encode()
	for b.Loop() {
		if _, err := ParsePublicKey(k); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAgree(b *testing.B) {
	k, p := newKey(b), newKey(b).Public()
	for b.Loop() {
		if _, err := k.agree(&p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublic(b *testing.B) {
	k := newKey(b)
	for b.Loop() {
		k.Public()
	}
}
