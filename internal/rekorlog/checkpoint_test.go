package rekorlog

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// TestCheckpointOfNobody: what no trusted log has said is told from what
// contradicts the log. Neither is believed.
func TestCheckpointOfNobody(t *testing.T) {
	tiny := newTinyLog(t, `{}`)
	small := tiny.checkpoint()
	tiny.append(`[]`)
	large := tiny.checkpoint()
	fork := newTinyLog(t, `1`)
	fork.signer = tiny.signer
	forked := fork.checkpoint()
	fork.append(`[]`)
	forkedLarge := fork.checkpoint()
	fork.origin = "tiny - 2"
	next := fork.checkpoint()
	other := newTinyLog(t, `{}`).checkpoint() // by a key of its own
	unsigned, _, _ := strings.Cut(small, "— ")
	const (
		nobody = "it is not signed by a trusted log"
		head   = "the log's answer cannot be verified: checkpoint: " + nobody
		kept   = "the checkpoint kept from before is not this log's: "
		denied = "the log's checkpoints contradict each other: the checkpoint kept from before is "
	)
	for name, tc := range map[string]struct {
		about any // nil: the log's own large checkpoint
		old   string
		is    []error
		text  string // prefix
	}{
		"nothing kept":         {nil, "", nil, ""},
		"the same":             {nil, large, nil, ""},
		"grown":                {nil, small, nil, ""},
		"in a new tree":        {about(next, large), small, nil, ""},
		"no answer":            {map[string]any{}, small, []error{ErrLog, ErrUnsigned}, head + ": there is none"},
		"no note":              {about("Welcome"), small, []error{ErrLog, ErrUnsigned}, head + ": "},
		"a note unsigned":      {about(unsigned), small, []error{ErrLog, ErrUnsigned}, head + ": "},
		"by another key":       {about(other), "", []error{ErrLog, ErrUnsigned}, head},
		"altered":              {about(strings.Replace(large, "\n2\n", "\n3\n", 1)), small, []error{ErrLog, ErrUnsigned}, head},
		"kept none":            {nil, "garbage", []error{ErrKept, ErrUnsigned}, kept + nobody + ": "},
		"kept by another":      {nil, other, []error{ErrKept, ErrUnsigned}, kept + nobody},
		"kept and altered":     {nil, strings.Replace(small, "\n1\n", "\n2\n", 1), []error{ErrKept, ErrUnsigned}, kept + nobody},
		"kept of another tree": {nil, next, []error{ErrFork}, denied + `of "tiny - 2", the log's is of "tiny - 1"`},
		"its tree is gone":     {about(next), small, []error{ErrFork}, denied + `of "tiny - 1", the log's is of "tiny - 2"`},
		"its end is unsigned":  {about(next, other), small, []error{ErrFork}, denied + `of "tiny - 1", the log's is of "tiny - 2"`},
		"forked at its size":   {about(forked), small, []error{ErrFork}, "the log's checkpoints contradict each other: two root hashes at size 1: "},
		"shrunk":               {about(small), large, []error{ErrFork}, "the log's checkpoints contradict each other: its size was 2 and is 1, "},
		"forked before":        {about(forkedLarge), small, []error{ErrFork}, "the log's checkpoints contradict each other: from size 1 to 2: "},
		"forked, in its end":   {about(next, forkedLarge), small, []error{ErrFork}, "the log's checkpoints contradict each other: from size 1 to 2: "},
	} {
		t.Run(name, func(t *testing.T) {
			tiny.about = tc.about
			log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
			text, err := log.Checkpoint(t.Context(), []byte(tc.old))
			for _, sentinel := range []error{ErrLog, ErrUnsigned, ErrKept, ErrFork} {
				want := false
				for _, e := range tc.is {
					want = want || e == sentinel
				}
				if got := errors.Is(err, sentinel); got != want {
					t.Errorf("is it %q? %t, want %t", sentinel, got, want)
				}
			}
			if tc.text == "" && (err != nil || len(text) == 0) || tc.text != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.text)) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
}
