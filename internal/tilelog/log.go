package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/record"
)

const (
	logDir   = "log"
	lockFile = "lock"

	// checkpointInterval is the shortest that the driver allows.
	checkpointInterval = 100 * time.Millisecond
	// A batch waits for more entries for maxBatchAge, unless it is full.
	maxBatchAge = 10 * time.Millisecond
	maxBatch    = 1024
	// pollInterval is how often a wait looks for a new checkpoint.
	pollInterval = 10 * time.Millisecond
	// witnessTimeout bounds the wait for the witnesses of one checkpoint.
	witnessTimeout = 5 * time.Second
	// openWorkers is how many files Open reads at once.
	openWorkers = 4

	defaultTimeout = 30 * time.Second
)

// A Config says where a log is and how it is kept.
type Config struct {
	// Dir is the log's directory. It is made, for this user alone, if it is
	// not there, and a new log in it.
	Dir string
	// WitnessPolicy is the path of a file in Tessera's witness policy format.
	// If set, no checkpoint is published without the cosignatures it asks for.
	WitnessPolicy string
	// Timeout bounds one Add, and the wait for the first checkpoint in Open.
	// Zero means 30 s.
	Timeout time.Duration
	// Admit is asked before each record is written. Its error is Add's, and
	// then nothing is written. Nil admits every record.
	Admit func() error
	// Logger gets what an operator should know. Nil: nobody does.
	Logger *slog.Logger
}

// A Log is an open log that records can be added to. It is safe for concurrent
// use. It is the only one to have its directory open until it is closed.
type Log struct {
	key    key
	files  directory
	lock   *flock.Flock
	logger *slog.Logger
	admit  func() error
	space  func(path string) (space, error) // freeSpace, outside tests

	appender *tessera.Appender
	awaiter  *tessera.PublicationAwaiter
	shutdown func(context.Context) error
	ctx      context.Context // ends with the driver
	stop     context.CancelFunc
	adds     *flight.Group[record.Sighting]
	handed   sync.WaitGroup // entries that the driver has not answered yet

	index     index
	published atomic.Pointer[Checkpoint] // the last one that was verified, never nil
	following sync.Mutex                 // held while published and tree move on
	tree      *compact.Range             // of published
	pending   pending
	waiting   atomic.Int64 // calls that wait for a checkpoint
}

// Open opens the log in a directory, or begins one.
//
// It reads and checks the whole log before it starts the driver. A log that is
// damaged or gone, or whose key is not there or is another's, is ErrDamaged with
// the file and what is wrong with it, and nothing is changed. A log that another
// process has open is ErrLocked, a policy that cannot be used ErrPolicy.
//
// ctx bounds Open alone.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Admit == nil {
		cfg.Admit = func() error { return nil }
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	witnesses, err := readPolicy(cfg.WitnessPolicy)
	if err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Clean(cfg.Dir)); err != nil {
		return nil, fmt.Errorf("make the log's directory: %w", err)
	}
	lock := flock.New(filepath.Join(cfg.Dir, lockFile), flock.SetPermissions(0o600))
	if ok, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock the log in %s: %w", cfg.Dir, err)
	} else if !ok {
		return nil, fmt.Errorf("the log in %s is %w", cfg.Dir, ErrLocked)
	}
	l := &Log{
		lock:   lock,
		files:  directory{root: filepath.Join(cfg.Dir, logDir)},
		logger: cfg.Logger,
		admit:  cfg.Admit,
		space:  freeSpace,
		adds:   flight.NewGroup[record.Sighting](cfg.Timeout),
		tree:   ranges.NewEmptyRange(0),
	}
	if err := l.open(ctx, cfg, witnesses); err != nil {
		return nil, errors.Join(fmt.Errorf("open the log in %s: %w", cfg.Dir, err), lock.Unlock())
	}
	return l, nil
}

func (l *Log) open(ctx context.Context, cfg Config, witnesses *tessera.WitnessGroup) error {
	start := time.Now()
	if err := l.load(ctx, cfg.Dir); err != nil {
		return err
	}
	if err := l.begin(ctx, cfg, witnesses); err != nil {
		return err
	}
	references, duplicates := l.index.counts()
	l.logger.Info("tile log open", "dir", cfg.Dir, "verifierKey", l.key.text, "size", l.published.Load().Size,
		"references", references, "duplicates", duplicates, "took", time.Since(start))
	return nil
}

