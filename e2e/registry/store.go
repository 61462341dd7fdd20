package registry

import (
	"net/http"
	"os"
	"regexp"
)

// storedPath is where Distribution's storage keeps a blob's bytes. The blobs
// of its redirect middleware are at the same path of another host.
var storedPath = regexp.MustCompile(`^/docker/registry/v2/blobs/sha256/[0-9a-f]{2}/[0-9a-f]{64}/data$`)

// storeHandler serves blobs from Distribution's storage directory, and nothing
// else. As object stores do, it refuses a request with an Authorization
// header: the address alone is the permission, and a token sent here is a leak.
// (Go's HTTP client follows a redirect with its token where only the port differs.)
func storeHandler(dir string) http.Handler {
	files := http.FileServerFS(os.DirFS(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Header.Get("Authorization") != "":
			http.Error(w, "only one authentication mechanism is allowed", http.StatusBadRequest)
		case !storedPath.MatchString(req.URL.Path):
			http.NotFound(w, req)
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			files.ServeHTTP(w, req)
		}
	})
}
