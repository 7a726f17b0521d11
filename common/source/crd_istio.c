/* SPDX-License-Identifier: Apache-2.0 */
/* Istio's networking and security kinds. */
#include "source/crd.h"

/* --- shared pieces --- */

static const struct field owner_rows[] = {
	ROW("kind", STRING, crd_owner, kind, "Kind of the owner, such as ReplicaSet."),
	ROW("name", STRING, crd_owner, name, "Name of the owner: the workload's name in metrics comes from it."),
	ROW("controller", BOOL, crd_owner, controller, "The owner that manages the object."),
	{ 0 },
};
static const struct field_table owner_table = {
	.name = "ownerReferences", .size = sizeof(struct crd_owner), .open = true, .fields = owner_rows,
};

static const struct field meta_rows[] = {
	ROW("name", STRING, crd_meta, name, "Name, unique in kind and namespace."),
	ROW("namespace", STRING, crd_meta, ns, "Namespace; default when it is absent.", .deflt = "default"),
	ROW("labels", LABELS, crd_meta, labels, "Labels, which selectors match."),
	ROW("annotations", LABELS, crd_meta, annotations, "Annotations."),
	ROW("creationTimestamp", TIME, crd_meta, created, "Decides which object is the oldest; without it the name decides."),
	ROW("deletionTimestamp", TIME, crd_meta, deleted, "A Pod that has it takes no new traffic."),
	ROW("ownerReferences", MESSAGES, crd_meta, owners, "Owners of the object.", .sub = &owner_table),
	ROW_NOT("uid", IGNORED, "Kubernetes' own.", NULL),
	ROW_NOT("resourceVersion", IGNORED, "Kubernetes' own.", NULL),
	ROW_NOT("generation", IGNORED, "Kubernetes' own.", NULL),
	ROW_NOT("generateName", IGNORED, "Kubernetes' own.", NULL),
	ROW_NOT("managedFields", IGNORED, "Kubernetes' own.", NULL),
	ROW_NOT("finalizers", IGNORED, "Kubernetes' own.", NULL),
	ROW_NOT("selfLink", IGNORED, "Kubernetes' own.", NULL),
	ROW_NOT("deletionGracePeriodSeconds", IGNORED, "Kubernetes' own.", NULL),
	{ 0 },
};
const struct field_table crd_meta_table = {
	.name = "metadata", .doc = "What every object has.", .size = sizeof(struct crd_meta), .fields = meta_rows,
};

static const struct field workload_selector_rows[] = {
	ROW("labels", LABELS, crd_selector, labels, "Labels that a workload must have, all of them."),
	{ 0 },
};
static const struct field_table workload_selector_table = {
	.name = "workloadSelector", .size = sizeof(struct crd_selector), .fields = workload_selector_rows,
};

static const struct field match_labels_rows[] = {
	ROW("matchLabels", LABELS, crd_selector, labels, "Labels that a workload must have, all of them."),
	{ 0 },
};
const struct field_table crd_match_labels_table = {
	.name = "selector", .size = sizeof(struct crd_selector), .fields = match_labels_rows,
};

/* --- WorkloadEntry --- */

static const struct field workload_entry_rows[] = {
	ROW("address", STRING, crd_workload_entry, address,
	    "IP address of the workload, or a host name, which is looked up for each connection. unix:// paths are not honoured yet."),
	ROW("ports", PORTS, crd_workload_entry, ports, "Port of the workload for each named service port; overrides targetPort."),
	ROW("labels", LABELS, crd_workload_entry, labels, "Labels of the workload, beside those in metadata, which win."),
	ROW("network", STRING, crd_workload_entry, network, "Network of the address; that of this process when absent."),
	ROW("locality", STRING, crd_workload_entry, locality, "region/zone/subzone."),
	ROW("weight", U32, crd_workload_entry, weight, "Share of the traffic among endpoints; 0 counts as 1."),
	ROW("serviceAccount", STRING, crd_workload_entry, service_account,
	    "Service account: with trust domain and namespace the identity of the workload; default when absent. With one the workload counts as "
	    "having a sidecar, unless its label security.istio.io/tlsMode says otherwise."),
	{ 0 },
};
const struct field_table crd_workload_entry_table = {
	.name = "WorkloadEntry.spec", .size = sizeof(struct crd_workload_entry), .fields = workload_entry_rows,
	.doc = "A workload outside Kubernetes, such as a virtual machine. The label networking.istio.io/tunnel: http or the "
	       "annotation ambient.istio.io/redirection: enabled says that it speaks HBONE; the label "
	       "meshd.io/application-tunnel: proxy or proxy-PORT says that its application takes the PROXY protocol.",
};

