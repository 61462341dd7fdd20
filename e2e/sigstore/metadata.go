package sigstore

import (
	"fmt"
	"net/http"
	"time"
)

// OtherMetadata starts another metadata server, for the service account email,
// and returns its host:port for GCE_METADATA_HOST. It runs until Close.
// With it two instances of different identities can share one Rekor.
//
// The server knows the root, the account's e-mail and identity tokens, by the
// rules of https://cloud.google.com/compute/docs/metadata: a request without
// the header Metadata-Flavor: Google is refused, and a token names the e-mail
// only where format=full was asked for.
func (s *Sigstore) OtherMetadata(email string) (host string, err error) {
	mux := http.NewServeMux()
	text := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
	}
	text("/{$}", "computeMetadata/\n")
	text("/computeMetadata/v1/{$}", "instance/\nproject/\n")
	text("/computeMetadata/v1/project/project-id", "project")
	text("/computeMetadata/v1/instance/service-accounts/{$}", "default/\n"+email+"/\n")
	for _, account := range []string{"default", email} {
		dir := "/computeMetadata/v1/instance/service-accounts/" + account
		text(dir+"/email", email)
		mux.HandleFunc("GET "+dir+"/identity", func(w http.ResponseWriter, r *http.Request) {
			s.serveIdentity(w, r, email)
		})
	}
	return s.serveHTTP(metadataFlavor(mux))
}

func (s *Sigstore) serveIdentity(w http.ResponseWriter, r *http.Request, email string) {
	q := r.URL.Query()
	audience := q.Get("audience")
	if audience == "" {
		http.Error(w, "non-empty audience parameter required", http.StatusBadRequest)
		return
	}
	token, err := s.issuer.token(email, audience, q.Get("format") == "full", time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, token)
}

// metadataFlavor demands the header that a redirected browser cannot send, and
// answers with the header by which clients know the server.
func metadataFlavor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		w.Header().Set("Server", "Metadata Server for VM")
		w.Header().Set("Content-Type", "application/text")
		if r.URL.Path != "/" && r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "missing Metadata-Flavor:Google header", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
