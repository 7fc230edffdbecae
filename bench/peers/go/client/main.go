// A load made with net/http's Transport; the same command line and summary as the Rust clients.
//
// MaxIdleConnsPerHost is raised to the number in flight: with its default of 2 nearly every request
// would dial, and the run would measure connect(2).
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"math/bits"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var hello = []byte("Hello, World!")

func main() {
	inFlight := flag.Int("c", 64, "requests in flight")
	requests := flag.Int64("n", 100_000, "requests")
	seconds := flag.Float64("d", 0, "seconds, instead of a number of requests")
	postBytes := flag.Int("post-bytes", 0, "length of the content of requests, which are POSTs then")
	origins := flag.Int("origins", 1, "origins that requests go round")
	bodyBytes := flag.Int("body-bytes", len(hello), "length of the expected body")
	urls := urlsOf(urlAndFlags(), origins)

	var dials atomic.Int64
	dialer := net.Dialer{}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConns:        max(*inFlight, *origins),
		MaxIdleConnsPerHost: *inFlight,
		DisableCompression:  true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		},
	}}
	expected, content := body(*bodyBytes), body(*postBytes)

	var remaining, failed atomic.Int64
	remaining.Store(*requests)
	if *seconds > 0 {
		remaining.Store(math.MaxInt64)
		time.AfterFunc(time.Duration(*seconds*float64(time.Second)), func() { remaining.Store(0) })
	}
	tallies := make([]tally, *inFlight)
	started := time.Now()
	var workers sync.WaitGroup
	for i := range tallies {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for next := i; remaining.Add(-1) >= 0; next += *inFlight {
				begun := time.Now()
				if err := exchange(client, urls[next%len(urls)], content, expected); err != nil {
					log.Print(err)
					failed.Add(1)
					remaining.Store(0)
					return
				}
				tallies[i].record(time.Since(begun))
			}
		}()
	}
	workers.Wait()

	total := tally{}
	for i := range tallies {
		total.add(&tallies[i])
	}
	fmt.Printf(`{"requests":%d,"ok":%d,"failed":%d,"connections_opened":%d,"seconds":%f,"latency_us":{"p50":%d,"p99":%d,"p999":%d,"max":%d}}`+"\n",
		total.count+failed.Load(), total.count, failed.Load(), dials.Load(),
		time.Since(started).Seconds(), total.quantile(0.5), total.quantile(0.99), total.quantile(0.999),
		total.longest.Microseconds())
	if failed.Load() > 0 {
		os.Exit(1)
	}
}

// The URL may stand before or after the flags, as in the other clients.
func urlAndFlags() string {
	args := os.Args[1:]
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		args = append(append([]string{}, args[1:]...), args[0])
	}
	flag.CommandLine.Parse(args)
	if flag.NArg() != 1 {
		log.Fatal("a URL is needed")
	}
	return flag.Arg(0)
}

func body(length int) []byte {
	return bytes.Repeat(hello, length/len(hello)+1)[:length]
}

// Origins differ by their address, as in the other clients: 127.0.0.1, 127.0.0.2, … 127.0.1.1, …
func urlsOf(first string, origins *int) []string {
	urls := []string{first}
	for i := 1; i < *origins; i++ {
		address := fmt.Sprintf("127.0.%d.%d:", i/250, i%250+1)
		urls = append(urls, strings.Replace(first, "127.0.0.1:", address, 1))
	}
	return urls
}

func exchange(client *http.Client, url string, content, expected []byte) error {
	var response *http.Response
	var err error
	if len(content) == 0 {
		response, err = client.Get(url)
	} else {
		response, err = client.Post(url, "text/plain", bytes.NewReader(content))
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !bytes.Equal(body, expected) {
		return fmt.Errorf("status %d with %d bytes", response.StatusCode, len(body))
	}
	return nil
}

const stepsPerOctave = 64

// tally counts latencies in buckets of at most 1.6 % width.
type tally struct {
	count   int64
	longest time.Duration
	buckets [40 * stepsPerOctave]int64
}

func (t *tally) record(latency time.Duration) {
	t.count++
	t.longest = max(t.longest, latency)
	t.buckets[bucket(uint64(latency.Microseconds()))]++
}

func (t *tally) add(other *tally) {
	t.count += other.count
	t.longest = max(t.longest, other.longest)
	for i, count := range other.buckets {
		t.buckets[i] += count
	}
}

func (t *tally) quantile(q float64) uint64 {
	rank := int64(q * float64(t.count))
	for i, count := range t.buckets {
		rank -= count
		if rank < 0 {
			return lowest(i)
		}
	}
	return uint64(t.longest.Microseconds())
}

// bucket and lowest: values under stepsPerOctave have a bucket each, then every octave has
// stepsPerOctave buckets.
func bucket(micros uint64) int {
	octave := max(bits.Len64(micros)-bits.Len64(stepsPerOctave), -1) + 1
	if octave == 0 {
		return int(micros)
	}
	return octave*stepsPerOctave + int(micros>>(octave-1)) - stepsPerOctave
}

func lowest(bucket int) uint64 {
	octave := bucket / stepsPerOctave
	if octave == 0 {
		return uint64(bucket)
	}
	return uint64(bucket%stepsPerOctave+stepsPerOctave) << (octave - 1)
}
