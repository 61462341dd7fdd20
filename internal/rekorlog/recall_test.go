package rekorlog_test

import (
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
)

// The front finds out by itself, so nothing else would say that it is none.
var _ front.Recaller = (*rekorlog.Log)(nil)
