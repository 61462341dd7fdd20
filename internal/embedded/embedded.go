// Package embedded opens the log in a local directory for a service. It is
// apart from package service so that the function, which has no directory that
// lasts, does not carry it.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/ready"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/service"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// closeLimit is how long the log may take to close.
const closeLimit = 10 * time.Second

// Open opens the log in c's directory, which ctx bounds. The log's own files
// are served under /tlog/, for those who check it.
func Open(ctx context.Context, c config.Config, logger *slog.Logger) (service.Backend, error) {
	log, err := tilelog.Open(ctx, tilelog.Config{
		Dir:           c.LogDir,
		WitnessPolicy: c.WitnessPolicy,
		Admit:         limit.NewRecords(c.NewRecordsPerMinute).Take,
		Logger:        logger,
	})
	switch {
	case errors.Is(err, tilelog.ErrPolicy):
		return service.Backend{}, fmt.Errorf("WITNESS_POLICY: %w", err)
	case err != nil:
		return service.Backend{}, fmt.Errorf("TLOG_DIR: %w", err)
	}
	return service.Backend{
		Log: log,
		Pages: page.Config{
			Log:     log,
			Address: "/tlog/",
			Key:     log.VerifierKey(),
			Entry:   entry,
		},
		Files: http.StripPrefix("/tlog", log.Handler()),
		// Nobody need be asked who the log's own records are by.
		Ready: []ready.Part{{Name: "log", Check: log.Ready}},
		Close: func() {
			ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
			defer cancel()
			if err := log.Close(ctx); err != nil {
				logger.Error("close the log", "error", err.Error())
			}
		},
	}, nil
}

// entry returns the path of the bundle with a sighting's entry. Without a proof
// the size of the tree is not known, and neither is the path.
func entry(s record.Sighting, p record.Proof) string {
	if p.Size == 0 {
		return ""
	}
	return "/tlog" + tilelog.EntryPath(s.Index, p.Size)
}
