package rekorlog

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// TestJudgeRecovers: what waits for a newer trusted root gets it within two
// seconds after there is one, however long there was none. It tries once a
// second at most.
func TestJudgeRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{}
		trust := newTrust(trustAge, l.load)
		old, err := trust.Material(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		judge := func() error {
			return trust.judge(t.Context(), func(tm root.TrustedMaterial) error {
				if tm == old {
					return fmt.Errorf("entry: %w", errUntrusted)
				}
				return nil
			})
		}
		time.Sleep(staleTrust + time.Second)
		l.fail = errors.New("down")
		const outage = 10 * time.Second
		for began := time.Now(); time.Since(began) < outage; time.Sleep(100 * time.Millisecond) {
			if err := judge(); !errors.Is(err, errUntrusted) {
				t.Fatalf("without a newer trusted root: %v", err)
			}
		}
		if most := 1 + int(outage/eagerPause); l.loads > 1+most {
			t.Errorf("%d loads in %v, want %d at most", l.loads-1, outage, most)
		}
		l.fail = nil
		time.Sleep(2 * time.Second)
		if err := judge(); err != nil {
			t.Errorf("two seconds after there is a newer trusted root: %v", err)
		}
	})
}
