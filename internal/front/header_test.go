package front_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// noise is what clients send and no registry is to see.
var noise = []string{
	"Authorization", "Bearer s3cret",
	"Cookie", "session=s3cret",
	"Proxy-Authorization", "Basic s3cret",
	"X-Registry-Auth", "s3cret",
	"X-Goog-Iap-Jwt-Assertion", "s3cret",
	"X-Serverless-Authorization", "s3cret",
	"X-Forwarded-For", "192.0.2.1",
	"Forwarded", "for=192.0.2.1",
	"Referer", "https://s3cret.example/",
	"User-Agent", "client/1.0",
	"Accept", "application/vnd.docker.distribution.manifest.v1+json",
	"Accept-Encoding", "zstd, gzip",
	"Range", "bytes=0-3",
	"If-Range", `"etag"`,
	"If-None-Match", `"etag"`,
	"If-Modified-Since", "Sun, 09 Sep 2001 01:46:40 GMT",
	"Cache-Control", "no-cache",
	"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}

// No header of a client goes to a registry but Range and If-Range for a blob,
// and Accept for what is passed through.
func TestClientHeadersStay(t *testing.T) {
	const (
		all = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
		own = "application/vnd.docker.distribution.manifest.v1+json"
	)
	digest := digestOf(blob)
	always := map[string]string{"User-Agent": "tlogistry", "Accept-Encoding": "identity"}
	tests := []struct {
		rest string
		sent map[string]string
	}{
		{"manifests/1.0", map[string]string{"Accept": all}},
		{"manifests/" + digest, map[string]string{"Accept": all}},
		{"manifests/sha256-" + strings.Repeat("0", 64) + ".sig", map[string]string{"Accept": own}},
		{"tags/list", map[string]string{"Accept": own}},
		{"referrers/" + digest, map[string]string{"Accept": own}},
		{"blobs/" + digest, map[string]string{"Range": "bytes=0-3", "If-Range": `"etag"`}},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "HEAD"} {
			t.Run(method+" "+tt.rest, func(t *testing.T) {
				s := newSite(t, setup{})
				s.do(method, "/v2/registry.test/app/"+tt.rest, noise...)
				for _, r := range s.origin.requests {
					if r.Host != s.origin.url.Host || r.URL.RawQuery != "" || r.ContentLength != 0 {
						t.Errorf("asked %s of %s", r.URL, r.Host)
					}
					sent := map[string]string{}
					for name, values := range r.Header {
						sent[name] = strings.Join(values, "|")
					}
					wanted := maps.Clone(always)
					if r.URL.Path != "/v2/" {
						maps.Copy(wanted, tt.sent)
					}
					if !maps.Equal(sent, wanted) {
						t.Errorf("%s %s: sent %v, want %v", r.Method, r.URL, sent, wanted)
					}
				}
				if len(s.origin.requests) < 2 {
					t.Errorf("only %v asked", s.origin.asked())
				}
			})
		}
	}
}

// junk is what registries send and no client is to see.
func junk(h http.Header) {
	for _, name := range []string{
		"Set-Cookie", "WWW-Authenticate", "Authorization", "Server", "Via", "Strict-Transport-Security",
		"Access-Control-Allow-Origin", "Content-Security-Policy", "Clear-Site-Data", "Refresh", "Location",
		"X-Content-Type-Options", "Docker-Distribution-Api-Version", "Content-Disposition", "Content-Language",
		"Tlog-Uuid", "Tlog-Logindex", "Tlog-Integratedtime", "Tlog-First-Seen", "X-Accel-Redirect", "Alt-Svc",
		"Warning", "Age", "Cache-Control", "Vary", "Trailer", "Allow", "Oci-Namespace",
	} {
		h.Set(name, "junk")
	}
	h.Set("Link", `<https://evil.example/>; rel="preload"`)
	h.Set("Retry-After", "1")
	h.Set("Date", "Sun, 09 Sep 2001 01:46:40 GMT")
}

// No header of a registry goes to a client but those that are named here.
func TestRegistryHeadersStay(t *testing.T) {
	manifest, digest := image("app")
	allowed := []string{
		"ETag", `"etag"`, "Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT",
		"Ratelimit-Limit", "100;w=21600", "Ratelimit-Remaining", "99;w=21600",
	}
	with := func(more ...string) []string { return slices.Concat(allowed, more) }
	answers := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			junk(w.Header())
			if r.URL.Path == "/v2/" {
				return
			}
			w.Header().Set("Content-Type", contentType)
			for pair := range slices.Chunk(allowed, 2) {
				w.Header().Set(pair[0], pair[1])
			}
			w.Header().Set("OCI-Subject", digest)
			w.Header().Set("OCI-Filters-Applied", "artifactType")
			w.Header().Set("Accept-Ranges", "bytes")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	sig := "sha256-" + strings.Repeat("0", 64) + ".sig"
	limits := []string{"Ratelimit-Limit", "100;w=21600", "Ratelimit-Remaining", "99;w=21600", "Retry-After", "1"}
	tests := []struct {
		name, rest string
		answer     http.HandlerFunc
		want       answer
	}{
		{"digest", "manifests/" + digest, answers(200, manifestType, manifest),
			want(200, manifest, with("Content-Type", manifestType, "Docker-Content-Digest", digest, "Oci-Subject", digest)...)},
		{"derived", "manifests/" + sig, answers(200, manifestType, manifest),
			want(200, manifest, with("Content-Type", manifestType, "Docker-Content-Digest", digest, "Oci-Subject", digest, "OCI-Filters-Applied", "artifactType")...)},
		{"tags", "tags/list", answers(200, "text/html", `{"name":"registry.test/app"}`),
			want(200, `{"name":"registry.test/app"}`, with("Content-Type", "application/json", "Oci-Subject", digest, "OCI-Filters-Applied", "artifactType")...)},
		{"referrers", "referrers/" + digest, answers(200, "text/html", `{"manifests":[]}`),
			want(200, `{"manifests":[]}`, with("Content-Type", indexType, "Oci-Subject", digest, "OCI-Filters-Applied", "artifactType")...)},
		{"blob", "blobs/" + digest, answers(200, "text/html", manifest),
			want(200, manifest, with("Content-Type", "application/octet-stream", "Docker-Content-Digest", digest, "Accept-Ranges", "bytes")...)},
		{"limited", "manifests/1.0", answers(429, "text/html", "no"),
			wantError(429, "TOOMANYREQUESTS", "registry registry.test limits the requests of this service", "", limits...)},
		{"unknown", "blobs/" + digest, answers(404, "text/html", "no"),
			wantError(404, "BLOB_UNKNOWN", "registry.test/app@"+digest+" is not known to registry registry.test", "", limits...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, setup{})
			s.origin.answers(tt.answer)
			check(t, "GET", s.do("GET", "/v2/registry.test/app/"+tt.rest), tt.want)
		})
	}
	t.Run("tag", func(t *testing.T) {
		s := newSite(t, setup{})
		s.origin.answers(answers(200, manifestType, manifest))
		got := s.do("GET", appPath)
		rec := only(t, s.store, appRef)
		check(t, "GET", got, served(manifest, rec).with(with("Oci-Subject", digest, "Tlog-First-Seen", "true")...))
		fresh, freshDigest := image("fresh")
		s.origin.answers(answers(200, manifestType, fresh))
		s.checkBoth(appPath, moved(appRef, freshDigest, rec))
	})
}
