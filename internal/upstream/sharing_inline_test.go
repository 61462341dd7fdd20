package upstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Who is the first to ask what a tag in memory is now stays until HEAD is
// answered, also where it gives up. Others need not stay, and HEAD goes on for
// those who do. What may take more than HEAD nobody need stay for.
func TestSharingOutlivesWhoGivesUpALaterPull(t *testing.T) {
	for name, test := range map[string]struct {
		tag    string
		memory int
		asked  string
		stay   int
	}{
		"in memory":          {"a", 0, "HEAD a", 1},
		"new":                {"b", 0, "HEAD b", 0},
		"larger than memory": {"a", 1, "GET a", 0},
	} {
		t.Run(name, func(t *testing.T) {
			shelved(t, Config{memory: test.memory}, map[string]string{"a": image(1), "b": image(1)}, func(t *testing.T, s *shelf) {
				s.pull("a")
				s.wantAsked(map[string]int{"GET a": 1})
				release := s.hold(test.asked)
				ctx, cancel := context.WithCancel(t.Context())
				gone := make(chan int, 3)
				for i := range cap(gone) {
					go func() {
						_, err := s.Manifest(ctx, s.reference(test.tag))
						if !errors.Is(err, context.Canceled) {
							t.Errorf("who gives up gets %v", err)
						}
						gone <- i
					}()
					synctest.Wait()
				}
				rest := s.pulling(test.tag, test.tag)
				cancel()
				synctest.Wait()
				if n := len(gone); n != cap(gone)-test.stay {
					t.Errorf("%d are gone before the answer, want %d", n, cap(gone)-test.stay)
				}
				for range cap(gone) - test.stay {
					if i := <-gone; i < test.stay {
						t.Error("the first is gone before the answer")
					}
				}
				release()
				rest()
				for range test.stay {
					<-gone
				}
				s.wantAsked(map[string]int{test.asked: 1})
			})
		})
	}
}
