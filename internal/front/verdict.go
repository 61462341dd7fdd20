package front

import (
	"errors"
	"net/http"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// What became of a pull by tag, in one word. They are documented in
// docs/operations.md.
const (
	verdictServed      = "served"      // as recorded before
	verdictFirst       = "first"       // recorded by this pull, and served
	verdictExempt      = "exempt"      // served unrecorded, by MUTABLE_TAGS
	verdictMoved       = "moved"       // refused: another digest was recorded
	verdictUnavailable = "unavailable" // the log, Fulcio or the identity failed
	verdictLimited     = "limited"     // refused by a limit of this instance
	verdictDenied      = "denied"      // by ALLOW, or by the registry
	verdictUnknown     = "unknown"     // the registry has no such tag
	verdictRegistry    = "registry"    // the registry failed, or limits its requests
	verdictGone        = "gone"        // the client went away before the answer
	verdictFailed      = "failed"      // a mistake in the service
)

// verdict returns what became of a request, or "" if it is no pull by tag.
func (t *trace) verdict() string {
	if !t.pull {
		return ""
	}
	var (
		moved  *movedError
		much   *limit.Error
		broken *logError
		denied *notAllowedError
		up     *upstream.Error

		panicked *flight.PanicError
	)
	switch err := t.err; {
	case t.gone:
		return verdictGone
	case err == nil && t.exempt:
		return verdictExempt
	case err == nil && t.first:
		return verdictFirst
	case err == nil:
		return verdictServed
	case errors.As(err, &moved):
		return verdictMoved
	case errors.As(err, &panicked): // before the logError around it
		return verdictFailed
	case errors.As(err, &much), errors.Is(err, errRoom): // before the logError around it
		return verdictLimited
	case errors.As(err, &broken):
		return verdictUnavailable
	case errors.As(err, &denied), errors.Is(err, errSelf):
		return verdictDenied
	case errors.As(err, &up) && up.Status == http.StatusNotFound:
		return verdictUnknown
	case errors.As(err, &up) && (up.Status == http.StatusForbidden || up.Status == http.StatusUnauthorized):
		return verdictDenied
	case errors.As(err, &up):
		return verdictRegistry
	}
	return verdictFailed
}

// limited returns which limit refused a request, or "".
func (t *trace) limited() string {
	var much *limit.Error
	switch {
	case errors.As(t.err, &much):
		return much.What
	case errors.Is(t.err, errRoom):
		return "large answers"
	}
	return ""
}
