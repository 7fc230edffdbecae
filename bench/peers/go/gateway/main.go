// A reverse proxy made of net/http/httputil, both sides kept alive.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address")
	upstream := flag.String("upstream", "127.0.0.1:8081", "address")
	flag.Parse()

	transport := http.DefaultTransport.(*http.Transport).Clone()
	// With the default of 2 nearly every request would dial.
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 2048, 2048
	transport.DisableCompression = true
	transport.ForceAttemptHTTP2 = false
	origin := &url.URL{Scheme: "http", Host: *upstream}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(origin) },
		Transport: transport,
	}
	log.Fatal(http.ListenAndServe(*listen, proxy))
}
