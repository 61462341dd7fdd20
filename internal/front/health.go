package front

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tlogistry/tlogistry/internal/ready"
)

// health answers whether the process answers, and whether the service has what
// it needs. Neither an answer nor an error means another path. Each has two
// names: Google's front end keeps some paths that end in z to itself on Cloud
// Run.
func (h *Handler) health(r *http.Request) (*answer, error) {
	live, ready := false, false
	switch r.URL.Path {
	case "/healthz", "/health/live":
		live = true
	case "/readyz", "/health/ready":
		ready = true
	}
	switch {
	case !live && !ready:
		return nil, nil
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return nil, errMethod
	case live:
		return &answer{status: http.StatusOK, header: healthHeader("text/plain; charset=utf-8"), body: []byte("ok\n")}, nil
	}
	inJSON := strings.Contains(strings.Join(r.Header["Accept"], ","), "application/json")
	return readiness(h.o.Ready.Report(r.Context()), inJSON), nil
}

func readiness(report ready.Report, inJSON bool) *answer {
	a := &answer{status: http.StatusOK}
	if !report.Ready {
		a.status = http.StatusServiceUnavailable
	}
	if inJSON {
		a.header = healthHeader("application/json")
		a.body, _ = json.Marshal(report) // strings and booleans cannot fail
		a.body = append(a.body, '\n')
		return a
	}
	a.header = healthHeader("text/plain; charset=utf-8")
	var b strings.Builder
	b.WriteString(readyOrNot(report.Ready, "") + "\n")
	for _, p := range report.Parts {
		b.WriteString(p.Name + ": " + readyOrNot(p.Ready, p.Reason) + "\n")
	}
	a.body = []byte(b.String())
	return a
}

func readyOrNot(ready bool, reason string) string {
	switch {
	case ready:
		return "ready"
	case reason == "":
		return "not ready"
	}
	return "not ready: " + reason
}

// healthHeader is for an answer that is true for a moment only.
func healthHeader(contentType string) http.Header {
	return http.Header{"Content-Type": {contentType}, "Cache-Control": {"no-store"}, "Vary": {"Accept"}}
}
