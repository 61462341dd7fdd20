package registry

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// referrers answers the distribution-spec's referrers API from the fall-back
// tags of the registry next, which has no such API. Authorisation is the
// registry's own, that of the fall-back tag's manifest.
func referrers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := referrersPath.FindStringSubmatch(req.URL.Path)
		if path == nil || req.Method != http.MethodGet {
			next.ServeHTTP(w, req)
			return
		}
		digest, err := v1.NewHash(path[2])
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"errors":[{"code":"DIGEST_INVALID","message":"provided digest is invalid"}]}` + "\n"))
			return
		}
		tag := req.Clone(req.Context())
		tag.URL.Path = "/v2/" + path[1] + "/manifests/" + digest.Algorithm + "-" + digest.Hex
		tag.URL.RawQuery = ""
		tag.Header.Set("Accept", string(types.OCIImageIndex))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, tag)

		index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
		switch answer.Code {
		case http.StatusOK:
			if err := json.Unmarshal(answer.Body.Bytes(), &index); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		case http.StatusNotFound: // no referrers yet: an empty list
		default:
			for name, values := range answer.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes())
			return
		}
		writeReferrers(w, index, req.URL.Query().Get("artifactType"))
	})
}

// writeReferrers writes the referrers of one type, or all of them.
func writeReferrers(w http.ResponseWriter, index v1.IndexManifest, artifactType string) {
	if artifactType != "" {
		kept := []v1.Descriptor{}
		for _, d := range index.Manifests {
			if strings.EqualFold(d.ArtifactType, artifactType) {
				kept = append(kept, d)
			}
		}
		index.Manifests = kept
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", string(types.OCIImageIndex))
	// A failed write means that the client is gone.
	_ = json.NewEncoder(w).Encode(index)
}
