package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// An ending is how a command ended.
type ending struct {
	status      int
	out, stderr string
}

// cli runs the command with the given environment and no other.
func cli(t testing.TB, env []string, args ...string) ending {
	t.Helper()
	return cliReading(t, "", env, args...)
}

// cliReading is cli with in on standard input.
func cliReading(t testing.TB, in string, env []string, args ...string) ending {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Env = append([]string{"HOME=" + t.TempDir()}, env...)
	cmd.Stdin = strings.NewReader(in)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%q: %v, %v\n%s", args, err, ctx.Err(), stderr.String())
	}
	return ending{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// mustEnd fails the test unless the command ended so, with nothing on stderr.
func (e ending) mustEnd(t testing.TB, status int, out string) {
	t.Helper()
	if e.status != status || e.out != out || e.stderr != "" {
		t.Errorf("status %d, stderr %q, stdout:\n%s\nwant status %d and\n%s", e.status, e.stderr, e.out, status, out)
	}
}

// mustFail fails the test unless the command printed nothing but one line on
// stderr, with these texts in it.
func (e ending) mustFail(t testing.TB, status int, texts ...string) {
	t.Helper()
	if e.status != status || e.out != "" || strings.Count(e.stderr, "\n") != 1 || !strings.HasPrefix(e.stderr, "tlogistry: ") {
		t.Errorf("status %d, stdout %q, stderr %q; want status %d and one line", e.status, e.out, e.stderr, status)
	}
	for _, text := range texts {
		if !strings.Contains(e.stderr, text) {
			t.Errorf("stderr %q; want %q in it", e.stderr, text)
		}
	}
}

// mustPrint fails the test unless the command ended with the status, printed
// just this as JSON, and nothing on stderr. Of a reason, a part is enough.
func (e ending) mustPrint(t testing.TB, status int, want any) {
	t.Helper()
	if e.status != status || e.stderr != "" {
		t.Errorf("status %d, stderr %q; want status %d", e.status, e.stderr, status)
	}
	got := reflect.New(reflect.TypeOf(want))
	dec := json.NewDecoder(strings.NewReader(e.out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(got.Interface()); err != nil {
		t.Fatalf("%v in %q", err, e.out)
	}
	if list, ok := got.Interface().(*[]verdict); ok {
		for i, d := range want.([]verdict) {
			if i < len(*list) && d.Reason != "" && strings.Contains((*list)[i].Reason, d.Reason) {
				(*list)[i].Reason = d.Reason
			}
		}
	}
	if !reflect.DeepEqual(got.Elem().Interface(), want) {
		t.Errorf("got  %s\nwant %s", marshal(t, got.Interface()), marshal(t, want))
	}
}

// A verdict is what verify prints of a reference.
type verdict struct {
	Reference string  `json:"reference"`
	Verdict   string  `json:"verdict"`
	Recorded  string  `json:"recorded,omitempty"`
	FirstSeen string  `json:"firstSeen,omitempty"`
	LogIndex  *uint64 `json:"logIndex,omitempty"`
	UUID      string  `json:"uuid,omitempty"`
	Identity  string  `json:"identity,omitempty"`
	Issuer    string  `json:"issuer,omitempty"`
	Current   string  `json:"current,omitempty"`
	Reason    string  `json:"reason,omitempty"`
}

// An auditReport is what audit prints.
type auditReport struct {
	Log       string          `json:"log"`
	Identity  string          `json:"identity"`
	Issuer    string          `json:"issuer"`
	Size      int             `json:"size"`
	Entries   int             `json:"entries"`
	Records   int             `json:"records"`
	Tags      int             `json:"tags"`
	Conflicts []auditConflict `json:"conflicts"`
	Broken    []string        `json:"broken"`
	Unnamed   []string        `json:"unnamed"`
	Ignored   []string        `json:"ignored"`
	Clean     bool            `json:"clean"`
}

type auditConflict struct {
	Reference string     `json:"reference"`
	Records   []auditRow `json:"records"`
}

type auditRow struct {
	Digest   string `json:"digest"`
	LogIndex uint64 `json:"logIndex"`
	Time     string `json:"time"`
	UUID     string `json:"uuid"`
}

// A logged is where the log has a record, by the headers of the answer that
// came with it.
type logged struct {
	uuid, time string
	index      uint64
}

// pulled pulls a tag of docker.io/library/app for the first time.
func pulled(t testing.TB, s *service, tag, digest string) logged {
	t.Helper()
	a := s.get(t, "app", tag)
	a.mustServe(t, digest)
	index, err := strconv.ParseUint(a.header.Get("Tlog-Logindex"), 10, 64)
	if err != nil || a.header.Get("Tlog-First-Seen") != "true" {
		t.Fatalf("tag %s: first seen %q, log index %q", tag, a.header.Get("Tlog-First-Seen"), a.header.Get("Tlog-Logindex"))
	}
	return logged{a.header.Get("Tlog-Uuid"), a.header.Get("Tlog-Integratedtime"), index}
}

// verdict is the verdict on a tag of docker.io/library/app that was recorded.
func (l logged) verdict(tag, is, recorded, current string) verdict {
	return verdict{Reference: refOf(tag), Verdict: is, Recorded: recorded, FirstSeen: l.time, LogIndex: &l.index, UUID: l.uuid, Current: current}
}

func (l logged) row(digest string) auditRow { return auditRow{digest, l.index, l.time, l.uuid} }

// entryAt returns where the log has the entry of a UUID.
func (w *rekorWorld) entryAt(t testing.TB, uuid string) logged {
	t.Helper()
	var entries map[string]struct {
		LogIndex       uint64
		IntegratedTime int64
	}
	getJSON(t, w.RekorURL+createPath+"/"+uuid, &entries)
	e := entries[uuid]
	return logged{uuid, time.Unix(e.IntegratedTime, 0).UTC().Format(time.RFC3339), e.LogIndex}
}

// flags name the log and the identity, with Rekor behind the proxy.
func (w *rekorWorld) flags(args ...string) []string {
	return append(args, "--rekor", w.rekor.URL, "--trusted-root", w.TrustedRootPath, "--identity", sigstore.DefaultEmail, "--issuer", w.IssuerURL)
}

// upstreams is the only variable that has no flag.
func (w *rekorWorld) upstreams() []string { return []string{"UPSTREAMS=" + w.registry.Upstreams()} }

// verify runs verify by flags alone, and prints JSON.
func (w *rekorWorld) verify(t testing.TB, args ...string) ending {
	t.Helper()
	return cli(t, w.upstreams(), w.flags(append([]string{"verify", "-o", "json"}, args...)...)...)
}

// audit runs audit by flags alone, and prints JSON.
func (w *rekorWorld) audit(t testing.TB, args ...string) ending {
	t.Helper()
	w.settled(t) // it searches by another key than the service does
	return cli(t, nil, w.flags(append([]string{"audit", "-o", "json"}, args...)...)...)
}

// writes logs a proposal and returns where, once the index has it under the
// address that its certificate names.
func (w *rekorWorld) writes(t testing.TB, email string, proposal []byte) logged {
	t.Helper()
	uuid, _, err := w.Create(t.Context(), proposal)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "entry "+uuid+" under "+email, func() bool { return slices.Contains(w.byEmail(t, email), uuid) })
	return w.entryAt(t, uuid)
}

// byEmail returns the entries that the index has under an address.
func (w *rekorWorld) byEmail(t testing.TB, email string) []string {
	t.Helper()
	resp, err := http.Post(w.RekorURL+searchPath, "application/json", bytes.NewReader(marshal(t, object{"email": email})))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var uuids []string
	if err := json.NewDecoder(resp.Body).Decode(&uuids); err != nil {
		t.Fatal(err)
	}
	return uuids
}

// forget makes the log lose the statements of entries that are stored by now.
func (w *rekorWorld) forget(t *testing.T, entries ...logged) {
	t.Helper()
	for _, e := range entries {
		if fetchEntry(t, w.Sigstore, e.uuid).Attestation == nil {
			t.Fatalf("entry %s has no statement", e.uuid)
		}
	}
	if err := w.ForgetAttestations(); err != nil {
		t.Fatal(err)
	}
}

// recordBy is a record by an identity of this issuer's.
func (w *rekorWorld) recordBy(t testing.TB, email, tag, digest string) []byte {
	t.Helper()
	b, err := record.Statement{Identity: record.Identity{Issuer: w.IssuerURL, Subject: email}, Ref: refOf(tag), Digest: digest}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// changing is a hook that forwards GET requests of one path and changes the
// bodies of the answers.
func changing(path string, change func([]byte) []byte) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodGet || r.URL.Path != path {
			return false
		}
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		body := change(answer.Body.Bytes())
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(answer.Code)
		w.Write(body)
		return true
	}
}

// on lets a hook answer the requests of one path.
func on(path string, h sigstore.Hook) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.URL.Path == path && h(w, r, next)
	}
}
