package front

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

var (
	errMethod = errors.New("this registry is read-only: only GET and HEAD are answered")
	errSelf   = errors.New("the name leads back to this service: leave its host name out of the path and of ns")
	errLoop   = errors.New("the registry leads back to this service")
	errRoom   = errors.New("too many large answers are being read from this instance; try again later")
)

// retryAfter is told to clients when the log cannot be asked, in seconds.
const retryAfter = "10"

// A notAllowedError says that ALLOW does not select a repository.
type notAllowedError struct{ repo string }

func (e *notAllowedError) Error() string {
	return fmt.Sprintf("repository %s may not be pulled through this service", e.repo)
}

// A logError says that the log kept a tag from being served.
type logError struct {
	doing string // "look up" or "record"
	err   error
}

func (e *logError) Error() string { return "cannot " + e.doing + " the tag: " + e.err.Error() }
func (e *logError) Unwrap() error { return e.err }

// A movedError refuses a tag that is not what it was recorded as.
type movedError struct {
	req      ociref.Request
	served   string
	recorded record.Sighting
}

func (e *movedError) Error() string {
	at := fmt.Sprintf("at %s, log index %d", e.recorded.Time.UTC().Format(time.RFC3339), e.recorded.Index)
	if e.recorded.Digest == "" {
		return fmt.Sprintf("tag %s has moved: another digest was recorded %s, which the log does not hold; the registry now serves %s", e.req, at, e.served)
	}
	return fmt.Sprintf("tag %s has moved: recorded as %s %s; the registry now serves %s", e.req, e.recorded.Digest, at, e.served)
}

// An ociError is one error in the format of the OCI distribution
// specification 1.1, "Error codes".
type ociError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

// A movedDetail is the detail of a refusal, for programs.
type movedDetail struct {
	Reference      string `json:"reference"`
	Recorded       string `json:"recorded,omitempty"`
	Served         string `json:"served"`
	LogIndex       int64  `json:"logIndex"`
	IntegratedTime string `json:"integratedTime"`
	UUID           string `json:"uuid"`
	Identity       string `json:"identity,omitempty"` // who recorded it, if the log has identities
	Issuer         string `json:"issuer,omitempty"`
}

// refuse maps every error to the answer that the client gets. It is the only
// place that knows statuses and codes.
func refuse(err error) *answer {
	var (
		moved  *movedError
		broken *logError
		denied *notAllowedError
		much   *limit.Error
		up     *upstream.Error

		panicked *flight.PanicError
	)
	switch {
	case errors.As(err, &panicked): // before what is around it
		return internalError()
	case errors.As(err, &much): // before the logError around it
		a := errorAnswer(http.StatusTooManyRequests, "TOOMANYREQUESTS", much.Error(), nil)
		a.header.Set("Retry-After", much.RetryAfter())
		return a
	case errors.As(err, &moved):
		a := errorAnswer(http.StatusForbidden, "DENIED", err.Error(), movedDetail{
			Reference:      moved.req.String(),
			Recorded:       moved.recorded.Digest,
			Served:         moved.served,
			LogIndex:       moved.recorded.Index,
			IntegratedTime: moved.recorded.Time.UTC().Format(time.RFC3339),
			UUID:           moved.recorded.UUID,
			Identity:       moved.recorded.By.Subject,
			Issuer:         moved.recorded.By.Issuer,
		})
		a.fields = tlogFields(moved.recorded)
		return a
	case errors.As(err, &broken):
		a := errorAnswer(http.StatusServiceUnavailable, "UNAVAILABLE",
			"the transparency log could not be used to "+broken.doing+" this tag, so it is not served; try again later", nil)
		a.header.Set("Retry-After", retryAfter)
		return a
	case errors.As(err, &up):
		a := errorAnswer(up.Status, up.Code, up.Message, nil)
		maps.Copy(a.header, up.Header)
		if up.RetryAfter != "" {
			a.header.Set("Retry-After", up.RetryAfter)
		}
		return a
	case errors.Is(err, errRoom):
		a := errorAnswer(http.StatusServiceUnavailable, "UNAVAILABLE", err.Error(), nil)
		a.header.Set("Retry-After", retryAfter)
		return a
	case errors.As(err, &denied):
		return errorAnswer(http.StatusForbidden, "DENIED", err.Error(), nil)
	case errors.Is(err, errMethod):
		a := errorAnswer(http.StatusMethodNotAllowed, "UNSUPPORTED", err.Error(), nil)
		a.header.Set("Allow", "GET, HEAD")
		return a
	case errors.Is(err, errSelf), errors.Is(err, errLoop), errors.Is(err, ociref.ErrName):
		return errorAnswer(http.StatusBadRequest, "NAME_INVALID", err.Error(), nil)
	case errors.Is(err, ociref.ErrTag):
		return errorAnswer(http.StatusBadRequest, "TAG_INVALID", err.Error(), nil)
	case errors.Is(err, ociref.ErrDigest):
		return errorAnswer(http.StatusBadRequest, "DIGEST_INVALID", err.Error(), nil)
	case errors.Is(err, ociref.ErrPath):
		return errorAnswer(http.StatusNotFound, "UNSUPPORTED", err.Error(), nil)
	}
	return internalError()
}

func internalError() *answer {
	return errorAnswer(http.StatusInternalServerError, "UNKNOWN", "internal error", nil)
}

func errorAnswer(status int, code, message string, detail any) *answer {
	body, err := json.Marshal(struct {
		Errors []ociError `json:"errors"`
	}{[]ociError{{code, message, detail}}})
	if err != nil { // only strings and numbers are marshalled
		body = []byte(`{"errors":[{"code":"UNKNOWN","message":"internal error"}]}`)
	}
	return &answer{status: status, header: jsonHeader(), body: append(body, '\n')}
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json"}}
}

// Unavailable answers a request that there is no handler for, with 503.
func Unavailable(w http.ResponseWriter, r *http.Request, why string) {
	defer withoutBody(w, r)()
	a := errorAnswer(http.StatusServiceUnavailable, "UNAVAILABLE", why, nil)
	a.header.Set("Retry-After", retryAfter)
	_ = a.write(w, r.Method) // the client went away; there is nobody to tell
}
