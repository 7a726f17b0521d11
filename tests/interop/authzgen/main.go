// SPDX-License-Identifier: Apache-2.0

// authzgen translates AuthorizationPolicies as istiod does for Envoy: a JSON list of {namespace, name, action, rules} comes in, a list of
// {http, tcp} goes out, each an envoy.config.rbac.v3.RBAC. Flags: the mesh's trust domain and its aliases.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	rbacpb "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	"google.golang.org/protobuf/encoding/protojson"
	authzpb "istio.io/api/security/v1beta1"
	"istio.io/istio/pilot/pkg/security/authz/model"
	"istio.io/istio/pilot/pkg/security/trustdomain"
	"k8s.io/apimachinery/pkg/types"
)

type policy struct {
	Namespace, Name, Action string
	Rules                   []json.RawMessage
}

func generate(p policy, td trustdomain.Bundle, tcp bool) (json.RawMessage, error) {
	out := &rbacpb.RBAC{Action: rbacpb.RBAC_Action(rbacpb.RBAC_Action_value[p.Action]), Policies: map[string]*rbacpb.Policy{}}
	for i, raw := range p.Rules {
		rule := &authzpb.Rule{}
		if err := protojson.Unmarshal(raw, rule); err != nil {
			return nil, fmt.Errorf("%s/%s: %v", p.Namespace, p.Name, err)
		}
		m, err := model.New(types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, rule)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %v", p.Namespace, p.Name, err)
		}
		m.MigrateTrustDomain(td)
		// As istiod: what cannot be said of bytes is left out.
		if g, err := m.Generate(tcp, true, out.Action); err == nil && g != nil {
			out.Policies[fmt.Sprintf("ns[%s]-policy[%s]-rule[%d]", p.Namespace, p.Name, i)] = g
		}
	}
	return protojson.Marshal(out)
}

func main() {
	var policies []policy
	var out []map[string]json.RawMessage
	td := trustdomain.NewBundle(os.Args[1], strings.Fields(strings.Join(os.Args[2:], " ")))
	if err := json.NewDecoder(os.Stdin).Decode(&policies); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, p := range policies {
		http, err := generate(p, td, false)
		if err == nil {
			var tcp json.RawMessage
			if tcp, err = generate(p, td, true); err == nil {
				out = append(out, map[string]json.RawMessage{"http": http, "tcp": tcp})
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	json.NewEncoder(os.Stdout).Encode(out)
}
