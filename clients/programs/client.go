// Go's net/http with its defaults. Arguments: URL, method.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func ask(client *http.Client, method, url string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader("hi")
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return "error"
	}
	response, err := client.Do(request)
	if err == nil {
		var content []byte
		content, err = io.ReadAll(response.Body)
		response.Body.Close()
		if err == nil {
			return "ok " + string(content)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "error"
}

func main() {
	for number := range 3 {
		if number > 0 {
			time.Sleep(333 * time.Millisecond)
		}
		fmt.Println(ask(http.DefaultClient, os.Args[2], os.Args[1]))
	}
}
