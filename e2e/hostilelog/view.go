package hostilelog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A View answers as the log itself would if it had another tree: it proves the
// log's genuine entries by that, under checkpoints that it signs with the log's
// own key. Nothing in one answer alone tells it from the log.
type View struct {
	rekor  string // its URL
	signer signature.Signer
	forged []byte // what the first leaf is instead; nil: what it is
	until  uint64 // the size at which it stays behind; 0: it does not

	mu   sync.Mutex
	tree *testonly.Tree
}

// Fork returns a view of another history: its first leaf is another one, so the
// log's first entry it does not prove. It grows as the log does.
func Fork(s *sigstore.Sigstore) (*View, error) {
	return newView(s, []byte("an entry that nobody else is shown"), 0)
}

// Replica returns the view of a replica that lags: the log as it was at a size.
// What came later it shows as the log does.
func Replica(s *sigstore.Sigstore, size uint64) (*View, error) { return newView(s, nil, size) }

func newView(s *sigstore.Sigstore, forged []byte, until uint64) (*View, error) {
	pem, err := os.ReadFile(filepath.Join(filepath.Dir(s.TrustedRootPath), "rekor.pem"))
	if err != nil {
		return nil, fmt.Errorf("hostilelog: the log's key: %w", err)
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(pem, cryptoutils.SkipPassword)
	if err != nil {
		return nil, fmt.Errorf("hostilelog: the log's key: %w", err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("hostilelog: the log's key is a %T", key)
	}
	signer, err := signature.LoadECDSASigner(private, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("hostilelog: the log's key: %w", err)
	}
	return &View{rekor: s.RekorURL, signer: signer, forged: forged, until: until, tree: testonly.New(rfc6962.DefaultHasher)}, nil
}

// Entries is a hook that proves, by the view's tree, the entries that Rekor
// answers.
func (v *View) Entries() sigstore.Hook {
	change := func(body []byte) ([]byte, error) {
		var answer any
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, err
		}
		list, ok := answer.([]any)
		if !ok {
			list = []any{answer} // to a create
		}
		for _, entries := range list {
			for _, e := range entries.(map[string]any) {
				proof := e.(map[string]any)["verification"].(map[string]any)["inclusionProof"].(map[string]any)
				if err := v.include(proof); err != nil {
					return nil, err
				}
			}
		}
		return json.Marshal(answer)
	}
	return First(rewritten(RetrievePath, change), rewritten(CreatePath, change))
}

// Head is a hook under which the log's newest checkpoint is the view's.
func (v *View) Head() sigstore.Hook {
	return rewritten(LogPath, func(body []byte) ([]byte, error) {
		var log map[string]any
		if err := json.Unmarshal(body, &log); err != nil {
			return nil, err
		}
		size := uint64(log["treeSize"].(float64))
		if v.until > 0 {
			size = min(size, v.until)
		}
		checkpoint, root, err := v.checkpoint(log["signedTreeHead"].(string), size)
		log["signedTreeHead"], log["rootHash"], log["treeSize"] = checkpoint, root, size
		if err != nil {
			return nil, err
		}
		return json.Marshal(log)
	})
}

// Proofs is a hook under which consistency proofs are the view's: within its
// own history they hold.
func (v *View) Proofs() sigstore.Hook {
	return At(ProofPath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, ferr := strconv.ParseUint(r.URL.Query().Get("firstSize"), 10, 64)
		last, lerr := strconv.ParseUint(r.URL.Query().Get("lastSize"), 10, 64)
		err := errors.Join(ferr, lerr)
		if err == nil {
			err = v.grow(r.Context(), last)
		}
		var hashes [][]byte
		if err == nil {
			v.mu.Lock()
			defer v.mu.Unlock()
			hashes, err = v.tree.ConsistencyProof(first, last)
		}
		if err != nil {
			http.Error(w, "hostilelog: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"rootHash": hex.EncodeToString(v.tree.HashAt(last)), "hashes": hexes(hashes)})
	}))
}

// include changes an inclusion proof to one of the view's tree.
func (v *View) include(p map[string]any) error {
	index, size := uint64(p["logIndex"].(float64)), uint64(p["treeSize"].(float64))
	if v.until > 0 && index >= v.until {
		return nil
	}
	if v.until > 0 {
		size = min(size, v.until)
	}
	checkpoint, root, err := v.checkpoint(p["checkpoint"].(string), size)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	hashes, err := v.tree.InclusionProof(index, size)
	if err != nil {
		return err
	}
	p["checkpoint"], p["rootHash"], p["treeSize"], p["hashes"] = checkpoint, root, size, hexes(hashes)
	return nil
}

// checkpoint returns a signed checkpoint of the view's tree at a size, under
// the origin that genuine has, and its root hash.
func (v *View) checkpoint(genuine string, size uint64) (text, rootHash string, err error) {
	if err := v.grow(context.Background(), size); err != nil {
		return "", "", err
	}
	v.mu.Lock()
	root := v.tree.HashAt(size)
	v.mu.Unlock()
	origin, _, _ := strings.Cut(genuine, "\n")
	c, err := util.CreateSignedCheckpoint(util.Checkpoint{Origin: origin, Size: size, Hash: root})
	if err != nil {
		return "", "", err
	}
	name, _, _ := strings.Cut(origin, " ")
	if _, err := c.Sign(name, v.signer, options.NoOpOptionImpl{}); err != nil {
		return "", "", err
	}
	return c.SignedNote.String(), hex.EncodeToString(root), nil
}

// grow takes leaves of the log until the view's tree has a size.
func (v *View) grow(ctx context.Context, size uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := v.tree.Size(); i < size; i++ {
		leaf := v.forged
		if i > 0 || leaf == nil {
			var err error
			if leaf, err = v.leaf(ctx, i); err != nil {
				return fmt.Errorf("leaf %d: %w", i, err)
			}
		}
		v.tree.AppendData(leaf)
	}
	return nil
}

// leaf reads a leaf of the log.
func (v *View) leaf(ctx context.Context, index uint64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.rekor+CreatePath+"?logIndex="+strconv.FormatUint(index, 10), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var entries map[string]struct{ Body []byte }
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&entries); err != nil || len(entries) != 1 {
		return nil, fmt.Errorf("status %d, %v: %.200s", resp.StatusCode, err, b)
	}
	for _, e := range entries {
		return e.Body, nil
	}
	panic("unreachable")
}

func hexes(hashes [][]byte) []string {
	list := []string{}
	for _, h := range hashes {
		list = append(list, hex.EncodeToString(h))
	}
	return list
}
