// Package peer starts the official Signal packages, for tests.
//
// Each peer is a Node process of its own, which runs peer.mjs of this folder on
// one npm package and is driven by lines of JSON over its standard input and
// output. The packages are AGPL and GPL: they are installed separately
// (scripts/install-tools.sh peers), never linked with Waxwing, and what is known
// of them here is what their published types and READMEs say.
package peer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	installTimeout = 10 * time.Minute
	answerTimeout  = time.Minute // of one operation; starting is one too
	answerBytesMax = 64 << 20
	stderrBytesMax = 16 << 10
)

// A Package is what a peer speaks with.
type Package string

const (
	Current         Package = "libsignal-client-0-103"                         // version 4 with the post-quantum chain, sender keys
	PQXDH           Package = "libsignal-client-0-67"                          // version 4 without it, sender keys
	Privacyresearch Package = "@privacyresearch/libsignal-protocol-typescript" // version 3, X3DH
	WhiskeySockets  Package = "libsignal"                                      // version 3, X3DH
)

// Peer is one identity in a process of its own. Its methods fail the test if
// the process does not answer. One call at a time.
type Peer struct {
	Name     string
	Identity Identity

	t      testing.TB
	stdin  io.WriteCloser
	lines  chan []byte // of stdout; closed at its end
	stderr *tail
}

// Identity is who a peer is. Keys are 33 bytes, with the type byte.
type Identity struct {
	Key            []byte `json:"key"`
	RegistrationID uint32 `json:"registrationId"`
}

// Bundle is what a peer publishes. OneTime is nil without a one-time key, KEM
// if the package knows none. All keys have their type byte.
type Bundle struct {
	RegistrationID uint32 `json:"registrationId"`
	Identity       []byte `json:"identity"`
	SignedID       uint32 `json:"signedId"`
	Signed         []byte `json:"signed"`
	SignedSig      []byte `json:"signedSig"`
	OneTimeID      uint32 `json:"oneTimeId,omitempty"`
	OneTime        []byte `json:"oneTime,omitempty"`
	KEMID          uint32 `json:"kemId,omitempty"`
	KEM            []byte `json:"kem,omitempty"`
	KEMSig         []byte `json:"kemSig,omitempty"`
}

// Message is a ciphertext: a PreKeySignalMessage or a SignalMessage.
type Message struct {
	PreKey bool   `json:"preKey"`
	Body   []byte `json:"body"`
}

// State is what a peer stores about a remote, and which of its own prekeys are
// left or used.
type State struct {
	Open                 bool     `json:"open"`        // has a session to send with
	RecordBytes          int      `json:"recordBytes"` // 0 without a session
	RemoteRegistrationID uint32   `json:"remoteRegistrationId"`
	OneTimeIDs           []uint32 `json:"oneTimeIds"` // not yet used
	UsedKEMIDs           []uint32 `json:"usedKemIds"` // once for each use
}

// Fingerprint is a safety number. Scannable is nil if the package has none.
type Fingerprint struct {
	Digits    string `json:"digits"`
	Scannable []byte `json:"scannable"`
}

// Snapshot is all that a peer keeps.
type Snapshot json.RawMessage

// Error is what the package answered.
type Error struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Name + ": " + e.Message }

// Start starts a peer of package p, called name, with a new identity. It ends
// with the test. If Node or the packages cannot be had, the test fails.
func Start(t testing.TB, p Package, name string) *Peer {
	t.Helper()
	modules, err := install()
	if err != nil {
		t.Fatal(err)
	}
	stderr := &tail{}
	cmd := exec.Command("node", filepath.Join(folder(), "peer.mjs"), string(p), name)
	cmd.Env = append(os.Environ(), "WAXWING_PEERS="+modules)
	cmd.Stderr = stderr
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peer := &Peer{Name: name, t: t, stdin: stdin, lines: make(chan []byte), stderr: stderr}
	stop, readers := make(chan struct{}), sync.WaitGroup{}
	readers.Go(func() { peer.read(stdout, stop) })
	t.Cleanup(func() {
		stdin.Close() // which ends it, unless it hangs
		kill := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		close(stop)
		readers.Wait()
		cmd.Wait()
		kill.Stop()
	})
	peer.answer("start")
	if err := peer.call("identity", nil, &peer.Identity); err != nil {
		t.Fatal(err)
	}
	return peer
}

// Bundle makes new prekeys and returns them, with or without a one-time key.
func (p *Peer) Bundle(oneTime bool) Bundle {
	p.t.Helper()
	var b Bundle
	p.must("bundle", map[string]any{"oneTime": oneTime}, &b)
	return b
}

// Process starts a session with remote from its bundle.
func (p *Peer) Process(remote string, b Bundle) error {
	p.t.Helper()
	return p.call("process", map[string]any{"remote": remote, "bundle": b}, nil)
}

// Encrypt encrypts plaintext for remote.
func (p *Peer) Encrypt(remote string, plaintext []byte) (Message, error) {
	p.t.Helper()
	var m Message
	err := p.call("encrypt", map[string]any{"remote": remote, "plaintext": plaintext}, &m)
	return m, err
}

// Decrypt decrypts a message of remote.
func (p *Peer) Decrypt(remote string, m Message) (plaintext []byte, err error) {
	p.t.Helper()
	err = p.call("decrypt", map[string]any{"remote": remote, "preKey": m.PreKey, "body": m.Body}, &plaintext)
	return plaintext, err
}

