// A client of Go's net/http against `keepline serve`: compares every byte, and prints how many
// connections the server has seen. Over https it speaks HTTP/2.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	base := os.Args[1]
	transport := http.DefaultTransport.(*http.Transport).Clone()
	proto := "HTTP/1.1"
	if len(os.Args) > 2 {
		pem, err := os.ReadFile(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		proto = "HTTP/2.0"
	}
	client := &http.Client{Transport: transport}
	ask := func(method, path string, upload []byte) (int, []byte) {
		request, err := http.NewRequest(method, base+path, bytes.NewReader(upload))
		if err != nil {
			log.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil || response.Proto != proto {
			log.Fatal(path, " ", response.Proto, " ", err)
		}
		return response.StatusCode, content
	}
	var lines strings.Builder
	for n := 1; n <= 2000; n++ {
		fmt.Fprintf(&lines, "line %017d keepline\n", n)
	}
	upload := bytes.Repeat([]byte("0123456789abcdef"), 6400)
	for range 3 {
		for _, row := range []struct {
			method, path string
			upload       []byte
			status       int
			content      []byte
		}{
			{"GET", "/", nil, 200, []byte("Hello, World!")},
			{"GET", "/lines/2000", nil, 200, []byte(lines.String())},
			{"GET", "/chunked/100000", nil, 200, bytes.Repeat([]byte("."), 100000)},
			{"POST", "/echo", upload, 200, upload},
			{"GET", "/status/404", nil, 404, []byte("404 Not Found\n")},
			{"HEAD", "/bytes/100", nil, 200, []byte{}},
		} {
			status, content := ask(row.method, row.path, row.upload)
			if status != row.status || !bytes.Equal(content, row.content) {
				log.Fatal(row.path, " ", status, " ", len(content))
			}
		}
	}
	var stats struct{ Opened int }
	if _, content := ask("GET", "/stats", nil); json.Unmarshal(content, &stats) != nil {
		log.Fatal("no statistics")
	}
	fmt.Println(stats.Opened)
}
