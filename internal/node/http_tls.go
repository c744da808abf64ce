package node

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is the HTTP listener's, read again when its files have changed, so
// that one that is renewed needs no restart.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	written [2]time.Time // when the files of loaded were
	looked  time.Time    // when they were looked at last
}

// certificateLook is how often files are looked at, at most.
const certificateLook = 10 * time.Second

// loadCertificate reads a certificate, with its chain, and its key, in PEM.
func loadCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	return c, c.read()
}

// config is for the listener.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
}

// get implements tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= certificateLook && c.changed() {
		if err := c.read(); err != nil {
			c.logger.Warn("the certificate of the HTTP listener has changed and cannot be read; the old one is used", "error", err)
		} else {
			c.logger.Info("the certificate of the HTTP listener was read again")
		}
	}
	return c.loaded, nil
}

func (c *certificate) changed() bool {
	c.looked = time.Now()
	written, err := c.times()
	return err == nil && written != c.written
}

func (c *certificate) times() (at [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, statErr := os.Stat(name)
		if err = errors.Join(err, statErr); statErr == nil {
			at[i] = info.ModTime()
		}
	}
	return at, err
}

// read takes the files in. The times are from before, so that what is written
// meanwhile is seen next time.
func (c *certificate) read() error {
	written, err := c.times()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.loaded, c.written, c.looked = &pair, written, time.Now()
	return nil
}