// Distribution returns the peer's SenderKeyDistributionMessage of a group, a
// UUID in its text form. The first call makes the sender key.
func (p *Peer) Distribution(group string) []byte {
	p.t.Helper()
	var body []byte
	p.must("skdm", map[string]any{"distribution": group}, &body)
	return body
}

// ProcessDistribution takes the SenderKeyDistributionMessage of remote.
func (p *Peer) ProcessDistribution(remote string, body []byte) error {
	p.t.Helper()
	return p.call("process-skdm", map[string]any{"remote": remote, "body": body}, nil)
}

// GroupEncrypt encrypts plaintext for a group, with the peer's sender key.
func (p *Peer) GroupEncrypt(group string, plaintext []byte) (body []byte, err error) {
	p.t.Helper()
	err = p.call("gencrypt", map[string]any{"distribution": group, "plaintext": plaintext}, &body)
	return body, err
}

// GroupDecrypt decrypts a SenderKeyMessage of remote.
func (p *Peer) GroupDecrypt(remote string, body []byte) (plaintext []byte, err error) {
	p.t.Helper()
	err = p.call("gdecrypt", map[string]any{"remote": remote, "body": body}, &plaintext)
	return plaintext, err
}

// Sign signs message with the peer's identity key (XEdDSA).
func (p *Peer) Sign(message []byte) (signature []byte) {
	p.t.Helper()
	p.must("sign", map[string]any{"message": message}, &signature)
	return signature
}

// Verify says whether the package accepts signature. It is an error if the
// package throws, as some do for a signature that is wrong.
func (p *Peer) Verify(key, message, signature []byte) (ok bool, err error) {
	p.t.Helper()
	err = p.call("verify", map[string]any{"key": key, "message": message, "signature": signature}, &ok)
	return ok, err
}

// Fingerprint returns the safety number between the peer, whose identifier is
// localID, and another. version is that of the scannable form.
func (p *Peer) Fingerprint(version int, localID, remoteID, remoteKey []byte) Fingerprint {
	p.t.Helper()
	var f Fingerprint
	p.must("fingerprint", map[string]any{"version": version, "localId": localID, "remoteId": remoteID, "remoteKey": remoteKey}, &f)
	return f
}

// Compare compares two scannable fingerprints as the package does.
func (p *Peer) Compare(ours, theirs []byte) (same bool, err error) {
	p.t.Helper()
	err = p.call("compare", map[string]any{"ours": ours, "theirs": theirs}, &same)
	return same, err
}

// State tells what the peer has.
func (p *Peer) State(remote string) State {
	p.t.Helper()
	var s State
	p.must("state", map[string]any{"remote": remote}, &s)
	return s
}

// Snapshot returns all that the peer keeps; Restore puts it back.
func (p *Peer) Snapshot() Snapshot {
	p.t.Helper()
	var s json.RawMessage
	p.must("snapshot", nil, &s)
	return Snapshot(s)
}

// Restore makes the peer what it was when s was taken, as a backup would.
func (p *Peer) Restore(s Snapshot) {
	p.t.Helper()
	p.must("restore", map[string]any{"snapshot": json.RawMessage(s)}, nil)
}

// must is call for what a package has no reason to refuse.
func (p *Peer) must(op string, args map[string]any, result any) {
	p.t.Helper()
	if err := p.call(op, args, result); err != nil {
		p.t.Fatalf("%s: %s: %v", p.Name, op, err)
	}
}

// call runs one operation. The error is of type *Error.
func (p *Peer) call(op string, args map[string]any, result any) error {
	p.t.Helper()
	request := map[string]any{"op": op}
	for k, v := range args {
		request[k] = v
	}
	line, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("%s: %s: %v\n%s", p.Name, op, err, p.stderr)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *Error          `json:"error"`
	}
	if err := json.Unmarshal(p.answer(op), &answer); err != nil {
		p.t.Fatalf("%s: %s: %v", p.Name, op, err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result, result); err != nil {
			p.t.Fatalf("%s: %s: %v", p.Name, op, err)
		}
	}
	return nil
}

// answer waits for the next line of the process.
func (p *Peer) answer(op string) []byte {
	p.t.Helper()
	timer := time.NewTimer(answerTimeout)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("%s: %s: the peer has ended\n%s", p.Name, op, p.stderr)
		}
		return line
	case <-timer.C:
		p.t.Fatalf("%s: %s: no answer within %v\n%s", p.Name, op, answerTimeout, p.stderr)
	}
	return nil
}

// read passes lines on until stdout ends, or without passing them once stop is closed.
func (p *Peer) read(stdout io.Reader, stop <-chan struct{}) {
	defer close(p.lines)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, answerBytesMax)
	for lines.Scan() {
		select {
		case p.lines <- bytes.Clone(lines.Bytes()):
		case <-stop:
		}
	}
}

// install returns the folder in which the packages are, after installing them
// if they are missing or not those of package-lock.json.
var install = sync.OnceValues(func() (string, error) {
	script := filepath.Join(folder(), "..", "..", "..", "scripts", "install-tools.sh")
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", script, "peers")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the peers cannot be installed: %w\n%s", err, &said)
	}
	return strings.TrimSpace(out.String()), nil
})

// folder is where this file is.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b...)
	t.end = t.end[max(0, len(t.end)-stderrBytesMax):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.end)
}
