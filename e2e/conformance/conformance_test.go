package conformance

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/registry"
)

// The suite runs against the registry itself, with nothing in between: what
// fails here is the harness.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options registry.Options
	}{
		{"token", registry.Options{Token: true, Referrers: true}},
		// Not both: the suite sends its token on to another port of the same
		// host name, as Go's HTTP client does, and the store refuses that.
		{"redirect", registry.Options{Redirect: true, Referrers: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, seed := start(t, tt.options)
			got, err := Run(t.Context(), r.URL(), "library/alpine", seed)
			if err != nil {
				t.Fatal(err)
			}
			// HEAD and GET of 2 tags, 4 manifests and 3 blobs; referrers of 2
			// subjects are one test, as are tag list and ping; 2 of the group
			// empty, 2 of missing-manifest and 1 of invalid-digest-format.
			if got.Passed != 2*(2+4+3)+3+2+2+1 || got.Failed != 0 {
				t.Errorf("got %+v, want 26 passed and none failed", got)
			}
		})
	}
}

func start(t *testing.T, o registry.Options) (*registry.Registry, Seed) {
	t.Helper()
	r, err := registry.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	seed, err := Push(t.Context(), r, "library/alpine")
	if err != nil {
		t.Fatal(err)
	}
	return r, seed
}

// A registry that breaks two rules fails tests, and those only.
func TestRunFindsFaults(t *testing.T) {
	r, seed := start(t, registry.Options{Referrers: true})
	target, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(resp *http.Response) error {
		switch {
		case strings.HasSuffix(resp.Request.URL.Path, "/manifests/conformance-image") && resp.Request.Method == http.MethodHead:
			resp.StatusCode = http.StatusTeapot
		case resp.StatusCode == http.StatusNotFound:
			resp.StatusCode = http.StatusForbidden
		}
		return nil
	}
	front := httptest.NewServer(proxy)
	defer front.Close()
	got, err := Run(t.Context(), front.URL, "library/alpine", seed)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range got.Failures {
		name, message, _ := strings.Cut(f, ": ")
		if message == "" {
			t.Errorf("%s failed without a message", name)
		}
		names = append(names, strings.TrimPrefix(name, "OCI Conformance Test/"))
	}
	want := []string{"read-only/head/manifest-head-by-tag", "missing-manifest/by-digest", "missing-manifest/by-tag"}
	if !reflect.DeepEqual(names, want) || got.Failed != len(want) || got.Passed != 26-len(want) {
		t.Errorf("got %d passed, failures %q; want %d passed, failures of %q", got.Passed, got.Failures, 26-len(want), want)
	}
}

func TestRunRefuses(t *testing.T) {
	good := Seed{Tags: []string{"a"}, Manifests: []string{"b"}, Blobs: []string{"c"}, Referrers: []string{"d"}}
	trailing := good
	trailing.Tags = []string{"a", ""}
	for _, tt := range []struct {
		name, baseURL string
		seed          Seed
		want          string
	}{
		{"no scheme", "localhost:1", good, `base URL "localhost:1": want http://HOST or https://HOST`},
		{"nothing to ask for", "http://localhost:1", Seed{}, `seed: bad tags []`},
		{"an empty tag", "http://localhost:1", trailing, `seed: bad tags ["a" ""]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Run(t.Context(), tt.baseURL, "repo", tt.seed); err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
	// Digests that are none make the suite give up, with exit code 0.
	_, err := Run(t.Context(), "http://localhost:1", "repo", good)
	if err == nil || !strings.Contains(err.Error(), "failed to parse manifest digest b") {
		t.Errorf("a suite that gave up: error %v", err)
	}
}

func TestParse(t *testing.T) {
	const report = `<testsuites><testsuite>
		<testcase name="a" status="passed"></testcase>
		<testcase name="b" status="failure"><system-out>expected 200</system-out></testcase>
		<testcase name="c" status="error"><system-out>broken</system-out></testcase>
		<testcase name="d" status="skipped"></testcase>
	</testsuite></testsuites>`
	got, err := parse(strings.NewReader(report))
	if err != nil {
		t.Fatal(err)
	}
	want := Result{Passed: 1, Failed: 2, Skipped: 1, Failures: []string{"b: expected 200", "c: broken"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "<testsuites>", strings.Replace(report, "passed", "unknown", 1)} {
		if got, err := parse(strings.NewReader(bad)); err == nil {
			t.Errorf("parse(%q) = %+v, want an error", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`<testsuites><testsuite><testcase name="a" status="passed"/></testsuite></testsuites>`)
	f.Add(`<testsuites><testsuite><testcase name="a" status="failure"><system-out>why</system-out></testcase></testsuite></testsuites>`)
	f.Add(`<testsuites`)
	f.Fuzz(func(t *testing.T, report string) {
		r, err := parse(strings.NewReader(report))
		if err == nil && len(r.Failures) != r.Failed {
			t.Errorf("%d failed, but %d failures", r.Failed, len(r.Failures))
		}
	})
}
