// A net/http server with its defaults, for comparison.
package main

import (
	"bytes"
	"flag"
	"io"
	"log"
	"net/http"
	"strconv"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address")
	bodyBytes := flag.Int("body-bytes", 13, "length of the answer")
	postBytes := flag.Int64("post-bytes", 0, "length of the content that every request must have")
	flag.Parse()

	hello := []byte("Hello, World!")
	body := bytes.Repeat(hello, *bodyBytes/len(hello)+1)[:*bodyBytes]
	length := strconv.Itoa(len(body))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if *postBytes > 0 {
			if read, err := io.Copy(io.Discard, r.Body); err != nil || read != *postBytes {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", length)
		w.Write(body)
	})
	log.Fatal(http.ListenAndServe(*listen, handler))
}
