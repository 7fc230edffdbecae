// A server of Go's net/http: 4000 lines for every path; at /tenth it says close with every tenth
// answer of a connection. Arguments: port, idle timeout in milliseconds.
package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type counter struct{}

func main() {
	body := strings.Repeat("a line of thirty-two characters\n", 4000)
	idle, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr:        "127.0.0.1:" + os.Args[1],
		IdleTimeout: time.Duration(idle) * time.Millisecond,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, counter{}, new(int))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests := r.Context().Value(counter{}).(*int)
			*requests++
			if r.URL.Path == "/tenth" && *requests%10 == 0 {
				w.Header().Set("Connection", "close")
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			io.WriteString(w, body)
		}),
	}
	log.Fatal(server.ListenAndServe())
}
