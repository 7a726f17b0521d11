// SPDX-License-Identifier: Apache-2.0

// rds NAMESPACE NAME ADDRESS LABELS FILE... tells what istiod's own generators make of the objects in each FILE for the sidecar of
// one workload ("app=cart,version=v1"), as a line of JSON: {"listeners": [...], "routes": [...], "clusters": [...]}. Objects of
// Istio's own kinds are configuration; those of Kubernetes and its Gateway API go to an API that does not exist. A MeshConfig is a
// document without kind.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/mesh"
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
	for _, name := range os.Args[5:] {
		all, err := os.ReadFile(name)
		if err == nil {
			err = test.Wrap(func(t test.Failer) { tell(t, string(all)) })
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			os.Exit(1)
		}
	}
}

func tell(t test.Failer, yaml string) {
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
		}
	}
	s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		ConfigString:           strings.Join(istio, "\n---\n"),
		KubernetesObjectString: strings.Join(kubernetes, "\n---\n"),
		MeshConfig:             m,
		KubeClientModifier: func(c kube.Client) {
			clienttest.MakeCRD(t, c, gvr.HTTPRoute)
			clienttest.MakeCRD(t, c, gvr.GRPCRoute)
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
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		t.Fatal(err)
	}
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
