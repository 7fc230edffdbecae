// A server with TLS, which speaks HTTP/2 by itself: many lines everywhere, /echo sends back.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	lines := strings.Repeat("a line of thirty-two characters\n", 4000)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, lines) })
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	log.Fatal(http.ListenAndServeTLS(os.Args[1], os.Args[2], os.Args[3], nil))
}
