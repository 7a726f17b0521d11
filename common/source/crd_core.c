/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' own kinds, and the list of all kinds. */
#include "source/crd.h"

/* --- Service --- */

static const struct field port_rows[] = {
	ROW("name", STRING, crd_core_port, name, "Name, which the ports of WorkloadEntries refer to."),
	ROW("port", PORT, crd_core_port, port, "Port that clients use."),
	ROW("targetPort", PORT_OR_NAME, crd_core_port, target, "Port of the endpoints, or its name there; the same number when absent."),
	ROW("protocol", STRING, crd_core_port, protocol, "TCP; ports of UDP and SCTP are left out.", .deflt = "TCP"),
	ROW("appProtocol", STRING, crd_core_port, app, "Protocol of the port: http, http2, grpc, https, tcp, kubernetes.io/h2c and others; says more than the name."),
	ROW_NOT("nodePort", IGNORED, "Of no use inside the mesh.", NULL),
	{ 0 },
};
static const struct field_table port_table = { .name = "ports", .size = sizeof(struct crd_core_port), .fields = port_rows };

static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", NULL };
static const char *const policies[] = { "Cluster", "Local", NULL };

static const struct field service_rows[] = {
	ROW("selector", LABELS, crd_service, selector, "Takes Pods and WorkloadEntries of the namespace as endpoints."),
	ROW("clusterIP", STRING, crd_service, cluster_ip, "Virtual address; None for a headless service."),
	ROW("clusterIPs", STRINGS, crd_service, cluster_ips, "Virtual addresses of both families."),
	ROW("ports", MESSAGES, crd_service, ports, "Ports of the service.", .sub = &port_table),
	ROW("type", ENUM, crd_service, type, "ExternalName services are left to DNS.", .words = types, .deflt = "ClusterIP"),
	ROW("internalTrafficPolicy", ENUM, crd_service, internal_policy, "Local: only endpoints on the client's node.",
	    .words = policies, .deflt = "Cluster"),
	ROW("trafficDistribution", STRING, crd_service, distribution,
	    "PreferClose or PreferSameZone: network, region, zone; PreferSameNode: down to the node."),
	ROW("publishNotReadyAddresses", BOOL, crd_service, publish_not_ready, "Also endpoints that are not ready."),
	ROW("sessionAffinity", STRING, crd_service, affinity, "ClientIP is not honoured yet."),
	ROW_NOT("externalIPs", TODO, "Further virtual addresses.", "name the addresses in a ServiceEntry"),
	ROW_NOT("sessionAffinityConfig", IGNORED, "See sessionAffinity.", NULL),
	ROW_NOT("externalName", IGNORED, "Left to DNS.", NULL),
	ROW_NOT("externalTrafficPolicy", IGNORED, "Of no use inside the mesh.", NULL),
	ROW_NOT("healthCheckNodePort", IGNORED, "Of no use inside the mesh.", NULL),
	ROW_NOT("ipFamilies", IGNORED, "An endpoint is reached by the family that the client dialled, where it has it.", NULL),
	ROW_NOT("ipFamilyPolicy", IGNORED, "See ipFamilies.", NULL),
	ROW_NOT("allocateLoadBalancerNodePorts", IGNORED, "Of no use inside the mesh.", NULL),
	ROW_NOT("loadBalancerClass", IGNORED, "Of no use inside the mesh.", NULL),
	ROW_NOT("loadBalancerIP", IGNORED, "Of no use inside the mesh.", NULL),
	ROW_NOT("loadBalancerSourceRanges", IGNORED, "Of no use inside the mesh.", NULL),
	{ 0 },
};
const struct field_table crd_service_table = {
	.name = "Service.spec", .size = sizeof(struct crd_service), .fields = service_rows,
	.doc = "A Kubernetes service: NAME.NAMESPACE.svc.CLUSTER-DOMAIN. The annotation networking.istio.io/traffic-distribution is read too.",
};

/* --- Pod --- */

