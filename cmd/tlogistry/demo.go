package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	imageregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/embedded"
	"github.com/tlogistry/tlogistry/internal/service"
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show a recorded, a checked and a refused pull, offline",
		Long: `demo runs a registry, the front and its embedded log in this process, pulls
through them over HTTP, moves a tag, and audits the log. It needs no network and
leaves nothing behind.`,
		Example: "  tlogistry demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

// shown are the headers that a demonstration prints.
var shown = []string{"Docker-Content-Digest", "Tlog-First-Seen", "Tlog-Integratedtime", "Tlog-Logindex", "Tlog-Uuid"}

// A demo is a registry and a front that pulls from it.
type demo struct {
	out      io.Writer
	registry string // host:port
	front    string
	logDir   string
}

func runDemo(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "tlogistry-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{out: out, logDir: dir}
	quiet := log.New(io.Discard, "", 0)
	stop, err := listen(&d.registry, imageregistry.New(imageregistry.Logger(quiet)))
	if err != nil {
		return err
	}
	defer stop()
	s, err := d.service(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	stop, err = listen(&d.front, s.Handler)
	if err != nil {
		return err
	}
	defer stop()
	return d.play(ctx)
}

// service makes the front as serve does, for the demonstration's registry.
func (d *demo) service(ctx context.Context) (*service.Service, error) {
	env := map[string]string{
		"TLOG":      config.Local,
		"TLOG_DIR":  d.logDir,
		"UPSTREAMS": "docker.io=http://" + d.registry,
	}
	c, err := config.Load(func(name string) string { return env[name] })
	if err != nil {
		return nil, err
	}
	return service.New(ctx, c, slog.New(slog.DiscardHandler), service.Options{Local: embedded.Open})
}

func (d *demo) play(ctx context.Context) error {
	one, err := random.Image(64, 1)
	if err != nil {
		return err
	}
	two, err := random.Image(64, 1)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		title string
		image v1.Image // pushed before
		want  int
	}{
		{"The first pull of a tag records its digest.", one, http.StatusOK},
		{"A later pull is checked against the record.", nil, http.StatusOK},
		{"Somebody moves the tag. The pull is refused.", two, http.StatusForbidden},
		{"The tag moves back. It is served again.", one, http.StatusOK},
	} {
		fmt.Fprintf(d.out, "# %s\n", step.title)
		if step.image != nil {
			if err := d.push(ctx, step.image); err != nil {
				return err
			}
		}
		if err := d.pull(ctx, step.want); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "# Anybody can check the whole log.\n$ TLOG_DIR=%s tlogistry audit\n", d.logDir)
	c := config.Config{Log: config.Local, LogDir: d.logDir}
	r, _, err := auditTiles(ctx, sourceFlags{}, c, nil, func(int, int) {})
	if err != nil {
		return err
	}
	if err := (printer{}).report(d.out, r); err != nil {
		return err
	}
	if !r.Clean || r.Tags != 1 {
		return errors.New("the audit did not find what the demonstration recorded")
	}
	return nil
}

// push makes the tag name an image at the registry.
func (d *demo) push(ctx context.Context, image v1.Image) error {
	tag, err := name.NewTag(d.registry+"/library/alpine:3.16.0", name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(tag, image, remote.WithContext(ctx))
}

// pull asks for the tag's manifest as a client does, and prints the answer.
func (d *demo) pull(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	url := "http://" + d.front + "/v2/alpine/manifests/3.16.0"
	fmt.Fprintf(d.out, "$ docker pull %s/alpine:3.16.0    # or: curl -i %s\n", d.front, url)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintln(d.out, resp.Status)
	for _, name := range shown {
		if v := resp.Header.Get(name); v != "" {
			fmt.Fprintf(d.out, "%s: %s\n", name, v)
		}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "\n%s", body)
	}
	fmt.Fprintln(d.out)
	if resp.StatusCode != want {
		return fmt.Errorf("the answer was %s, want status %d", resp.Status, want)
	}
	return nil
}

// listen serves a handler on a free port of this machine, sets where, and
// returns what stops it.
func listen(where *string, h http.Handler) (stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	*where = net.JoinHostPort("localhost", port)
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // ends with ErrServerClosed
	}()
	return func() {
		_ = s.Close()
		<-served
	}, nil
}
