// SPDX-License-Identifier: Apache-2.0

// rds NAMESPACE NAME ADDRESS LABELS FILE... tells what istiod's own generators make of the objects in each FILE for the proxy of
// one workload ("app=cart,version=v1"), as a line of JSON: {"listeners": [...], "routes": [...], "clusters": [...]}. The proxy is a
// sidecar; with the labels that a Gateway's pods have and PILOT_ENABLE_AMBIENT=true it is a waypoint. Objects of Istio's own kinds are
// configuration; those of Kubernetes and its Gateway API go to an API that does not exist, as do the others that waypoints are found
// by. A MeshConfig is a document without kind.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"istio.io/api/label"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/gatewayapi"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/util/protomarshal"
)

func main() {
	if len(os.Args) < 6 {
		fmt.Fprintln(os.Stderr, "usage: rds NAMESPACE NAME ADDRESS LABELS FILE...")
		os.Exit(2)
	}
	opt := log.DefaultOptions()
	opt.SetDefaultOutputLevel(log.OverrideScopeName, log.NoneLevel)
	_ = log.Configure(opt)
	clear(gatewayapi.MinimumCRDVersions) // the API that does not exist has no versions
	files := os.Args[5:]
	lines := make([]map[string][]json.RawMessage, len(files))
	var all errgroup.Group
	all.SetLimit(8)
	for i, name := range files {
		all.Go(func() error {
			text, err := os.ReadFile(name)
			if err == nil {
				err = test.Wrap(func(t test.Failer) { lines[i] = told(t, string(text)) })
			}
			if err != nil {
				return fmt.Errorf("%s: %v", name, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, l := range lines {
		if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// Kinds that istiod reads of the API itself where it looks for waypoints.
var ambient = []string{"kind: ServiceEntry\n", "kind: WorkloadEntry\n", "kind: AuthorizationPolicy\n"}

func told(t test.Failer, yaml string) map[string][]json.RawMessage {
	var istio, kubernetes []string
	m := mesh.DefaultMeshConfig()
	for _, doc := range strings.Split(yaml, "\n---\n") {
		switch {
		case strings.TrimSpace(doc) == "":
		case strings.Contains(doc, "apiVersion: gateway.networking.k8s.io/"), strings.Contains(doc, "apiVersion: v1\n"),
			strings.Contains(doc, "apiVersion: discovery.k8s.io/"):
			kubernetes = append(kubernetes, doc)
		case !strings.Contains(doc, "kind:"):
			m = meshOf(t, doc, m)
		default:
			istio = append(istio, doc)
			if features.EnableAmbient && slices.ContainsFunc(ambient, func(k string) bool { return strings.Contains(doc, k) }) {
				kubernetes = append(kubernetes, doc)
			}
		}
	}
	s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		ConfigString:           strings.Join(istio, "\n---\n"),
		KubernetesObjectString: strings.Join(kubernetes, "\n---\n"),
		MeshConfig:             m,
		KubeClientModifier: func(c kube.Client) {
			clienttest.MakeCRD(t, c, gvr.HTTPRoute)
			clienttest.MakeCRD(t, c, gvr.GRPCRoute)
			clienttest.MakeCRD(t, c, gvr.TCPRoute)
			clienttest.MakeCRD(t, c, gvr.TLSRoute)
		},
	})
	labels := map[string]string{}
	for _, l := range strings.Split(os.Args[4], ",") {
		if k, v, ok := strings.Cut(l, "="); ok {
			labels[k] = v
		}
	}
	p := &model.Proxy{
		ConfigNamespace: os.Args[1],
		IPAddresses:     []string{os.Args[3]},
		Labels:          labels,
		DNSDomain:       os.Args[1] + ".svc.cluster.local",
		Metadata:        &model.NodeMetadata{Namespace: os.Args[1], Labels: labels, ClusterID: "Kubernetes"},
		ID:              os.Args[2] + "." + os.Args[1],
		Type:            model.SidecarProxy,
	}
	if labels[label.GatewayManaged.Name] == constants.ManagedGatewayMeshControllerLabel {
		p.Type = model.Waypoint
	}
	if len(kubernetes) > 0 {
		time.Sleep(time.Second) // its controllers have no end that could be waited for
	}
	s.SetupProxy(p)
	out := map[string][]json.RawMessage{}
	listeners := s.Listeners(p)
	for _, l := range listeners {
		out["listeners"] = append(out["listeners"], raw(t, l))
	}
	for _, r := range s.RoutesFromListeners(p, listeners) {
		out["routes"] = append(out["routes"], raw(t, r))
	}
	for _, c := range s.Clusters(p) {
		out["clusters"] = append(out["clusters"], raw(t, c))
	}
	return out
}

func meshOf(t test.Failer, doc string, base *meshconfig.MeshConfig) *meshconfig.MeshConfig {
	m, err := mesh.ApplyMeshConfig(doc, base)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func raw(t test.Failer, m proto.Message) json.RawMessage {
	b, err := protomarshal.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