static const struct field container_port_rows[] = {
	ROW("name", STRING, crd_container_port, name, "Name, which targetPort of a Service may use."),
	ROW("containerPort", PORT, crd_container_port, port, "Its number."),
	{ 0 },
};
static const struct field_table container_port_table = {
	.name = "ports", .size = sizeof(struct crd_container_port), .open = true, .fields = container_port_rows,
};
static const struct field container_rows[] = {
	ROW("ports", MESSAGES, crd_container, ports, "Named ports.", .sub = &container_port_table),
	{ 0 },
};
static const struct field_table container_table = {
	.name = "containers", .size = sizeof(struct crd_container), .open = true, .fields = container_rows,
};
static const struct field pod_rows[] = {
	ROW("serviceAccountName", STRING, crd_pod_spec, service_account, "With trust domain and namespace the identity of the Pod.",
	    .deflt = "default"),
	ROW("nodeName", STRING, crd_pod_spec, node, "Node, for the preference of near endpoints."),
	ROW("hostNetwork", BOOL, crd_pod_spec, host_network, "Such Pods share their node's address; they are left out."),
	ROW("containers", MESSAGES, crd_pod_spec, containers, "Containers; only their ports are read.", .sub = &container_table),
	{ 0 },
};
const struct field_table crd_pod_table = {
	.name = "Pod.spec", .size = sizeof(struct crd_pod_spec), .open = true, .fields = pod_rows,
	.doc = "A Pod. Fields that say nothing to a data plane are passed over.",
};
static const struct field pod_ip_rows[] = {
	ROW("ip", STRING, crd_pod_ip, ip, "An address of the Pod."),
	{ 0 },
};
static const struct field_table pod_ip_table = { .name = "podIPs", .size = sizeof(struct crd_pod_ip), .fields = pod_ip_rows };

static const struct field condition_rows[] = {
	ROW("type", STRING, crd_condition, type, "Ready decides whether the Pod takes traffic."),
	ROW("status", STRING, crd_condition, status, "True, False or Unknown."),
	{ 0 },
};
static const struct field_table condition_table = {
	.name = "conditions", .size = sizeof(struct crd_condition), .open = true, .fields = condition_rows,
};
static const struct field pod_status_rows[] = {
	ROW("phase", STRING, crd_pod_status, phase, "A Pod that Succeeded or Failed is left out."),
	ROW("podIP", STRING, crd_pod_status, ip, "Address of the Pod."),
	ROW("podIPs", MESSAGES, crd_pod_status, ips, "Addresses of both families.", .sub = &pod_ip_table),
	ROW("conditions", MESSAGES, crd_pod_status, conditions, "Without any the Pod counts as ready.", .sub = &condition_table),
	{ 0 },
};
const struct field_table crd_pod_status_table = {
	.name = "Pod.status", .size = sizeof(struct crd_pod_status), .open = true, .fields = pod_status_rows,
};

/* --- Gateway --- */

