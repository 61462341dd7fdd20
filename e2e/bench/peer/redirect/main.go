// Command redirect answers every request with a redirect to another registry,
// as registry.k8s.io does for blobs, and nothing else.
//
//	redirect ADDRESS TARGET
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	target := os.Args[2]
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target+r.URL.Path, http.StatusTemporaryRedirect)
	})))
}
