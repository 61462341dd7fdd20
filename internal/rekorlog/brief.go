package rekorlog

import "strings"

// maxText is how much is told of an error that repeats what Rekor answered, in
// bytes: an answer may have megabytes, and each line of a log would repeat them.
const maxText = 1 << 10

// A briefError is an error with so much of its text.
type briefError struct{ error }

// brief returns an error that says no more than maxText of err. It is one of the
// same errors.
func brief(err error) error {
	if err == nil || len(err.Error()) <= maxText {
		return err
	}
	return briefError{err}
}

func (e briefError) Error() string {
	return strings.ToValidUTF8(e.error.Error()[:maxText], "") + "…"
}

func (e briefError) Unwrap() error { return e.error }
