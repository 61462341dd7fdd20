package upstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/tlogistry/tlogistry/internal/ociref"
)

// ErrForbiddenAddress is wrapped by the error of a request that led to an
// address, port or scheme which this service does not connect to.
var ErrForbiddenAddress = errors.New("forbidden address")

// An Error says what to answer to a request that a registry did not answer
// well. Every error of this package's methods is one.
//
//	what happened                                     Status  Code
//	a query that is not one                           400     UNSUPPORTED
//	registry's own name leads to a forbidden address  403     DENIED
//	401, 403 or 451, from the registry or its token
//	service; a registry that wants credentials        403     DENIED
//	404 or 410                                        404     MANIFEST_UNKNOWN, BLOB_UNKNOWN, NAME_UNKNOWN
//	429                                               429     TOOMANYREQUESTS
//	a realm or redirect leads to a forbidden address,
//	is malformed or is one of too many                502     UNAVAILABLE
//	bytes or headers that contradict each other, a
//	bad certificate, any other status                 502     UNAVAILABLE
//	no connection; 503; no room for a long answer     503     UNAVAILABLE
//	out of time; 504                                  504     UNAVAILABLE
//
// 401 is never answered: clients would look for credentials, and none help.
type Error struct {
	Status     int         // HTTP status to answer with
	Code       string      // error code of the OCI distribution specification, or UNAVAILABLE
	Message    string      // for the client: one line, printable, bounded
	RetryAfter string      // the upstream's Retry-After, or empty
	Header     http.Header // Ratelimit-* of the upstream's answer; may be nil
	Err        error       // the cause, for logs; may be nil
}

// Error returns the message and, unless the message tells it, the cause.
func (e *Error) Error() string {
	if e.Err == nil || strings.Contains(e.Message, e.Err.Error()) {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The codes used here.
const (
	denied      = string(transport.DeniedErrorCode)
	unavailable = string(transport.UnavailableErrorCode)
)

// badAnswer is the error of an answer that cannot be used. The cause is for
// logs only: it may hold an address that is not for everybody.
func badAnswer(to *registry, err error) *Error {
	return &Error{
		Status:  http.StatusBadGateway,
		Code:    unavailable,
		Message: "registry " + to.name + " gave a bad answer",
		Err:     err,
	}
}

// contradiction is the error of an answer that cannot be believed. The cause
// is this package's own words, and is told to the client.
func contradiction(to *registry, err error) *Error {
	e := badAnswer(to, err)
	e.Message += ": " + cut(err.Error())
	return e
}

// unreachable makes an *Error of a request to u that got no answer.
func (c *Client) unreachable(ctx context.Context, to *registry, u *url.URL, err error) *Error {
	if errors.Is(err, errNoRoom) {
		return &Error{
			Status:     http.StatusServiceUnavailable,
			Code:       unavailable,
			Message:    "too many long answers of registries are being read; try again later",
			RetryAfter: "10",
			Err:        err,
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	e := &Error{Status: http.StatusServiceUnavailable, Code: unavailable, Err: err}
	var timeout net.Error
	switch {
	case errors.Is(err, ErrForbiddenAddress) && to.owns(u):
		e.Status, e.Code = http.StatusForbidden, denied
		e.Message = "registry " + to.name + " is at an address that this service does not connect to"
	case errors.Is(err, ErrForbiddenAddress):
		e.Status = http.StatusBadGateway
		e.Message = "registry " + to.name + " leads to an address that this service does not connect to"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Status = http.StatusGatewayTimeout
		e.Message = "registry " + to.name + " did not answer in time"
	case badCertificate(err), errors.Is(err, errBadBody):
		return badAnswer(to, err)
	default:
		e.Message = "registry " + to.name + " cannot be reached"
	}
	return e
}

func badCertificate(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}

// refused makes an *Error of an answer with a status that is not good.
func refused(to *registry, r ociref.Request, resp *http.Response) *Error {
	e := statusError(to, resp.StatusCode, resp.Header)
	code, says := diagnosis(resp)
	switch e.Status {
	case http.StatusForbidden:
		e.Message = to.denies(" of "+r.Repo) + says
	case http.StatusNotFound:
		e.Code = unknown(r.Kind, code)
		e.Message = r.String() + " is not known to registry " + to.name + says
	case http.StatusTooManyRequests:
		e.Message += says
	}
	return e
}

// statusError makes an *Error of a status alone.
func statusError(to *registry, status int, header http.Header) *Error {
	e := &Error{
		Status:  http.StatusBadGateway,
		Code:    unavailable,
		Message: fmt.Sprintf("registry %s answered with status %d", to.name, status),
		Header:  pick(header),
	}
	if after := header.Get("Retry-After"); len(after) <= 64 {
		e.RetryAfter = after
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		e.Status, e.Code = http.StatusForbidden, denied
		e.Message = to.denies("")
	case http.StatusNotFound, http.StatusGone:
		e.Status, e.Code = http.StatusNotFound, string(transport.NameUnknownErrorCode)
	case http.StatusTooManyRequests:
		e.Status, e.Code = status, string(transport.TooManyRequestsErrorCode)
		e.Message = "registry " + to.name + " limits the requests of this service"
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.Status = status
	}
	return e
}

// denies says that a registry denies pulls of something.
func (r *registry) denies(what string) string {
	if r.anonymous() {
		return "registry " + r.name + " denies anonymous pulls" + what
	}
	return "registry " + r.name + " denies pulls" + what + " by this service's credentials"
}

// unknown returns the code for a 404. The upstream's is kept where it tells
// the repository from what is in it.
func unknown(kind ociref.Kind, said transport.ErrorCode) string {
	switch {
	case said == transport.NameUnknownErrorCode, kind == ociref.Tags:
		return string(transport.NameUnknownErrorCode)
	case kind == ociref.Blob:
		return string(transport.BlobUnknownErrorCode)
	}
	return string(transport.ManifestUnknownErrorCode)
}

// diagnosis returns the first error code in an answer's body, and its message
// as an addition to one of ours: quoted, because a stranger wrote it, and cut.
// A message that repeats the request's token or credentials is left out.
func diagnosis(resp *http.Response) (transport.ErrorCode, string) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", ""
	}
	var said transport.Error
	if json.Unmarshal(body, &said) != nil || len(said.Errors) == 0 {
		return "", ""
	}
	first := said.Errors[0]
	text := strings.TrimSpace(first.Message)
	_, secret, _ := strings.Cut(resp.Request.Header.Get("Authorization"), " ")
	_, password, _ := resp.Request.BasicAuth()
	if text == "" || holds(text, secret) || holds(text, password) {
		return first.Code, ""
	}
	return first.Code, "; it says " + strconv.QuoteToASCII(cut(text))
}

// cut returns what fits a line of an error.
func cut(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most] + " and more"
	}
	return s
}
