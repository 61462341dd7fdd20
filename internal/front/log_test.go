package front_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

// One line for each request, in the form that Cloud Logging reads.
func TestLogLine(t *testing.T) {
	app, digest := image("app")
	fresh, freshDigest := image("fresh")
	hex := strings.Repeat("0", 64)
	type line struct {
		severity string
		status   int
		size     int
		more     map[string]any // everything but time, severity, message and httpRequest
	}
	tag := map[string]any{"kind": "manifest", "reference": appRef}
	with := func(base map[string]any, more map[string]any) map[string]any {
		all := map[string]any{}
		maps.Copy(all, base)
		maps.Copy(all, more)
		return all
	}
	asked := func(n int, more map[string]any) map[string]any {
		return with(more, map[string]any{"registryRequests": float64(n)})
	}
	recorded := func(s record.Sighting, served, verdict string, asks int) map[string]any {
		return asked(asks, with(tag, map[string]any{"digest": served, "verdict": verdict, "recorded": s.Digest, "logIndex": float64(s.Index), "firstSeen": false}))
	}
	s := newSite(t, setup{})
	s.origin.push(t, "app", "1.0", app)
	s.origin.push(t, "app", "sha256-"+hex, app)
	n := 0
	step := func(method, path string, w line) {
		t.Helper()
		n++
		s.do(method, path+"?secret=s3cret", noise...)
		text := s.lines.wait(t, n)
		if len(text) != n {
			t.Fatalf("%d lines after %d requests: %q", len(text), n, text)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(text[n-1]), &got); err != nil {
			t.Fatalf("%v: %s", err, text[n-1])
		}
		for _, secret := range []string{"s3cret", "etag"} {
			if strings.Contains(text[n-1], secret) {
				t.Errorf("the line holds %s: %s", secret, text[n-1])
			}
		}
		r, _ := got["httpRequest"].(map[string]any)
		if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"])); err != nil || time.Since(at) > time.Minute {
			t.Errorf("time %v", got["time"])
		}
		if latency := fmt.Sprint(r["latency"]); !regexp.MustCompile(`^[0-9]+\.[0-9]{9}s$`).MatchString(latency) || latency == "0.000000000s" {
			t.Errorf("latency %s is not what Cloud Logging reads", latency)
		}
		if ms, ok := got["registryMs"].(float64); ok != (got["registryRequests"] != nil) || ok && (ms <= 0 || ms > 60_000) {
			t.Errorf("registryMs %v", got["registryMs"])
		}
		delete(got, "registryMs")
		delete(got, "time")
		delete(r, "latency")
		wanted := with(w.more, map[string]any{
			"severity": w.severity,
			"message":  "request",

			"logging.googleapis.com/trace":         "0af7651916cd43dd8448eb211c80319c",
			"logging.googleapis.com/spanId":        "b7ad6b7169203331",
			"logging.googleapis.com/trace_sampled": true,

			"httpRequest": map[string]any{
				"requestMethod": method, "requestUrl": path, "status": float64(w.status),
				"responseSize": float64(w.size), "userAgent": "client/1.0",
			},
		})
		if fmt.Sprint(got) != fmt.Sprint(wanted) {
			t.Errorf("%s %s:\ngot  %v\nwant %v", method, path, got, wanted)
		}
	}
	step("GET", "/", line{"INFO", http.StatusTeapot, len("home of /"), nil})
	step("GET", "/v2/", line{"INFO", 200, 2, nil})
	step("POST", "/v2/", line{"WARNING", 405, len(`{"errors":[{"code":"UNSUPPORTED","message":"this registry is read-only: only GET and HEAD are answered"}]}`) + 1, map[string]any{"error": "this registry is read-only: only GET and HEAD are answered"}})
	step("GET", "/v2/registry.test/App/manifests/1", line{"WARNING", 400, len(`{"errors":[{"code":"NAME_INVALID","message":"invalid repository name: \"App\""}]}`) + 1, map[string]any{"error": `invalid repository name: "App"`}})

	s.log.FailOnce(logtest.Lookup, errors.New("broken"))
	step("GET", appPath, line{"ERROR", 503, len(logDown("look up").body), asked(2, with(tag, map[string]any{"verdict": "unavailable", "error": "cannot look up the tag: broken"}))})
	s.log.FailOnce(logtest.Lookup, context.Canceled) // the client is still there
	step("GET", appPath, line{"ERROR", 503, len(logDown("look up").body), asked(1, with(tag, map[string]any{"verdict": "unavailable", "error": "cannot look up the tag: context canceled"}))})
	s.log.FailOnce(logtest.Add, errors.New("broken"))
	step("GET", appPath, line{"ERROR", 503, len(logDown("record").body), asked(1, with(tag, map[string]any{"verdict": "unavailable", "digest": digest, "error": "cannot record the tag: broken"}))})

	s.store.Lag(0)
	rec := func() record.Sighting { return s.store.Entries(appRef)[0] }
	n++
	s.do("GET", appPath, noise...)
	first := s.lines.wait(t, n)[n-1]
	if !strings.Contains(first, fmt.Sprintf(`"digest":%q,"verdict":"first","recorded":%q,"logIndex":%d,"firstSeen":true,"registryRequests":1,"registryMs":`, digest, digest, rec().Index)) {
		t.Errorf("first pull: %s", first)
	}
	step("GET", appPath, line{"INFO", 200, len(app), recorded(rec(), digest, "served", 1)})
	step("HEAD", appPath, line{"INFO", 200, 0, recorded(rec(), digest, "served", 1)})
	s.origin.push(t, "app", "1.0", fresh)
	w := moved(appRef, freshDigest, rec())
	var said struct{ Errors []struct{ Message string } }
	if err := json.Unmarshal([]byte(w.body), &said); err != nil {
		t.Fatal(err)
	}
	step("GET", appPath, line{"WARNING", 403, len(w.body), with(recorded(rec(), freshDigest, "moved", 2), map[string]any{"error": said.Errors[0].Message})})
	step("GET", "/v2/registry.test/app/manifests/"+digest, line{"INFO", 200, len(app), map[string]any{"kind": "manifest", "reference": "registry.test/app@" + digest}})
	step("GET", "/v2/registry.test/app/manifests/sha256-"+hex, line{"INFO", 200, len(app), asked(1, map[string]any{"kind": "manifest", "reference": "registry.test/app:sha256-" + hex})})
	s.origin.put(t, "POST", "/v2/app/blobs/uploads/?digest="+blobDigest, "application/octet-stream", blob)
	step("HEAD", blobPath, line{"INFO", 200, 0, asked(1, map[string]any{"kind": "blob", "reference": "registry.test/app@" + blobDigest})})
	step("GET", "/v2/127.0.0.1/app/tags/list", line{"WARNING", 403, len(`{"errors":[{"code":"DENIED","message":"registry 127.0.0.1 is at an address that this service does not connect to"}]}`) + 1, asked(1, map[string]any{"kind": "tags", "reference": "127.0.0.1/app",
		"error": "registry 127.0.0.1 is at an address that this service does not connect to: dial tcp 127.0.0.1:443: forbidden address: 127.0.0.1 is not on the public internet"})})
	s.server.Close() // waits for every handler
	if all := s.lines.wait(t, n); len(all) != n {
		t.Errorf("%d lines for %d requests: %q", len(all), n, slices.Clip(all))
	}
}
