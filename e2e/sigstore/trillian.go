package sigstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	tlog "github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A trillianServer is Trillian with two empty trees, one for each log.
type trillianServer struct {
	conn            *grpc.ClientConn
	port            int
	rekorID, ctfeID int64 // tree IDs
}

func (s *Sigstore) startTrillian(ctx context.Context, every time.Duration) (*trillianServer, error) {
	trees := memory.NewTreeStorage()
	leaves := &leafStorage{
		LogStorage: memory.NewLogStorage(trees, nil),
		integrate:  every == 0,
		seen:       make(map[leafKey]*trillian.LogLeaf),
	}
	registry := extension.Registry{
		AdminStorage: memory.NewAdminStorage(trees),
		LogStorage:   leaves,
		QuotaManager: quota.Noop(),
	}
	tlog.InitMetrics(nil)
	logServer := server.NewTrillianLogRPCServer(registry, clock.System)

	t := &trillianServer{}
	for _, id := range []*int64{&t.rekorID, &t.ctfeID} {
		var err error
		if *id, err = newTree(ctx, registry, logServer); err != nil {
			return nil, err
		}
	}
	var err error
	srv := grpc.NewServer(grpc.UnaryInterceptor(oneAtATime()))
	trillian.RegisterTrillianLogServer(srv, logServer)
	if t.conn, t.port, err = s.serveGRPC(srv); err != nil {
		return nil, err
	}
	if every > 0 {
		s.startSequencer(registry, every, t.rekorID, t.ctfeID)
	}
	return t, nil
}

func newTree(ctx context.Context, registry extension.Registry, logServer trillian.TrillianLogServer) (int64, error) {
	tree, err := admin.New(registry, nil).CreateTree(ctx, &trillian.CreateTreeRequest{Tree: &trillian.Tree{
		TreeType:        trillian.TreeType_LOG,
		TreeState:       trillian.TreeState_ACTIVE,
		MaxRootDuration: durationpb.New(time.Hour),
	}})
	if err != nil {
		return 0, fmt.Errorf("create tree: %w", err)
	}
	if _, err := logServer.InitLog(ctx, &trillian.InitLogRequest{LogId: tree.TreeId}); err != nil {
		return 0, fmt.Errorf("init tree: %w", err)
	}
	return tree.TreeId, nil
}

// oneAtATime runs one call at a time: concurrent readers of the in-memory
// storage copy its tree under a read lock, but copying writes to the tree.
func oneAtATime() grpc.UnaryServerInterceptor {
	var mu sync.Mutex
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		return handle(ctx, req)
	}
}

// startSequencer integrates queued leaves at an interval until Close.
func (s *Sigstore) startSequencer(registry extension.Registry, every time.Duration, ids ...int64) {
	sequencer := tlog.NewSequencerManager(registry, 0)
	pass := &tlog.OperationInfo{Registry: registry, BatchSize: 1000, TimeSource: clock.System}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		var errs []error
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-ticker.C:
				for _, id := range ids {
					if _, err := sequencer.ExecutePass(ctx, id, pass); err != nil && ctx.Err() == nil {
						errs = append(errs, err)
					}
				}
			}
		}
		done <- errors.Join(errs...)
	}()
	s.stack.push(func(context.Context) error {
		cancel()
		return <-done
	})
}

// leafKey is what must be unique in a tree.
type leafKey struct {
	tree     int64
	identity string
}

// leafStorage adds to the in-memory storage what the database-backed ones do:
// it recognises a leaf queued before, and it keeps a copy of its own of each
// leaf, because the sequencer writes into what the storage holds while the
// caller still encodes its answer.
type leafStorage struct {
	storage.LogStorage
	integrate bool // inside QueueLeaves

	mu   sync.Mutex
	seen map[leafKey]*trillian.LogLeaf
}

// QueueLeaves implements [storage.LogStorage].
func (s *leafStorage) QueueLeaves(ctx context.Context, tree *trillian.Tree, leaves []*trillian.LogLeaf, at time.Time) ([]*trillian.QueuedLogLeaf, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	queued := make([]*trillian.QueuedLogLeaf, len(leaves))
	var fresh []*trillian.LogLeaf
	for i, l := range leaves {
		key := leafKey{tree.TreeId, string(l.LeafIdentityHash)}
		queued[i] = &trillian.QueuedLogLeaf{Leaf: l}
		if old := s.seen[key]; old != nil {
			queued[i].Leaf = old
			queued[i].Status = status.New(codes.AlreadyExists, "leaf already exists").Proto()
			continue
		}
		s.seen[key] = l
		fresh = append(fresh, proto.Clone(l).(*trillian.LogLeaf))
	}
	if len(fresh) == 0 {
		return queued, nil
	}
	if _, err := s.LogStorage.QueueLeaves(ctx, tree, fresh, at); err != nil {
		return nil, err
	}
	if s.integrate {
		_, err := tlog.IntegrateBatch(ctx, tree, len(fresh), 0, tree.MaxRootDuration.AsDuration(),
			clock.System, s.LogStorage, quota.Noop())
		if err != nil {
			return nil, err
		}
	}
	return queued, nil
}
