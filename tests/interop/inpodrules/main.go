// SPDX-License-Identifier: Apache-2.0

// inpodrules makes istio-cni's own capture rules (its nftables form, with DNS) in the network namespace it runs in.
package main

import (
	"fmt"
	"net/netip"
	"os"

	"istio.io/istio/cni/pkg/config"
	"istio.io/istio/cni/pkg/iptables"
	"istio.io/istio/cni/pkg/trafficmanager"
	"istio.io/istio/pkg/log"
)

func main() {
	conf := &config.AmbientConfig{
		EnableIPv6: true, RedirectDNS: true,
		HostProbeSNATAddress:   netip.MustParseAddr("169.254.7.127"),
		HostProbeV6SNATAddress: netip.MustParseAddr("fd16:9254:7127:1337:ffff:ffff:ffff:ffff"),
	}
	_, pod, err := trafficmanager.NewTrafficRuleManager(&trafficmanager.TrafficRuleManagerConfig{
		NativeNftables: true, HostConfig: conf, PodConfig: conf, NlDeps: iptables.RealNlDeps(),
	})
	if err == nil {
		err = pod.CreateInpodRules(log.FindScope(log.DefaultScopeName), config.PodLevelOverrides{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "inpodrules:", err)
		os.Exit(1)
	}
}
