// SPDX-License-Identifier: Apache-2.0

// A server of net/http for tests, HTTP/1 and HTTP/2 in the clear: echo PORT [ADDRESS]. It answers with the request's body (or hello) and
// writes down how it read it: METHOD HOST TARGET [BODY].
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Printf("%s %s %s [%.99s]\n", r.Method, r.Host, r.RequestURI, body)
	for name, values := range r.Trailer {
		w.Header().Set("X-Trailer-"+name, values[0])
	}
	if len(body) == 0 {
		body = []byte("hello\n")
	}
	w.Write(body)
}

func main() {
	host := "127.0.0.1"
	if len(os.Args) > 2 {
		host = os.Args[2]
	}
	s := &http.Server{Addr: net.JoinHostPort(host, os.Args[1]), Handler: http.HandlerFunc(answer), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	fmt.Println(s.ListenAndServe())
	os.Exit(1)
}
