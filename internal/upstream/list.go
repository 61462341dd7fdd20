package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// renamed returns a tag list, a valid JSON object, with another name: the one
// that the client typed. All else is as it was, to the byte. Its cost does not
// depend on how many members a stranger put into it.
func renamed(list []byte, name string) ([]byte, error) {
	typed, err := json.Marshal(name)
	if err != nil {
		return nil, err
	}
	out, done := make([]byte, 0, len(list)+len(typed)), 0
	for count, rest := 0, inside(list); ; count++ {
		var key, value []byte
		if key, rest = cutValue(rest); key == nil {
			return append(out, list[done:]...), nil
		}
		if count == maxMembers {
			return nil, fmt.Errorf("more than %d members", maxMembers)
		}
		value, rest = cutValue(rest)
		var member string
		if err := json.Unmarshal(key, &member); err != nil {
			return nil, err
		}
		if member == "name" { // each of them: parsers disagree which one counts
			at := len(list) - len(rest) - len(value)
			out = append(append(out, list[done:at]...), typed...)
			done = at + len(value)
		}
	}
}

// lacksReferrers reports whether an answer about referrers is one of a registry
// that has no such API. Not all of those say 404, by which clients know that
// they have to look for the tag that is derived from the digest.
func lacksReferrers(r ociref.Request, resp *http.Response, method string) bool {
	if r.Kind != ociref.Referrers {
		return false
	}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return true
	case http.StatusOK:
		return method != http.MethodHead && errors.Is(isIndex(resp), errNoIndex)
	}
	return false
}

var errNoIndex = errors.New("not an image index")

// isIndex tells what keeps an answer from being an index: errNoIndex if it is
// something else.
func isIndex(resp *http.Response) error {
	body, err := whole(resp)
	if err != nil {
		return err
	}
	if has, err := members(body); err != nil || has["manifests"] == nil {
		return errNoIndex
	}
	return nil
}