// load reads the key, makes it for a new log, and checks and reads what is
// there of the log.
func (l *Log) load(ctx context.Context, dir string) error {
	began, err := begun(dir)
	if err != nil {
		return err
	}
	k, err := readKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		// Whatever is there was signed by a key that is gone.
		rest, err := os.ReadDir(l.files.root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(rest) > 0 || began {
			return damaged(keyFile, "missing, while there is a log")
		}
		l.key, err = createKey(dir)
		return err
	}
	if err != nil {
		return err
	}
	l.key = k
	s, err := readState(ctx, l.files.root, k)
	switch {
	case err == nil && began && (s == nil || s.checkpoint.Raw == nil):
		err = damaged(layout.CheckpointPath, "missing, while there was a log by this key")
	case err == nil && s != nil:
		err = l.verify(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("in %s/: %w", logDir, err)
	}
	return nil
}

// verify checks the log against its state and fills the index up to the
// checkpoint. Entries beyond it wait for the next one.
func (l *Log) verify(ctx context.Context, s *stored) error {
	var batch []indexed
	c := checker{
		src:     directory{root: l.files.root, exact: true},
		exact:   true,
		trees:   s.trees(),
		workers: openWorkers,
		visit: func(file string, i uint64, entry []byte) error {
			r, err := DecodeRecord(entry)
			if err != nil {
				return entryError(file, i, err)
			}
			if int64(i) >= s.checkpoint.Size {
				l.pending.put(r.Ref, written{index: i, entry: entry})
				return nil
			}
			batch = append(batch, indexed{r, int64(i)})
			if len(batch) < maxBatch {
				return nil
			}
			err = l.index.add(batch...)
			batch = batch[:0]
			return err
		},
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	if err := l.index.add(batch...); err != nil {
		return err
	}
	return l.resume(ctx, s.checkpoint)
}

// begin starts the driver and waits until a checkpoint is published.
func (l *Log) begin(ctx context.Context, cfg Config, witnesses *tessera.WitnessGroup) error {
	for _, ready := range []func() error{l.files.writable, l.files.notAhead} {
		if err := ready(); err != nil && !errors.Is(err, fs.ErrNotExist) { // a new log has no files yet
			return err
		}
	}
	l.ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	driver, err := posix.New(l.ctx, posix.Config{
		Path:       l.files.root,
		HTTPClient: &http.Client{Timeout: 2 * witnessTimeout},
	})
	if err == nil {
		o := tessera.NewAppendOptions().
			WithCheckpointSigner(l.key.signer).
			WithCheckpointInterval(checkpointInterval).
			WithBatching(maxBatch, maxBatchAge)
		if witnesses != nil {
			o = o.WithWitnesses(*witnesses, &tessera.WitnessOptions{Timeout: witnessTimeout})
		}
		l.appender, l.shutdown, _, err = tessera.NewAppender(l.ctx, driver, o)
		if err != nil { // may have a line for each witness
			err = errors.New(strings.ReplaceAll(err.Error(), "\n", ": "))
		}
	}
	if err == nil {
		err = l.first(ctx, cfg.Timeout)
	}
	if err == nil {
		err = markBegun(cfg.Dir)
	}
	if err != nil {
		l.stop()
		return err
	}
	l.awaiter = tessera.NewPublicationAwaiter(l.ctx, l.poll, pollInterval)
	return nil
}

// poll reads the checkpoint for the awaiter, which asks all the time, but from
// the disk only while somebody waits.
func (l *Log) poll(ctx context.Context) ([]byte, error) {
	if l.waiting.Load() == 0 {
		return l.published.Load().Raw, nil
	}
	if err := l.files.notAhead(); err != nil {
		return nil, err
	}
	return l.files.ReadCheckpoint(ctx)
}

// first waits for the log's first checkpoint, so that none is missing later
// but for damage.
func (l *Log) first(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		raw, err := l.files.ReadCheckpoint(ctx)
		if err == nil {
			_, err = l.follow(ctx, raw)
			return err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no checkpoint was published: %w", ctx.Err())
		}
	}
}