static const char *const operators[] = { "In", "NotIn", "Exists", "DoesNotExist", NULL };
static const char *const origins[] = { "Same", "All", "Selector", "None", NULL };
static const struct field expression_rows[] = {
	ROW("key", STRING, crd_expression, key, "A label."),
	ROW("operator", ENUM, crd_expression, operator, "What must be of it.", .words = operators, .deflt = "In"),
	ROW("values", STRINGS, crd_expression, values, "Of In and NotIn."),
	{ 0 },
};
static const struct field_table expression_table = {
	.name = "matchExpressions", .size = sizeof(struct crd_expression), .fields = expression_rows,
};
static const struct field space_selector_rows[] = {
	ROW("matchLabels", LABELS, crd_space_selector, labels, "Labels that a namespace must have, all of them."),
	ROW("matchExpressions", MESSAGES, crd_space_selector, expressions, "What else must be of its labels.", .sub = &expression_table),
	{ 0 },
};
static const struct field_table space_selector_table = {
	.name = "selector", .size = sizeof(struct crd_space_selector), .fields = space_selector_rows,
};
static const struct field spaces_rows[] = {
	ROW("from", ENUM, crd_spaces, from, "Whose services and workloads may use a waypoint.", .words = origins, .deflt = "Same"),
	ROW("selector", MESSAGE, crd_spaces, selector, "Of from: Selector.", .sub = &space_selector_table),
	{ 0 },
};
static const struct field_table spaces_table = { .name = "namespaces", .size = sizeof(struct crd_spaces), .open = true, .fields = spaces_rows };
static const struct field allowed_rows[] = {
	ROW("namespaces", MESSAGE, crd_allowed, namespaces, "The Gateway's own namespace when absent.", .sub = &spaces_table),
	{ 0 },
};
static const struct field_table allowed_table = { .name = "allowedRoutes", .size = sizeof(struct crd_allowed), .open = true, .fields = allowed_rows };
static const struct field listener_rows[] = {
	ROW("name", STRING, crd_gateway_listener, name, "Its name."),
	ROW("port", PORT, crd_gateway_listener, port, "Where it speaks HBONE; 15008 without such a listener."),
	ROW("protocol", STRING, crd_gateway_listener, protocol, "HBONE; others say nothing here."),
	ROW("allowedRoutes", MESSAGE, crd_gateway_listener, allowed, "Of the HBONE listener: who may use the waypoint.", .sub = &allowed_table),
	{ 0 },
};
static const struct field_table listener_table = {
	.name = "listeners", .size = sizeof(struct crd_gateway_listener), .open = true, .fields = listener_rows,
};
static const struct field gateway_address_rows[] = {
	ROW("type", STRING, crd_gateway_address, type, "IPAddress or Hostname.", .deflt = "IPAddress"),
	ROW("value", STRING, crd_gateway_address, value, "An address, or the host name of a service of the namespace."),
	{ 0 },
};
static const struct field_table gateway_address_table = {
	.name = "addresses", .size = sizeof(struct crd_gateway_address), .open = true, .fields = gateway_address_rows,
};
static const struct field gateway_rows[] = {
	ROW("gatewayClassName", STRING, crd_gateway, class, "istio-waypoint, istio-east-west or istio-remote; others have no effect in ztunnel mode."),
	ROW("listeners", MESSAGES, crd_gateway, listeners, "Listeners.", .sub = &listener_table),
	ROW("addresses", MESSAGES, crd_gateway, addresses,
	    "Where it is: the first one counts; without any the service NAME.NAMESPACE.svc.CLUSTER-DOMAIN.", .sub = &gateway_address_table),
	{ 0 },
};
const struct field_table crd_gateway_table = {
	.name = "Gateway.spec", .size = sizeof(struct crd_gateway), .open = true, .fields = gateway_rows,
	.doc = "A waypoint, which the label istio.io/use-waypoint on services, workloads and namespaces names (its own label "
	       "istio.io/waypoint-for says for which); or, with the label topology.istio.io/network, the gateway of a network.",
};
static const struct field gateway_status_rows[] = {
	ROW("addresses", MESSAGES, crd_gateway_status, addresses, "What counts when spec has none.", .sub = &gateway_address_table),
	{ 0 },
};
const struct field_table crd_gateway_status_table = {
	.name = "Gateway.status", .size = sizeof(struct crd_gateway_status), .open = true, .fields = gateway_status_rows,
};

/* --- Namespace --- */

struct namespace_spec { char unused; };

static const struct field namespace_rows[] = { { 0 } };
const struct field_table crd_namespace_table = {
	.name = "Namespace.spec", .size = sizeof(struct namespace_spec), .open = true, .fields = namespace_rows,
	.doc = "A namespace. Its annotation networking.istio.io/traffic-distribution holds for the services in it, its label istio.io/use-waypoint for services and workloads.",
};

/* --- all kinds --- */

static const char *const networking[] = { "v1", "v1beta1", "v1alpha3", NULL };
static const char *const security[] = { "v1", "v1beta1", NULL };
static const char *const telemetry[] = { "v1", "v1alpha1", NULL };
static const char *const filter[] = { "v1alpha3", NULL };
static const char *const route[] = { "v1", "v1beta1", "v1alpha3", "v1alpha2", NULL };
static const char *const own[] = { "v1alpha1", NULL };
static const char *const core[] = { "v1", NULL };
static const char *const gateway[] = { "v1", "v1beta1", NULL };

