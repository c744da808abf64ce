package access

import (
	"errors"
	"strings"
	"testing"
)

// TestPasswordHash checks the example of RabbitMQ's documentation: the
// password test12 with the salt 908DC60A.
func TestPasswordHash(t *testing.T) {
	const want = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
	h := HashPassword(SHA256, [SaltBytes]byte{0x90, 0x8d, 0xc6, 0x0a}, "test12")
	if got := h.Encoded(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	parsed, err := ParseHash("rabbit_password_hashing_sha256", want)
	if err != nil || parsed != h {
		t.Errorf("%v, %v", parsed, err)
	}
	if unnamed, err := ParseHash("", want); err != nil || unnamed != h {
		t.Errorf("without the algorithm's name: %v, %v", unnamed, err)
	}
	if !h.Matches("test12") || h.Matches("test1") || h.Matches("test123") || h.Matches("") {
		t.Error("the hash matches what it must not, or not what it must")
	}
}

func TestPasswordHashSHA512(t *testing.T) {
	h := HashPassword(SHA512, [SaltBytes]byte{1, 2, 3, 4}, "secret")
	parsed, err := ParseHash(h.Algorithm.String(), h.Encoded())
	if err != nil || parsed != h || !parsed.Matches("secret") || parsed.Matches("Secret") {
		t.Errorf("%v, %v", parsed, err)
	}
	if other := HashPassword(SHA512, [SaltBytes]byte{1, 2, 3, 5}, "secret"); other.Encoded()[8:] == h.Encoded()[8:] {
		t.Error("the salt does not matter")
	}
	if _, err := ParseHash("rabbit_password_hashing_sha256", h.Encoded()); err == nil {
		t.Error("a SHA-512 hash is taken for a SHA-256 one")
	}
}

func TestNoPassword(t *testing.T) {
	for name, h := range map[string]PasswordHash{
		"zero": {}, "empty": HashPassword(SHA256, [SaltBytes]byte{1}, ""), "no algorithm": HashPassword(NoPassword, [SaltBytes]byte{}, "p"),
	} {
		if h != (PasswordHash{}) || h.Encoded() != "" || h.Matches("") || h.Matches("p") {
			t.Errorf("%s: %v", name, h)
		}
	}
	if h, err := ParseHash("", ""); err != nil || h != (PasswordHash{}) {
		t.Errorf("%v, %v", h, err)
	}
}

func TestParseHashRefuses(t *testing.T) {
	good := HashPassword(SHA256, [SaltBytes]byte{1}, "p").Encoded()
	for _, c := range [][2]string{
		{"rabbit_password_hashing_md5", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, {"sha256", good}, {"rabbit_password_hashing_sha512", good},
		{"", good[1:]}, {"", strings.Repeat("A", 44)}, {"", good + "AAAA"}, {"", "!" + good[1:]},
	} {
		var e *Error
		if _, err := ParseHash(c[0], c[1]); !errors.As(err, &e) || e.Kind != Invalid {
			t.Errorf("%q %q: %v", c[0], c[1], err)
		}
	}
}
