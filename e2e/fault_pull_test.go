package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"
)

// layers returns the digests of a manifest's layers.
func layers(t *testing.T, manifest string) (digests []string) {
	t.Helper()
	var m struct{ Layers []struct{ Digest string } }
	must(t, json.Unmarshal([]byte(manifest), &m))
	for _, l := range m.Layers {
		digests = append(digests, l.Digest)
	}
	if len(digests) == 0 {
		t.Fatalf("no layers in %s", manifest)
	}
	return digests
}

// A leakPull is what one client asks for, and what it may be answered beside
// the errors of servers that fail.
type leakPull struct {
	path   string
	digest string // of what 200 answers
	tag    string // to be counted as served
	status int    // the right one
}

// draw draws a pull.
func (w *leakWorld) draw(random *rand.Rand) (leakPull, error) {
	const manifests = "/v2/app/manifests/"
	switch n := random.IntN(20); {
	case n < 6:
		return leakPull{manifests + "known", w.one, "known", http.StatusOK}, nil
	case n < 8:
		return leakPull{manifests + w.two, w.two, "", http.StatusOK}, nil
	case n < 13:
		blob := w.blobs[random.IntN(len(w.blobs))]
		return leakPull{"/v2/app/blobs/" + blob, blob, "", http.StatusOK}, nil
	case n < 16:
		tag, err := w.fresh()
		return leakPull{manifests + tag, w.one, tag, http.StatusOK}, err
	case n < 18:
		return leakPull{manifests + "moved", "", "", http.StatusForbidden}, nil
	}
	return leakPull{manifests + "missing", "", "", http.StatusNotFound}, nil
}

// once makes a pull and says what is wrong with the answer, if anything is. One
// client in eight does not wait for the end.
func (w *leakWorld) once(t *testing.T, svc *service, random *rand.Rand) error {
	p, err := w.draw(random)
	if err != nil {
		return err
	}
	ctx := t.Context()
	if random.IntN(8) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.Int64N(int64(100*time.Millisecond))))
		defer cancel()
	}
	a, err := svc.try(ctx, http.MethodGet, p.path)
	switch {
	case err != nil: // it went away, or the blob broke off
		w.count(0, "")
		return nil
	case a.status == p.status:
		w.count(a.status, p.tag)
	case slices.Contains([]int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, a.status):
		w.count(a.status, "")
		return nil
	default:
		return fmt.Errorf("%s: status %d: %.300s", p.path, a.status, a.body)
	}
	if sum := sha256.Sum256([]byte(a.body)); p.digest != "" && "sha256:"+hex.EncodeToString(sum[:]) != p.digest {
		return fmt.Errorf("%s: %d bytes that are not of %s", p.path, len(a.body), p.digest)
	}
	return nil
}
