package bench

import (
	"net"
	"sync"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/bench/process"
)

// floorMain is a function that knows its answers: a manifest's bytes, or where a
// blob is. What it takes the Functions Framework, net/http and one line of log
// take of any answer.
const floorMain = `package main

import (
	"bytes"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
)

func main() {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	manifest := bytes.Repeat([]byte(" "), 500)
	length := strconv.Itoa(len(manifest))
	functions.HTTP("Registry", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Docker-Distribution-Api-Version", "registry/2.0")
		h.Set("X-Content-Type-Options", "nosniff")
		status := http.StatusOK
		if strings.Contains(r.URL.Path, "/blobs/") {
			status = http.StatusTemporaryRedirect
			h.Set("Location", "https://1.2.3.4"+r.URL.Path)
			h.Set("Content-Length", "0")
			w.WriteHeader(status)
		} else {
			h.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			h.Set("Content-Length", length)
			w.Write(manifest)
		}
		logger.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("url", r.URL.Path), slog.Int("status", status))
	})
	if err := funcframework.Start(os.Getenv("PORT")); err != nil {
		log.Fatal(err)
	}
}
`

var floorPath = sync.OnceValues(func() (string, error) { return overlaid("floor", floorMain) })

// floor starts it as the service is started.
func floor(t testing.TB) front {
	t.Helper()
	listen := need(t, process.FreeAddress)
	_, port, _ := net.SplitHostPort(listen)
	return started(t, "floor", listen, []string{"FUNCTION_TARGET=Registry", "K_SERVICE=floor", "PORT=" + port}, need(t, floorPath))
}