/* --- ServiceEntry --- */

static const struct field service_port_rows[] = {
	ROW("number", PORT, crd_service_port, number, "Port that clients use."),
	ROW("protocol", STRING, crd_service_port, protocol, "HTTP, HTTPS, GRPC, HTTP2, TCP, TLS and others; all are carried at L4 in ztunnel mode."),
	ROW("name", STRING, crd_service_port, name, "Name, which endpoints' ports refer to."),
	ROW("targetPort", PORT, crd_service_port, target, "Port of the endpoints; the same number when absent."),
	{ 0 },
};
static const struct field_table service_port_table = {
	.name = "ports", .size = sizeof(struct crd_service_port), .fields = service_port_rows,
};

static const char *const locations[] = { "MESH_EXTERNAL", "MESH_INTERNAL", NULL };
static const char *const resolutions[] = { "NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS", NULL };

static const struct field service_entry_rows[] = {
	ROW("hosts", STRINGS, crd_service_entry, hosts, "Host names of the service. Wildcards (*.x) have no effect in ztunnel mode but with DYNAMIC_DNS and a waypoint."),
	ROW("addresses", STRINGS, crd_service_entry, addresses,
	    "Virtual addresses or CIDR blocks; without them stable ones of 240.240.0.0/16 and 2001:2::/48 are given, by a hash of the name."),
	ROW("ports", MESSAGES, crd_service_entry, ports, "Ports of the service.", .sub = &service_port_table),
	ROW("location", ENUM, crd_service_entry, location, "Whether the service is part of the mesh.", .words = locations,
	    .deflt = "MESH_EXTERNAL"),
	ROW("resolution", ENUM, crd_service_entry, resolution,
	    "STATIC: the endpoints; NONE: the address that the client dialled; DNS, DNS_ROUND_ROBIN: endpoints may be host names, and without any the host is one. DYNAMIC_DNS: each request's Host, or server name, within hosts.",
	    .words = resolutions, .deflt = "NONE"),
	ROW("endpoints", MESSAGES, crd_service_entry, endpoints, "Endpoints, written out.", .sub = &crd_workload_entry_table),
	ROW("workloadSelector", MESSAGE, crd_service_entry, selector,
	    "Takes WorkloadEntries and Pods of the same namespace as endpoints.", .sub = &workload_selector_table),
	ROW("subjectAltNames", STRINGS, crd_service_entry, sans, "Identities that are accepted beyond those of the endpoints."),
	ROW("exportTo", STRINGS, crd_service_entry, export_to, "Namespaces that see the service: ., * or names; in ztunnel mode it is read as *, as in Istio."),
	{ 0 },
};
const struct field_table crd_service_entry_table = {
	.name = "ServiceEntry.spec", .size = sizeof(struct crd_service_entry), .fields = service_entry_rows,
	.doc = "A service that Kubernetes does not know. The annotation networking.istio.io/traffic-distribution "
	       "(PreferClose, PreferSameZone, PreferSameNode) prefers near endpoints.",
};

/* --- AuthorizationPolicy --- */

