// SPDX-License-Identifier: Apache-2.0

// A client of net/http for tests: get URL N. N requests with bodies, many at a time, half of them over HTTP/2 in the clear; prints
// how many were answered with their own body.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	n, _ := strconv.Atoi(os.Args[2])
	var good atomic.Int64
	var wait sync.WaitGroup
	clients := make([]*http.Client, 2)
	for i := range clients {
		t := &http.Transport{Protocols: new(http.Protocols)}
		t.Protocols.SetHTTP1(i == 0)
		t.Protocols.SetUnencryptedHTTP2(i == 1)
		clients[i] = &http.Client{Transport: t}
	}
	for i := range n {
		wait.Add(1)
		go func() {
			defer wait.Done()
			body := bytes.Repeat([]byte{byte(i)}, 1+i*1000)
			r, err := clients[i%2].Post(fmt.Sprintf("%s/%d", os.Args[1], i), "application/octet-stream", bytes.NewReader(body))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			got, err := io.ReadAll(r.Body)
			if err == nil && r.StatusCode == 200 && bytes.Equal(got, body) {
				good.Add(1)
			}
		}()
	}
	wait.Wait()
	fmt.Println(good.Load())
}
