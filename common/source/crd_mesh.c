/* SPDX-License-Identifier: Apache-2.0 */
/* MeshConfig: mesh.yaml, without an envelope. */
#include "source/crd.h"

#define TODO(NAME, DOC, WHY) ROW_NOT(NAME, TODO, DOC, WHY)
#define L7(NAME, DOC) ROW_NOT(NAME, OTHER_MODE, DOC, NULL)
#define ISTIOD(NAME) ROW_NOT(NAME, IGNORED, "Read by the control plane only.", NULL)

static const struct field proxy_rows[] = {
	ROW("proxyMetadata", LABELS, crd_proxy_config, metadata, "MESHD_ENFORCEMENT: istio, closed or strict; other keys say nothing to meshd here."),
	TODO("concurrency", "Worker threads.", "use --concurrency"),
	TODO("drainDuration", "How long connections drain.", "use --drain-time"),
	TODO("terminationDrainDuration", "How long connections drain at the end.", "use --drain-time"),
	TODO("proxyAdminPort", "Admin port.", "use --admin-port"),
	TODO("statusPort", "Port of metrics.", NULL),
	TODO("caCertificatesPem", "Further roots.", "use --root"),
	TODO("privateKeyProvider", "Key hardware.", NULL),
	L7("tracing", "Tracing."), L7("runtimeValues", "Envoy's."), L7("extraStatTags", "Envoy's."),
	L7("proxyStatsMatcher", "Envoy's."), L7("gatewayTopology", "Trusted proxies."), L7("proxyHeaders", "Headers."),
	L7("connectionSettings", "HTTP limits."), L7("statsCompression", "Envoy's."), L7("interceptionMode", "Capture."),
	L7("fileFlushInterval", "Envoy's."), L7("fileFlushMinSizeKb", "Envoy's."), L7("readinessProbe", "VM probes."),
	L7("tracingServiceName", "Tracing."), L7("envoyAccessLogService", "Envoy's."), L7("envoyMetricsService", "Envoy's."),
	L7("image", "Image."), L7("meshId", "Telemetry."),
	ISTIOD("configPath"), ISTIOD("binaryPath"), ISTIOD("serviceCluster"), ISTIOD("discoveryAddress"),
	ISTIOD("statNameLength"), ISTIOD("holdApplicationUntilProxyStarts"), ISTIOD("controlPlaneAuthPolicy"),
	ISTIOD("customConfigFile"), ISTIOD("availabilityZone"), ISTIOD("proxyBootstrapTemplatePath"), ISTIOD("statsdUdpAddress"),
	{ 0 },
};
static const struct field_table proxy_table = {
	.name = "defaultConfig", .size = sizeof(struct crd_proxy_config), .fields = proxy_rows,
};

static const struct field mesh_rows[] = {
	ROW("trustDomain", STRING, crd_mesh_config, trust_domain, "Trust domain of the mesh: the first part of every identity."),
	ROW("trustDomainAliases", STRINGS, crd_mesh_config, aliases,
	    "Further trust domains whose certificates are accepted. Policies name them one by one, unless MESHD_ENFORCEMENT is strict."),
	ROW("rootNamespace", STRING, crd_mesh_config, root_ns, "Policies there hold for the whole mesh.", .deflt = "istio-system"),
	ROW("connectTimeout", DURATION, crd_mesh_config, connect_timeout_ms, "How long a connect may take.", .min = 1,
	    .max = 3600000, .deflt = "10s"),
	ROW("defaultConfig", MESSAGE, crd_mesh_config, proxy, "Settings of proxies.", .sub = &proxy_table),
	TODO("tcpKeepalive", "Keepalive of upstream connections.", NULL),
	TODO("caCertificates", "Further roots of trust.", "put them into the file of --root"),
	TODO("meshMTLS", "Lowest version and ciphers of mesh TLS.", "meshd takes TLS 1.3 unless it is told otherwise"),
	TODO("tlsDefaults", "Version and ciphers of other TLS.", NULL),
	TODO("proxyListenPort", "Port of outbound capture.", NULL),
	TODO("proxyInboundListenPort", "Port of inbound capture.", NULL),
	TODO("hboneIdleTimeout", "Idle time of tunnels.", NULL),
	TODO("discoverySelectors", "Namespaces that are looked at.", "leave the others out of the directory"),
	TODO("serviceEntryVisibility", "Which namespaces see ServiceEntries.", NULL),
	TODO("serviceScopeConfigs", "Scope of services among clusters.", NULL),
	L7("accessLogFile", "Access log."), L7("accessLogFormat", "Access log."), L7("accessLogEncoding", "Access log."),
	L7("enableEnvoyAccessLogService", "Access log."), L7("disableEnvoyListenerLog", "Access log."),
	L7("enableTracing", "Tracing."), L7("extensionProviders", "Providers."), L7("defaultProviders", "Providers."),
	L7("outboundTrafficPolicy", "What is not in the mesh."), L7("inboundTrafficPolicy", "Inbound passthrough."),
	L7("protocolDetectionTimeout", "Protocol sniffing."), L7("enableAutoMtls", "mTLS of sidecars."),
	L7("localityLbSetting", "Locality of sidecars."), L7("zoneAwareLbSetting", "Locality of sidecars."),
	L7("dnsRefreshRate", "DNS of sidecars."), L7("h2UpgradePolicy", "HTTP."), L7("pathNormalization", "HTTP."),
	L7("defaultHttpRetryPolicy", "HTTP."), L7("defaultInboundHttpRetryPolicy", "HTTP."),
	L7("defaultTrafficPolicy", "Pools of sidecars."), L7("enablePrometheusMerge", "Metrics."),
	L7("inboundClusterStatName", "Envoy's."), L7("outboundClusterStatName", "Envoy's."),
	L7("verifyCertificateAtClient", "TLS to outside."), L7("serviceSettings", "Cluster-local services."),
	L7("defaultServiceExportTo", "Visibility."), L7("defaultVirtualServiceExportTo", "Visibility."),
	L7("defaultDestinationRuleExportTo", "Visibility."), L7("proxyHttpPort", "HTTP proxy port."),
	ISTIOD("ingressClass"), ISTIOD("ingressService"), ISTIOD("ingressControllerMode"), ISTIOD("ingressSelector"),
	ISTIOD("configSources"), ISTIOD("certificates"), ISTIOD("ca"), ISTIOD("thriftConfig"),
	{ 0 },
};
const struct field_table crd_mesh_table = {
	.name = "MeshConfig", .size = sizeof(struct crd_mesh_config), .fields = mesh_rows,
	.doc = "The file mesh.yaml at the top of the directory: the mesh's own settings, without apiVersion and kind.",
};