#define PAIR(NAME, NOT_NAME, STRUCT, MEMBER, DOC) \
	ROW(NAME, STRINGS, STRUCT, MEMBER[0], DOC), ROW(NOT_NAME, STRINGS, STRUCT, MEMBER[1], "None of these: " DOC)
#define HTTP " HTTP only: not known in ztunnel mode."

static const struct field source_rows[] = {
	PAIR("principals", "notPrincipals", crd_source, principals,
	     "Identities, as cluster.local/ns/NAMESPACE/sa/ACCOUNT; exact, abc*, *abc, or * for any."),
	PAIR("requestPrincipals", "notRequestPrincipals", crd_source, request_principals, "Identities of tokens." HTTP),
	PAIR("namespaces", "notNamespaces", crd_source, namespaces, "Namespaces of the client."),
	PAIR("serviceAccounts", "notServiceAccounts", crd_source, service_accounts, "NAMESPACE/ACCOUNT, or ACCOUNT of the policy's namespace."),
	PAIR("ipBlocks", "notIpBlocks", crd_source, ip_blocks, "Addresses or CIDR blocks of the TCP peer."),
	PAIR("remoteIpBlocks", "notRemoteIpBlocks", crd_source, remote_ip_blocks, "Addresses by X-Forwarded-For." HTTP),
	PAIR("trustDomains", "notTrustDomains", crd_source, trust_domains,
	     "Trust domains. Not known in ztunnel mode, as in Istio, unless MESHD_ENFORCEMENT is strict."),
	{ 0 },
};
static const struct field_table source_table = {
	.name = "source", .size = sizeof(struct crd_source), .fields = source_rows,
};
static const struct field from_rows[] = {
	ROW("source", MESSAGE, crd_from, source, "All that is given must hold.", .sub = &source_table),
	{ 0 },
};
static const struct field_table from_table = { .name = "from", .size = sizeof(struct crd_from), .fields = from_rows };

static const struct field operation_rows[] = {
	PAIR("hosts", "notHosts", crd_operation, hosts, "Hosts of a request." HTTP),
	PAIR("ports", "notPorts", crd_operation, ports, "Ports of the workload, as strings."),
	PAIR("methods", "notMethods", crd_operation, methods, "Methods of a request." HTTP),
	PAIR("paths", "notPaths", crd_operation, paths, "Paths of a request." HTTP),
	{ 0 },
};
static const struct field_table operation_table = {
	.name = "operation", .size = sizeof(struct crd_operation), .fields = operation_rows,
};
static const struct field to_rows[] = {
	ROW("operation", MESSAGE, crd_to, operation, "All that is given must hold.", .sub = &operation_table),
	{ 0 },
};
static const struct field_table to_table = { .name = "to", .size = sizeof(struct crd_to), .fields = to_rows };

static const struct field when_rows[] = {
	ROW("key", STRING, crd_when, key,
	    "source.ip, source.namespace, source.principal, destination.ip, destination.port; other keys are HTTP only."),
	ROW("values", STRINGS, crd_when, values[0], "One of these."),
	ROW("notValues", STRINGS, crd_when, values[1], "None of these."),
	{ 0 },
};
static const struct field_table when_table = { .name = "when", .size = sizeof(struct crd_when), .fields = when_rows };

static const struct field rule_rows[] = {
	ROW("from", MESSAGES, crd_rule, from, "Sources, of which one must match.", .sub = &from_table),
	ROW("to", MESSAGES, crd_rule, to, "Operations, of which one must match.", .sub = &to_table),
	ROW("when", MESSAGES, crd_rule, when, "Conditions, which must all hold.", .sub = &when_table),
	{ 0 },
};
const struct field_table crd_rule_table = { .name = "rules", .size = sizeof(struct crd_rule), .fields = rule_rows };