#define OTHER_MODE "has no effect in ztunnel mode, as in Istio"

#define ROUTE(KIND, TABLE) { "gateway.networking.k8s.io", KIND, route, &TABLE, .elsewhere = OTHER_MODE, .object = sizeof(struct virtual_service), \
	.resource = RESOURCE_VIRTUAL_SERVICE, .apart = true }

const struct crd crds[CRD_COUNT] = {
	[CRD_WORKLOAD_ENTRY] = { "networking.istio.io", "WorkloadEntry", networking, &crd_workload_entry_table, .security = false },
	[CRD_SERVICE_ENTRY] = { "networking.istio.io", "ServiceEntry", networking, &crd_service_entry_table, .security = false },
	[CRD_AUTHZ] = { "security.istio.io", "AuthorizationPolicy", security, &crd_authz_table, .security = true },
	[CRD_PEER_AUTHN] = { "security.istio.io", "PeerAuthentication", security, &crd_peer_authn_table, .security = true },
	[CRD_SERVICE] = { "", "Service", core, &crd_service_table, .security = false },
	[CRD_POD] = { "", "Pod", core, &crd_pod_table, &crd_pod_status_table, .security = false },
	[CRD_GATEWAY] = { "gateway.networking.k8s.io", "Gateway", gateway, &crd_gateway_table, &crd_gateway_status_table, .security = false },
	[CRD_VIRTUAL_SERVICE] = { "networking.istio.io", "VirtualService", networking, &crd_virtual_service_table, .elsewhere = OTHER_MODE,
				  .object = sizeof(struct virtual_service), .resource = RESOURCE_VIRTUAL_SERVICE },
	[CRD_DESTINATION_RULE] = { "networking.istio.io", "DestinationRule", networking, &crd_destination_rule_table, .elsewhere = OTHER_MODE,
				   .object = sizeof(struct destination_rule), .resource = RESOURCE_DESTINATION_RULE },
	[CRD_SIDECAR] = { "networking.istio.io", "Sidecar", networking, &crd_sidecar_table, .elsewhere = OTHER_MODE, .not_at_waypoint = "has no effect in waypoint mode, as in Istio",
			  .object = sizeof(struct sidecar), .resource = RESOURCE_SIDECAR },
	[CRD_REQUEST_AUTHN] = { "security.istio.io", "RequestAuthentication", security, &crd_request_authn_table, .security = true,
				.elsewhere = OTHER_MODE ": tokens are not looked at; a waypoint or sidecar is needed to enforce it" },
	[CRD_TELEMETRY] = { "telemetry.istio.io", "Telemetry", telemetry, &crd_telemetry_table, .elsewhere = OTHER_MODE,
			    .object = sizeof(struct crd_telemetry), .resource = RESOURCE_TELEMETRY },
	[CRD_PROXY_CONFIG] = { "networking.istio.io", "ProxyConfig", networking, &crd_proxy_config_table, .elsewhere = OTHER_MODE,
			       .unsupported = "has no effect: settings of a start are meshd's options and environment", .unsupported_level = FINDING_WARNING },
	[CRD_RATE_LIMIT] = { "meshd.io", "RateLimit", own, &crd_rate_limit_table, .security = false },
	[CRD_HTTP_ROUTE] = ROUTE("HTTPRoute", crd_http_route_table),
	[CRD_GRPC_ROUTE] = ROUTE("GRPCRoute", crd_grpc_route_table),
	[CRD_TCP_ROUTE] = ROUTE("TCPRoute", crd_tcp_route_table),
	[CRD_TLS_ROUTE] = ROUTE("TLSRoute", crd_tls_route_table),
	[CRD_BACKEND_TLS] = { "gateway.networking.k8s.io", "BackendTLSPolicy", route, &crd_backend_tls_table, .security = true, .elsewhere = OTHER_MODE,
			      .object = sizeof(struct destination_rule), .resource = RESOURCE_DESTINATION_RULE, .apart = true },
	[CRD_ENVOY_FILTER] = { "networking.istio.io", "EnvoyFilter", filter, &crd_envoy_filter_table,
			       .elsewhere = OTHER_MODE ": it patches Envoy, which is not here",
			       .unsupported = "not supported: it patches Envoy, which is not here; see RateLimit, Telemetry and MeshConfig.defaultConfig" },
	[CRD_WASM] = { "extensions.istio.io", "WasmPlugin", own, &crd_wasm_table, .elsewhere = OTHER_MODE,
		       .unsupported = "not supported: meshd runs no WebAssembly; what the plugin would do is missing" },
	[CRD_WORKLOAD_GROUP] = { "networking.istio.io", "WorkloadGroup", networking, &crd_workload_group_table,
				 .unsupported = "not honoured yet: write WorkloadEntries", .unsupported_level = FINDING_WARNING },
	[CRD_NAMESPACE] = { "", "Namespace", core, &crd_namespace_table, .cluster_wide = true },
	[CRD_MESH_CONFIG] = { NULL, "MeshConfig", core, &crd_mesh_table, .cluster_wide = true },
};

