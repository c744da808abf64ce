package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
)

// inspectBytesMax bounds what is read.
const inspectBytesMax = lineBytesMax

func newSealInspectCommand() *cobra.Command {
	out := newOutputFlag()
	encoding := newEnum("auto", "raw", "base64", "hex", "json")
	cmd := &cobra.Command{
		Use:   "inspect [FILE]",
		Short: "Show the public parts of a sealed message, or of a key's file",
		Long: `Shows what everybody can read in a sealed message, from a file or stdin: the profile,
the kind, the session's tag; of a message that begins a session also who says to have
sent it to whom, the lane, the certificate and the prekeys that it names; of the ratchet
its key and numbers, which waxwing-he hides; and sizes. It needs no keys. Nothing is
verified: whoever receives the message finds out whether all that is true.

The message may be as it is, in base64 or hexadecimal, or one or more JSON objects as
"waxwing consume --json", "waxwing get --json" and "waxwing dlq show -o json" print them;
--encoding says which, if it must not be guessed.

Of files that "waxwing seal" has made it shows the public parts, too: the key of a root or
an identity, a certificate, a request, a storage key's id.`,
		Example: `  waxwing consume orders --from-beginning --max-messages 1 --json | waxwing seal inspect
  waxwing seal inspect message.bin --output json
  waxwing seal inspect payments.request`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readInspected(cmd, fileOrStdin(args))
			if err != nil {
				return err
			}
			things, err := inspect(text, encoding.value)
			if errors.Is(err, errForeign) {
				err = fmt.Errorf("%s: %w", inspectedName(args), err)
			}
			if out.json() {
				return errors.Join(printJSON(cmd.OutOrStdout(), things), err)
			}
			for i, t := range things {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				t.print(cmd.OutOrStdout())
			}
			return err
		},
	}
	addEnum(cmd, encoding, "encoding", "", "how the message is written")
	out.addTo(cmd)
	return cmd
}

// readInspected reads the whole of a file, or of stdin.
func readInspected(cmd *cobra.Command, from string) ([]byte, error) {
	in := cmd.InOrStdin()
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, inspectBytesMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > inspectBytesMax:
		return nil, fmt.Errorf("there are more than %d bytes", inspectBytesMax)
	case len(bytes.TrimSpace(text)) == 0 && from == "-":
		return nil, errors.New("nothing on stdin")
	case len(bytes.TrimSpace(text)) == 0:
		return nil, fmt.Errorf("%s is empty", from)
	}
	return text, nil
}

// errForeign says that a text is nothing that can be inspected.
var errForeign = errors.New("neither a sealed message nor a file of waxwing seal")

// inspectedName is how errors call what is inspected.
func inspectedName(args []string) string {
	if from := fileOrStdin(args); from != "-" {
		return from
	}
	return "stdin"
}

// inspected is something whose public parts can be shown.
type inspected interface{ print(w io.Writer) }

// inspect shows all that there is in a text, and errors for the rest.
func inspect(text []byte, encoding string) ([]inspected, error) {
	things := []inspected{}
	if encoding == "json" || encoding == "auto" && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		var failed failures
		err := eachJSONBody(text, func(n int, body []byte) {
			t, err := inspectOne(body)
			if t != nil {
				things = append(things, t)
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("object %d: %w", n, err))
			}
		})
		if err != nil {
			failed = append(failed, err)
		}
		return things, failed.err()
	}
	body, err := decodeBody(text, encoding)
	if err != nil {
		return things, err
	}
	t, err := inspectOne(body)
	if t != nil {
		things = append(things, t)
	} else if errors.Is(err, seal.ErrNotSealed) {
		err = errForeign
	}
	return things, err
}

// eachJSONBody calls do with the body of each object that there is.
func eachJSONBody(text []byte, do func(n int, body []byte)) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	for n := 1; ; n++ {
		var o struct {
			Value       *string `json:"value"`
			ValueBase64 []byte  `json:"value_base64"`
			Body        *string `json:"body"`
			BodyBase64  []byte  `json:"body_base64"`
		}
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("object %d: %w", n, err)
		}
		body := append(o.ValueBase64, o.BodyBase64...)
		for _, s := range []*string{o.Value, o.Body} {
			if len(body) == 0 && s != nil {
				body = []byte(*s)
			}
		}
		do(n, body)
	}
}

// magics are what envelopes and certificates begin with.
var magics = []string{"WXS", "WXC"}

// begins says whether a text begins as something that can be inspected.
func begins(text []byte, with ...string) bool {
	for _, m := range with {
		if bytes.HasPrefix(text, []byte(m)) {
			return true
		}
	}
	return false
}

// decodeBody undoes an encoding. What is guessed is as it is, unless it is text that
// becomes an envelope or a certificate.
func decodeBody(text []byte, encoding string) ([]byte, error) {
	switch {
	case encoding == "hex":
		return decodeHex(text)
	case encoding == "base64":
		return decodeBase64(text)
	case encoding == "raw" || begins(text, append(magics, keyLabel)...):
		return text, nil
	}
	for _, decode := range []func([]byte) ([]byte, error){decodeHex, decodeBase64} {
		if b, err := decode(text); err == nil && begins(b, magics...) {
			return b, nil
		}
	}
	return text, nil
}

// packed is a text without white space.
func packed(text []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text))
}

func decodeHex(text []byte) ([]byte, error) {
	b, err := hex.DecodeString(packed(text))
	if err != nil {
		return nil, errors.New("this is not hexadecimal")
	}
	return b, nil
}

// decodeBase64 reads either alphabet, with or without padding.
func decodeBase64(text []byte) ([]byte, error) {
	s := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(packed(text), "="))
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("this is not base64")
	}
	return b, nil
}

// inspectOne shows one thing. Of an envelope that is damaged it shows what can be read,
// and returns an error, too.
func inspectOne(b []byte) (inspected, error) {
	switch {
	case begins(b, keyLabel):
		k, err := decodeKey(b)
		if err != nil {
			return nil, err
		}
		return newKeyJSON(k), nil
	case begins(b, "WXC"):
		c, err := seal.ParseCertificate(b)
		if err != nil {
			return nil, sealError(err)
		}
		return newKeyJSON(aKey{certificate: c}), nil
	}
	env, err := seal.ParseEnvelope(b)
	if err != nil {
		return nil, sealError(err)
	}
	e := newEnvelopeJSON(env, len(b))
	if len(e.Problems) > 0 {
		return e, errors.New(e.Problems[0])
	}
	return e, nil
}

// writeField writes a line.
func writeField(w io.Writer, name, value string) { fmt.Fprintf(w, "%-16s %s\n", name+":", value) }
