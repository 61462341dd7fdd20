package rekorlog

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/root"
)

func TestBrief(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for name, tc := range map[string]struct{ text, want string }{
		"short":        {"out of reach", "out of reach"},
		"just so long": {long, long},
		"longer":       {long + "x", long + "…"},
		"in two":       {long[1:] + "äx", long[1:] + "…"},
	} {
		cause := errors.New(tc.text)
		if got := brief(cause); got.Error() != tc.want || !errors.Is(got, cause) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if brief(nil) != nil {
		t.Error("no error is one")
	}
}

// TestHostileTexts: what Rekor says instead of an answer is told in part, and is
// known for what it is.
func TestHostileTexts(t *testing.T) {
	text := strings.Repeat("x", maxAnswer/2)
	tiny := newTinyLog(t, `{}`)
	tiny.about = about("log - 1\n" + text + "\nAAAA\n\n— log AAAAAAA=\n")
	log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
	_, err := log.Checkpoint(t.Context(), nil)
	checkBrief(t, "checkpoint", err)
	if !errors.Is(err, ErrUnsigned) {
		t.Errorf("got %v", err)
	}

	b, jerr := json.Marshal(tiny.entry(0))
	if jerr != nil {
		t.Fatal(jerr)
	}
	var e models.LogEntryAnon
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	*e.Verification.InclusionProof.Checkpoint = "log - 1\n" + text + "\nAAAA\n\n— log AAAAAAA=\n"
	_, err = prove(t.Context(), tiny.uuid(0), &e, tiny.trusted())
	checkBrief(t, "entry", err)

	for _, status := range []int{http.StatusBadRequest, http.StatusInternalServerError} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"code": status, "message": text})
		}))
		defer server.Close()
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(u, time.Minute, nil)
		defer c.close()
		_, _, searched := c.search(t.Context(), &models.SearchIndex{}, maxAnswer)
		_, fetched := c.entries(t.Context(), []string{leafA})
		_, _, created := c.create(t.Context(), &models.DSSE{APIVersion: new("0.0.1")})
		for what, err := range map[string]error{"search": searched, "fetch": fetched, "create": created} {
			checkBrief(t, what, err)
			var code interface{ Code() int }
			if !errors.As(err, &code) || code.Code() != status {
				t.Errorf("%s: %v has no status %d", what, err, status)
			}
		}
	}
}

// checkBrief checks that an error is there and short.
func checkBrief(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	if n := len(err.Error()); n > 2*maxText {
		t.Errorf("%s: the error has %d bytes: %.100s", what, n, err)
	}
}

// TestForeignText: why an entry is foreign is told in part, too.
func TestForeignText(t *testing.T) {
	tiny := newTinyLog(t, `{"kind":"`+strings.Repeat("k", maxLeaf/2)+`","apiVersion":"0.0.1","spec":{}}`)
	log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
	a, err := log.Audit(t.Context(), nil)
	if err != nil || len(a.Foreign) != 1 {
		t.Fatalf("%v, %v", a, err)
	}
	checkBrief(t, "foreign", a.Foreign[0])
}
