package soak

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestAnswer checks what is made of answers.
func TestAnswer(t *testing.T) {
	const (
		hello   = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
		refusal = `{"errors":[{"code":"DENIED","message":"moved","detail":{"recorded":"sha256:aa","served":"sha256:bb"}}]}`
	)
	record := http.Header{"Tlog-Uuid": {"entry"}, "Tlog-Logindex": {"7"}, "Tlog-Integratedtime": {"2026-01-02T03:04:05Z"}}
	with := func(more ...string) http.Header {
		h := record.Clone()
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	named := Record{"entry", 7, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	broken := errors.New("connection reset")
	digest := "Docker-Content-Digest"
	for _, test := range []struct {
		name   string
		method string
		status int
		header http.Header
		body   string
		err    error
		want   Operation
	}{
		{"served", "GET", 200, with(digest, hello), "hello", nil, Operation{Outcome: Served, Record: named, Digest: hello, Body: hello}},
		{"first seen", "HEAD", 200, with(digest, hello, "Tlog-First-Seen", "true"), "", nil, Operation{Outcome: Served, Record: named, Digest: hello, First: true}},
		{"cut in the body", "GET", 200, with(digest, hello), "he", broken, Operation{Outcome: Served, Record: named, Digest: hello}},
		{"refused", "GET", 403, record, refusal, nil, Operation{Outcome: Refused, Record: named, Recorded: "sha256:aa", Offered: "sha256:bb"}},
		{"refused HEAD", "HEAD", 403, record, "", nil, Operation{Outcome: Refused, Record: named}},
		{"refused and cut", "GET", 403, record, `{"err`, broken, Operation{Outcome: Refused, Record: named}},
		{"log down", "GET", 503, nil, "", nil, Operation{}},
		{"bad gateway", "GET", 502, nil, "", nil, Operation{}},
		{"gateway timeout", "HEAD", 504, nil, "", nil, Operation{}},
		{"too many", "GET", 429, nil, "", nil, Operation{}},
		{"killed", "GET", 0, nil, "", broken, Operation{}},
		{"internal error", "GET", 500, nil, "", nil, Operation{Malformed: "status 500"}},
		{"lost", "GET", 404, nil, "", nil, Operation{Malformed: "status 404"}},
		{"redirected", "GET", 307, nil, "", nil, Operation{Malformed: "status 307"}},
		{"no record", "HEAD", 200, http.Header{digest: {hello}}, "", nil, Operation{Outcome: Served, Digest: hello,
			Malformed: "status 200 without a record: no Tlog-Uuid\nstrconv.ParseInt: parsing \"\": invalid syntax\nparsing time \"\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"2006\""}},
		{"another refusal", "GET", 403, record, `{"errors":[{"code":"UNAUTHORIZED"}]}`, nil, Operation{Outcome: Refused, Record: named,
			Malformed: `status 403 with the body "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Operation{Method: test.method}
			o.Answer(test.status, test.header, []byte(test.body), test.err)
			test.want.Method, test.want.Status = test.method, test.status
			if test.want.Malformed != "" && test.want.Outcome == Served {
				o.Record = Record{} // half read
			}
			if o != test.want {
				t.Errorf("got\n%+v\nwant\n%+v", o, test.want)
			}
		})
	}
}
