package service

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// The public-good instance of Rekor has a page for each of its entries, and
// `tlogistry verify` asks it for records of this issuer's identities by itself.
const (
	publicRekor  = "https://rekor.sigstore.dev"
	publicSearch = "https://search.sigstore.dev/?logIndex="
	usualIssuer  = "https://accounts.google.com"
)

// newPages returns the pages of a log, under the rules that pulls have.
func newPages(log Backend, c config.Config, registries *upstream.Client, clients *limit.Clients, logger *slog.Logger) *page.Pages {
	pages := log.Pages
	pages.Registry = registries
	pages.Allow = c.Allow
	pages.Trusted, pages.Mutable = c.Trusted, c.Mutable
	pages.Clients = clients
	pages.Logger = logger
	return page.New(pages)
}

// home returns what answers outside /v2/: the pages, and the log's own files,
// if it has such.
func home(pages, files http.Handler) http.Handler {
	if files == nil {
		return pages
	}
	mux := http.NewServeMux() // for /tlog alone: it rewrites what the pages refuse
	mux.Handle("/tlog/", files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tlog" || strings.HasPrefix(r.URL.Path, "/tlog/") {
			mux.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// rekorPages says what pages tell of a log on Rekor.
func rekorPages(c config.Config, log *rekorlog.Log, subject func(context.Context) (string, error)) page.Config {
	return page.Config{
		Log:     reader{log},
		Address: c.RekorURL.String(),
		Issuer:  c.IdentityIssuer,
		Subject: subject,
		Entry: func(s record.Sighting, _ record.Proof) string {
			if c.RekorURL.String() == publicRekor {
				return publicSearch + strconv.FormatInt(s.Index, 10)
			}
			return c.RekorURL.JoinPath("api/v1/log/entries", s.UUID).String()
		},
		Others: log.Some,
		Flags:  rekorFlags(c),
	}
}

// rekorFlags are those of `tlogistry verify` for what is not its default.
func rekorFlags(c config.Config) []string {
	var flags []string
	if c.RekorURL.String() != publicRekor {
		flags = append(flags, "--rekor", c.RekorURL.String())
	}
	if c.TrustedRoot != "" {
		flags = append(flags, "--trusted-root", "trusted_root.json") // the caller's copy of it
	}
	if c.IdentityIssuer != usualIssuer {
		flags = append(flags, "--issuer", c.IdentityIssuer)
	}
	if len(c.Trusted) > 0 {
		var pairs []string
		for _, id := range c.Trusted {
			pairs = append(pairs, id.Issuer+"="+id.Subject)
		}
		flags = append(flags, "--trusted", strings.Join(pairs, ","))
	}
	return flags
}

// A reader looks up records for who does not write.
type reader struct{ *rekorlog.Log }

func (r reader) Lookup(ctx context.Context, ref string) ([]record.Sighting, error) {
	return r.Find(ctx, ref)
}
