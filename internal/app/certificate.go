package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Certificates are looked after so often; what ends within expirySoon is
// reported.
const (
	certEvery  = 10 * time.Second
	expirySoon = 3 * 24 * time.Hour
)

// certificate is a pair of files that are read again when they change, so that
// a renewed certificate needs no restart. Files that cannot be used leave in
// force what was there before.
type certificate struct {
	certFile, keyFile string

	current atomic.Pointer[tls.Certificate]
	stamp   [2]time.Time // of the files that current was read from
	fault   error        // of the latest reading
}

// certificates are those in use.
type certificates struct {
	mu   sync.Mutex
	list []*certificate
}

// certificate loads a pair of files that must be good, and has it looked after.
func (a *App) certificate(certFile, keyFile string) (*certificate, error) {
	a.certs.mu.Lock()
	defer a.certs.mu.Unlock()
	for _, c := range a.certs.list {
		if c.certFile == certFile && c.keyFile == keyFile {
			return c, nil
		}
	}
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if _, err := c.refresh(); err != nil {
		return nil, fmt.Errorf("load TLS certificate: %w", err)
	}
	a.certs.list = append(a.certs.list, c)
	return c, nil
}

// config is what a listener needs.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// refresh reads the files if they have changed or could not be used the last
// time.
func (c *certificate) refresh() (changed bool, err error) {
	var stamp [2]time.Time
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return false, c.failed(err)
		}
		stamp[i] = info.ModTime()
	}
	if stamp == c.stamp && c.fault == nil {
		return false, nil
	}
	fresh, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return false, c.failed(fmt.Errorf("%s: %w", c.certFile, err))
	}
	c.current.Store(&fresh)
	c.stamp, c.fault = stamp, nil
	return true, nil
}

func (c *certificate) failed(err error) error {
	c.fault = err
	return err
}

// watchCertificates keeps the certificates fresh until ctx ends.
func (a *App) watchCertificates(ctx context.Context) error {
	tick := time.NewTicker(certEvery)
	defer tick.Stop()
	for {
		a.refreshCertificates(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// refreshCertificates reads what has changed, and says so where it cannot be
// used or is about to end.
func (a *App) refreshCertificates(ctx context.Context, now time.Time) {
	a.certs.mu.Lock()
	defer a.certs.mu.Unlock()
	var broken, ending []string
	for _, c := range a.certs.list {
		before := c.fault
		changed, err := c.refresh()
		switch {
		case changed:
			a.log.InfoContext(ctx, "a TLS certificate was read again", "file", c.certFile, "until", c.current.Load().Leaf.NotAfter)
		case err != nil && (before == nil || before.Error() != err.Error()):
			a.log.WarnContext(ctx, "a TLS certificate cannot be read, the one before stays in force", "file", c.certFile, "error", err)
		}
		if err != nil {
			broken = append(broken, err.Error())
		}
		if end := c.current.Load().Leaf.NotAfter; end.Sub(now) < expirySoon {
			ending = append(ending, fmt.Sprintf("%s ends %s", c.certFile, end.UTC().Format(time.RFC3339)))
		}
	}
	a.guard.Degrade("certificate_unreadable", "The certificate before stays in force. "+strings.Join(broken, "; "), len(broken) > 0)
	a.guard.Degrade("certificate_ending", cmp.Or(strings.Join(ending, "; "), "none"), len(ending) > 0)
}
