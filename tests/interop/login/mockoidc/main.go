// SPDX-License-Identifier: Apache-2.0

// An OpenID provider that logs everybody in: mockoidc ADDRESS CLIENT-ID CLIENT-SECRET. Issuer: http://ADDRESS/oidc.
package main

import (
	"log"
	"net"
	"os"

	"github.com/oauth2-proxy/mockoidc"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: mockoidc ADDRESS CLIENT-ID CLIENT-SECRET")
	}
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	m.ClientID, m.ClientSecret = os.Args[2], os.Args[3]
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Start(listener, nil); err != nil {
		log.Fatal(err)
	}
	select {}
}
