package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/tlogistry/tlogistry/e2e/soak"
)

// readRekor returns what the log holds of the run's tags. It reads every entry
// by its index and verifies it with sigstore-go, and asks the index for each
// tag: neither with code of the service's, nor through the proxy. Then it has
// the command judge the same log.
func readRekor(t *testing.T, w *rekorWorld, r *soakRun) []soak.Entry {
	t.Helper()
	w.settled(t)
	type claim struct{ tag, digest string }
	claims := make(map[string]claim) // by the statement's hash
	for _, first := range r.plan.First {
		for _, digest := range r.digests {
			sum := sha256.Sum256(w.statement(t, first.Tag, digest))
			claims[hex.EncodeToString(sum[:])] = claim{first.Tag, digest}
		}
	}
	var log struct{ TreeSize int }
	getJSON(t, w.RekorURL+"/api/v1/log", &log)
	var entries []soak.Entry
	for i := range log.TreeSize {
		var answer models.LogEntry
		getJSON(t, w.RekorURL+createPath+"?logIndex="+strconv.Itoa(i), &answer)
		for uuid, e := range answer {
			c, ok := claims[payloadHash(t, e)]
			if !ok {
				t.Errorf("entry %d is no record of the run", i)
				continue
			}
			verifyEntry(t, w.Sigstore, e, w.statement(t, c.tag, c.digest), "intoto", "0.0.2", strings.TrimPrefix(w.ownSubject(c.tag), "sha256:"))
			record := soak.Record{UUID: uuid, Index: *e.LogIndex, Time: time.Unix(*e.IntegratedTime, 0)}
			entries = append(entries, soak.Entry{Record: record, Tag: c.tag, Digest: c.digest})
		}
	}
	markShown(t, w, r, entries)
	auditRun(t, w, r, entries)
	return entries
}

func payloadHash(t *testing.T, e models.LogEntryAnon) string {
	t.Helper()
	var body struct {
		Spec struct {
			Content struct{ PayloadHash struct{ Value string } }
		}
	}
	text, _ := e.Body.(string)
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &body); err != nil {
		t.Fatal(err)
	}
	return body.Spec.Content.PayloadHash.Value
}

// markShown marks the entries that the index has.
func markShown(t *testing.T, w *rekorWorld, r *soakRun, entries []soak.Entry) {
	t.Helper()
	shown := make(map[string][]string)
	for _, first := range r.plan.First {
		uuids, err := w.Search(t.Context(), w.ownSubject(first.Tag))
		if err != nil {
			t.Fatal(err)
		}
		shown[first.Tag] = uuids
	}
	for i, e := range entries {
		entries[i].Shown = slices.Contains(shown[e.Tag], e.UUID)
	}
}

// auditRun has the command verify every tag and audit the log, as anybody
// might, and compares with what was read.
func auditRun(t *testing.T, w *rekorWorld, r *soakRun, entries []soak.Entry) {
	t.Helper()
	deciding := make(map[string]soak.Entry)
	shown := 0
	for _, e := range entries { // in the order of their indexes
		if !e.Shown {
			continue
		}
		shown++
		if _, ok := deciding[e.Tag]; !ok {
			deciding[e.Tag] = e
		}
	}
	var refs []string
	for _, first := range r.plan.First {
		refs = append(refs, "app:"+first.Tag)
	}
	for some := range slices.Chunk(refs, 200) { // a command has its time
		var verdicts []verdict
		end := cliReading(t, strings.Join(some, "\n"), w.env(), "verify", "--output", "json")
		if err := json.Unmarshal([]byte(end.out), &verdicts); err != nil || len(verdicts) != len(some) {
			t.Fatalf("verify of %d references: %d verdicts, %v\n%s", len(some), len(verdicts), err, end.stderr)
		}
		for _, v := range verdicts {
			e := deciding[strings.TrimPrefix(v.Reference, refOf(""))]
			if v.UUID != e.UUID || v.Recorded != e.Digest || v.LogIndex == nil || int64(*v.LogIndex) != e.Index {
				t.Errorf("verify says %+v; the log's first record is %+v", v, e)
			}
		}
	}
	var report auditReport
	end := cli(t, w.env(), "audit", "--output", "json")
	if err := json.Unmarshal([]byte(end.out), &report); err != nil || report.Records != shown || len(report.Broken) != 0 {
		t.Errorf("audit finds %d records, %d of them broken, %v; the index has %d\n%s", report.Records, len(report.Broken), err, shown, end.stderr)
	}
}

// readTiles returns what an embedded log holds, read over HTTP and checked with
// Tessera's client.
func readTiles(t *testing.T, svc *service) []soak.Entry {
	t.Helper()
	key := strings.TrimSpace(svc.do(t, http.MethodGet, "/tlog/key").body)
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(svc.url + "/tlog/")
	if err != nil {
		t.Fatal(err)
	}
	f, err := client.NewHTTPFetcher(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	cp, _, _, err := client.FetchCheckpoint(t.Context(), f.ReadCheckpoint, v, v.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := fsck.New(v.Name(), v, f, leafHashes, fsck.Opts{N: 1}).Check(t.Context()); err != nil {
		t.Errorf("fsck: %v", err)
	}
	var entries []soak.Entry
	for i := uint64(0); uint64(len(entries)) < cp.Size; i++ {
		bundle, err := client.GetEntryBundle(t.Context(), f.ReadEntryBundle, i, cp.Size)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bundle.Entries {
			entries = append(entries, tileEntry(t, int64(len(entries)), b))
		}
	}
	return entries
}

func tileEntry(t *testing.T, index int64, b []byte) soak.Entry {
	t.Helper()
	var r struct {
		Reference, Digest string
		Time              time.Time
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("entry %d: %v: %s", index, err, b)
	}
	return soak.Entry{
		Record: soak.Record{UUID: hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(b)), Index: index, Time: r.Time},
		Tag:    strings.TrimPrefix(r.Reference, refOf("")),
		Digest: r.Digest,
		Shown:  true,
	}
}
