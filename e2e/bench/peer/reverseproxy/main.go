// Command reverseproxy is what a Go program needs at least to stand before a
// registry: net/http's own reverse proxy, and nothing else.
//
//	reverseproxy ADDRESS TARGET
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	target, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 128 // with the default of 2 it would dial for most requests
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
	}
	log.Fatal(http.ListenAndServe(os.Args[1], proxy))
}
