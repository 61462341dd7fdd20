package soak

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// An Outcome is what a client knows of a tag after a pull.
type Outcome int

// The outcomes of a pull.
const (
	// Unknown is an error, of the service or of the connection to it. The
	// pull may have recorded the tag all the same, then or later.
	Unknown Outcome = iota
	// Served is status 200. It counts from the header on, whether the body
	// came whole or not.
	Served
	// Refused is status 403: the tag was recorded with another digest.
	Refused
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Served:
		return "served"
	case Refused:
		return "refused"
	}
	return "unknown"
}

// errorStatuses are the answers that say nothing of a tag and are no fault of
// the service's.
var errorStatuses = []int{
	http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// A Record names an entry of the log as an answer's Tlog-* headers do.
type Record struct {
	UUID  string
	Index int64
	Time  time.Time // to the second
}

// An Operation is one pull of a manifest by tag, as the client saw it.
// Times are since the history's start.
type Operation struct {
	N          int    // its place in the plan
	Instance   string // the process asked; another one after each restart
	Tag        string
	Method     string // GET or HEAD
	Start, End time.Duration

	Outcome Outcome
	Status  int    // 0 without an answer
	Record  Record // unless unknown
	Digest  string // if served
	First   bool   // Tlog-First-Seen
	Body    string // digest of the body of a GET that was served whole

	// Of a refused GET: the digest recorded, empty where the log does not
	// hold it, and the one that the registry offered.
	Recorded, Offered string

	// Malformed says what no answer may be. Empty if it is in order.
	Malformed string
}

// Answer fills in what a client got: an answer read whole, or as much of one as
// came before err, or none if status is 0.
func (o *Operation) Answer(status int, header http.Header, body []byte, err error) {
	o.Status = status
	switch {
	case status == http.StatusOK:
		o.Outcome = Served
		o.Digest = header.Get("Docker-Content-Digest")
		o.First = header.Get("Tlog-First-Seen") == "true"
		if o.Method == http.MethodGet && err == nil {
			sum := sha256.Sum256(body)
			o.Body = "sha256:" + hex.EncodeToString(sum[:])
		}
	case status == http.StatusForbidden:
		o.Outcome = Refused
		if o.Method == http.MethodGet && err == nil {
			o.refusal(body)
		}
	case status != 0 && !slices.Contains(errorStatuses, status):
		o.Malformed = fmt.Sprintf("status %d", status)
	}
	if o.Outcome == Unknown {
		return
	}
	var bad error
	if o.Record, bad = recordOf(header); bad != nil {
		o.Malformed = fmt.Sprintf("status %d without a record: %v", status, bad)
	}
}

// refusal reads the body of a refusal.
func (o *Operation) refusal(body []byte) {
	var b struct {
		Errors []struct {
			Code   string
			Detail struct{ Recorded, Served string }
		}
	}
	if err := json.Unmarshal(body, &b); err != nil || len(b.Errors) != 1 || b.Errors[0].Code != "DENIED" || b.Errors[0].Detail.Served == "" {
		o.Malformed = fmt.Sprintf("status 403 with the body %.300q", body)
		return
	}
	o.Recorded, o.Offered = b.Errors[0].Detail.Recorded, b.Errors[0].Detail.Served
}

func recordOf(h http.Header) (Record, error) {
	r := Record{UUID: h.Get("Tlog-Uuid")}
	var errIndex, errTime, errUUID error
	r.Index, errIndex = strconv.ParseInt(h.Get("Tlog-Logindex"), 10, 64)
	r.Time, errTime = time.Parse(time.RFC3339, h.Get("Tlog-Integratedtime"))
	if r.UUID == "" {
		errUUID = errors.New("no Tlog-Uuid")
	}
	return r, errors.Join(errUUID, errIndex, errTime)
}

// String describes the operation on one line.
func (o Operation) String() string {
	s := fmt.Sprintf("#%d %v-%v %s at %s: %s %d", o.N, o.Start.Round(time.Millisecond), o.End.Round(time.Millisecond),
		o.Method, o.Instance, o.Outcome, o.Status)
	if o.Outcome != Unknown {
		s += fmt.Sprintf(", record %d", o.Record.Index)
	}
	if o.Digest != "" {
		s += ", " + o.Digest
	}
	if o.First {
		s += ", first seen"
	}
	return s
}
