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
	"math/bits"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var hello = []byte("Hello, World!")

func main() {
	inFlight := flag.Int("c", 64, "requests in flight")
	requests := flag.Int64("n", 100_000, "requests")
	bodyBytes := flag.Int("body-bytes", len(hello), "length of the expected body")
	url := urlAndFlags()

	var dials atomic.Int64
	dialer := net.Dialer{}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConns:        *inFlight,
		MaxIdleConnsPerHost: *inFlight,
		DisableCompression:  true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		},
	}}
	expected := bytes.Repeat(hello, *bodyBytes/len(hello)+1)[:*bodyBytes]

	var remaining, failed atomic.Int64
	remaining.Store(*requests)
	tallies := make([]tally, *inFlight)
	started := time.Now()
	var workers sync.WaitGroup
	for i := range tallies {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for remaining.Add(-1) >= 0 {
				begun := time.Now()
				if err := exchange(client, url, expected); err != nil {
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

func exchange(client *http.Client, url string, expected []byte) error {
	response, err := client.Get(url)
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
