// SPDX-License-Identifier: Apache-2.0

// zdsserver SOCKET is the ZDS server of istio-cni, driven by lines on stdin:
//
//	add UID NETNS NAMESPACE NAME SERVICEACCOUNT   a pod on this node; NETNS is the path of its network namespace
//	keep UID                                      a pod whose network namespace this server does not know
//	del UID
//
// As in istio-cni, pods added before a proxy connects go into the snapshot, later ones to the newest connection.
// It answers every line, and tells its log, with one JSON object a line on stdout:
//
//	{"re":"add","uid":"u1"}                       done: acknowledged, or without a connection remembered
//	{"re":"add","uid":"u1","error":"..."}         what the proxy answered, or what went wrong
//	{"msg":"snapshot sent to ztunnel", ...}       istio-cni's own log
//
// It ends at the end of stdin.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"istio.io/istio/cni/pkg/nodeagent"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/zdsapi"
)

// istio-cni exports its server only together with its Kubernetes client and its iptables; these are the server alone.
type server struct{}

//go:linkname newServer istio.io/istio/cni/pkg/nodeagent.newZtunnelServer
func newServer(addr string, pods nodeagent.PodNetnsCache, keepalive time.Duration) (*server, error)

//go:linkname run istio.io/istio/cni/pkg/nodeagent.(*ztunnelServer).Run
func run(s *server, ctx context.Context)

//go:linkname podAdded istio.io/istio/cni/pkg/nodeagent.(*ztunnelServer).PodAdded
func podAdded(s *server, ctx context.Context, pod *corev1.Pod, netns nodeagent.Netns) error

//go:linkname podDeleted istio.io/istio/cni/pkg/nodeagent.(*ztunnelServer).PodDeleted
func podDeleted(s *server, ctx context.Context, uid string) error

type podCache struct {
	mu   sync.Mutex
	pods map[string]nodeagent.WorkloadInfo
}

func (c *podCache) ReadCurrentPodSnapshot() map[string]nodeagent.WorkloadInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	pods := map[string]nodeagent.WorkloadInfo{}
	for uid, pod := range c.pods {
		pods[uid] = pod
	}
	return pods
}

// set keeps a namespace that it replaces open: a snapshot under way may still send it.
func (c *podCache) set(uid string, pod nodeagent.WorkloadInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods[uid] = pod
}

func (c *podCache) remove(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pods, uid)
}

func command(s *server, cache *podCache, word []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch {
	case word[0] == "add" && len(word) == 6:
		netns, err := nodeagent.OpenNetns(word[2])
		if err != nil {
			return err
		}
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(word[1]), Namespace: word[3], Name: word[4]},
			Spec:       corev1.PodSpec{ServiceAccountName: word[5]},
		}
		info := &zdsapi.WorkloadInfo{Namespace: word[3], Name: word[4], ServiceAccount: word[5]}
		cache.set(word[1], nodeagent.WorkloadInfo{Workload: info, Netns: netns})
		if err := podAdded(s, ctx, pod, netns); err != nil && err.Error() != "no ztunnel connection" {
			return err
		}
	case word[0] == "keep" && len(word) == 2:
		cache.set(word[1], nodeagent.WorkloadInfo{})
	case word[0] == "del" && len(word) == 2:
		cache.remove(word[1])
		return podDeleted(s, ctx, word[1])
	default:
		return fmt.Errorf("no such command, or wrong number of words")
	}
	return nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "zdsserver:", err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: zdsserver SOCKET"))
	}
	logs := log.DefaultOptions()
	logs.JSONEncoding = true
	logs.SetDefaultOutputLevel(log.OverrideScopeName, log.DebugLevel)
	fail(log.Configure(logs))

	cache := &podCache{pods: map[string]nodeagent.WorkloadInfo{}}
	s, err := newServer(os.Args[1], cache, 5*time.Second)
	fail(err)
	go run(s, context.Background())

	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		word := strings.Fields(in.Text())
		if len(word) == 0 {
			continue
		}
		answer := map[string]string{"re": word[0]}
		if len(word) > 1 {
			answer["uid"] = word[1]
		}
		if err := command(s, cache, word); err != nil {
			answer["error"] = err.Error()
		}
		fail(out.Encode(answer))
	}
}