static const struct crd_other others[] = {
	{ "networking.istio.io", "Gateway", FINDING_WARNING, OTHER_MODE, "has no effect: it is for gateways at the edge" },
	{ "extensions.istio.io", "*", FINDING_WARNING, OTHER_MODE, "not supported: meshd has no extensions; what it would do is missing" },
	{ "gateway.networking.k8s.io", "ReferenceGrant", FINDING_INFO, OTHER_MODE, "has no effect: routes of a mesh need none" },
	{ "gateway.networking.k8s.io", "*", FINDING_WARNING, OTHER_MODE, "has no effect here" },
	{ "gateway.networking.x-k8s.io", "*", FINDING_WARNING, OTHER_MODE, "not supported: it is an experiment of the Gateway API" },
	{ "discovery.k8s.io", "EndpointSlice", FINDING_WARNING, "not honoured yet: endpoints come from Pods, WorkloadEntries and ServiceEntries", NULL },
	{ "", "Endpoints", FINDING_WARNING, "not honoured yet: endpoints come from Pods, WorkloadEntries and ServiceEntries", NULL },
	{ "", "Node", FINDING_WARNING, "not honoured yet: Pods have no locality", NULL },
	{ "networking.k8s.io", "NetworkPolicy", FINDING_WARNING, "not enforced by meshd: it is the network plugin's", NULL },
	{ "networking.k8s.io", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "apps", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "batch", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "autoscaling", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "policy", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "rbac.authorization.k8s.io", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "apiextensions.k8s.io", "*", FINDING_INFO, "says nothing to a data plane", NULL },
	{ "admissionregistration.k8s.io", "*", FINDING_INFO, "says nothing to a data plane", NULL },
};

/* Core has so many kinds that an unknown one there could be a slip of the pen for Service or Pod. */
static const char *const core_kinds[] = {
	"ConfigMap", "Secret", "ServiceAccount", "PersistentVolume", "PersistentVolumeClaim", "ReplicationController",
	"ResourceQuota", "LimitRange", "Event", "Binding", "PodTemplate",
};

const struct crd_other *crd_other_find(struct str group, struct str kind)
{
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		const struct crd_other *o = &others[i];

		if (!str_is(group, o->group) || !(str_is(kind, o->kind) || !strcmp(o->kind, "*")))
			continue;
		if (group.n || strcmp(o->kind, "*"))
			return o;
		for (size_t k = 0; k < ARRAY_LEN(core_kinds); k++) {
			if (str_is(kind, core_kinds[k]))
				return o;
		}
	}
	return NULL;
}

/* A kind that is not known is a slip of the pen in these groups, and somebody else's in others. */
bool crd_group_known(struct str group)
{
	bool known = !group.n;

	for (int i = 0; i < CRD_COUNT; i++)
		known = known || (crds[i].group && str_is(group, crds[i].group));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		known = known || str_is(group, others[i].group);
	return known;
}