static const struct field provider_rows[] = {
	ROW("name", STRING, crd_provider, name, "An extension provider of MeshConfig."),
	{ 0 },
};
static const struct field_table provider_table = {
	.name = "provider", .size = sizeof(struct crd_provider), .fields = provider_rows,
};
static const struct field target_rows[] = {
	ROW("group", STRING, crd_target, group, "API group of the target."),
	ROW("kind", STRING, crd_target, kind, "Gateway, GatewayClass (istio-waypoint, in the root namespace), Service or ServiceEntry."),
	ROW("name", STRING, crd_target, name, "Name of the target."),
	ROW("namespace", STRING, crd_target, ns, "Must be absent or the policy's own."),
	{ 0 },
};
const struct field_table crd_target_table = {
	.name = "targetRefs", .size = sizeof(struct crd_target), .fields = target_rows,
};

static const char *const actions[] = { "ALLOW", "DENY", "AUDIT", "CUSTOM", NULL };

static const struct field authz_rows[] = {
	ROW("selector", MESSAGE, crd_authz, selector, "Workloads of the namespace; all of them when absent. In the root namespace: of the mesh.",
	    .sub = &crd_match_labels_table),
	ROW("targetRefs", MESSAGES, crd_authz, targets, CRD_TARGETS_DOC, .sub = &crd_target_table),
	ROW("targetRef", MESSAGE, crd_authz, target, "As targetRefs, with one entry.", .sub = &crd_target_table),
	ROW("action", ENUM, crd_authz, action, "ALLOW or DENY. AUDIT and CUSTOM have no effect in ztunnel mode.", .words = actions,
	    .deflt = "ALLOW"),
	ROW("provider", MESSAGE, crd_authz, provider, "Of the action CUSTOM.", .sub = &provider_table),
	ROW("rules", MESSAGES, crd_authz, rules, "One must match. Without rules nothing matches: an ALLOW policy then denies all.",
	    .sub = &crd_rule_table),
	{ 0 },
};
const struct field_table crd_authz_table = {
	.name = "AuthorizationPolicy.spec", .size = sizeof(struct crd_authz), .fields = authz_rows,
	.doc = "Who may connect. DENY policies come first; then, if there are ALLOW policies, one must match. The annotation "
	       "istio.io/dry-run: \"true\" only logs what the policy would do.",
};

/* --- PeerAuthentication --- */

static const char *const modes[] = { "UNSET", "DISABLE", "PERMISSIVE", "STRICT", NULL };

static const struct field mtls_rows[] = {
	ROW("mode", ENUM, crd_mtls, mode, "STRICT refuses what is not mutual TLS; DISABLE counts as PERMISSIVE in ztunnel mode.",
	    .words = modes, .deflt = "UNSET"),
	{ 0 },
};
static const struct field_table mtls_table = { .name = "mtls", .size = sizeof(struct crd_mtls), .fields = mtls_rows };

static const struct field port_mtls_rows[] = {
	ROW("mode", ENUM, crd_port_mtls, mode, "Mode of one port of the workload.", .words = modes, .deflt = "UNSET"),
	{ 0 },
};
static const struct field_table port_mtls_table = {
	.name = "portLevelMtls", .size = sizeof(struct crd_port_mtls), .fields = port_mtls_rows,
};

static const struct field peer_authn_rows[] = {
	ROW("selector", MESSAGE, crd_peer_authn, selector, "Workloads of the namespace; all of them when absent. Has no effect in the root namespace.",
	    .sub = &crd_match_labels_table),
	ROW("mtls", MESSAGE, crd_peer_authn, mtls, "What is wanted of connections to these workloads.", .sub = &mtls_table),
	ROW("portLevelMtls", MESSAGE_MAP, crd_peer_authn, ports, "Exceptions by workload port; needs a selector.", .sub = &port_mtls_table),
	{ 0 },
};
const struct field_table crd_peer_authn_table = {
	.name = "PeerAuthentication.spec", .size = sizeof(struct crd_peer_authn), .fields = peer_authn_rows,
	.doc = "Whether workloads take connections without mutual TLS. The workload's wins over the namespace's over the root "
	       "namespace's; of several the oldest.",
};
