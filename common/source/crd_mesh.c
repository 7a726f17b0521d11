/* SPDX-License-Identifier: Apache-2.0 */
/* MeshConfig: mesh.yaml, without an envelope. */
#include "source/check.h"
#include "source/crd.h"

#define TODO(NAME, DOC, WHY) ROW_NOT(NAME, TODO, DOC, WHY)
#define ISTIOD(NAME) ROW_NOT(NAME, IGNORED, "Read by the control plane only.", NULL)
#define ENVOYS(NAME) ROW_NOT(NAME, IGNORED, "Envoy's own; meshd has nothing like it.", NULL)
#define SIDECAR(NAME, TYPE, MEMBER, DOC, ...) ROW(NAME, TYPE, crd_mesh_config, MEMBER, DOC, .mark = FIELD_SIDECAR, ##__VA_ARGS__)

static const char *const normalizations[] = { "DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES", NULL };
static const struct field normalization_rows[] = {
	ROW("normalization", ENUM, mesh_config, path_normalization,
	    "What is done to paths before policies and routes see them, and upstream gets them; DEFAULT is BASE.", .words = normalizations, .deflt = "DEFAULT"),
	{ 0 },
};
static const struct field_table normalization_table = { .name = "pathNormalization", .size = sizeof(struct mesh_config), .fields = normalization_rows };

static const struct field default_provider_rows[] = {
	ROW("metrics", STRINGS, tele_settings, default_metrics, "Where metrics go without a Telemetry; prometheus when nothing is said."),
	ROW("tracing", STRINGS, tele_settings, default_tracing, "Where traces go."),
	ROW("accessLogging", STRINGS, tele_settings, default_logging, "Where access logs go; takes the place of accessLogFile."),
	{ 0 },
};
static const struct field_table default_provider_table = { .name = "defaultProviders", .size = sizeof(struct tele_settings), .fields = default_provider_rows };

static const struct field default_policy_rows[] = {
	ROW("connectionPool", MESSAGE, dr_policy, pool, "Where no DestinationRule has one.", .sub = &crd_pool_table),
	ROW("outlierDetection", MESSAGE, dr_policy, outlier, "Where no DestinationRule has one.", .sub = &crd_outlier_table),
	{ 0 },
};
static const struct field_table default_policy_table = { .name = "defaultTrafficPolicy", .size = sizeof(struct dr_policy), .fields = default_policy_rows };

static const char *const encodings[] = { "TEXT", "JSON", NULL };
static const char *const upgrades[] = { "DO_NOT_UPGRADE", "UPGRADE", NULL };

static const struct field mesh_rows[] = {
	ROW("trustDomain", STRING, crd_mesh_config, trust_domain, "Trust domain of the mesh: the first part of every identity."),
	ROW("trustDomainAliases", STRINGS, crd_mesh_config, aliases,
	    "Further trust domains whose certificates are accepted. In ztunnel mode policies name them one by one, unless MESHD_ENFORCEMENT is strict."),
	ROW("rootNamespace", STRING, crd_mesh_config, root_ns, "Policies there hold for the whole mesh.", .deflt = "istio-system"),
	ROW("connectTimeout", DURATION, crd_mesh_config, connect_timeout_ms, "How long a connect may take.", .min = 1,
	    .max = 3600000, .deflt = "10s"),
	ROW("defaultConfig", INLINE, crd_mesh_config, mesh.proxy, "Settings of proxies.", .sub = &crd_proxy_table),
	SIDECAR("tcpKeepalive", MESSAGE, mesh.keepalive, "Keepalive of upstream connections.", .sub = &crd_keepalive_table),
	TODO("caCertificates", "Further roots of trust.", "put them into the file of --root"),
	TODO("meshMTLS", "Lowest version and ciphers of mesh TLS.", "meshd takes TLS 1.3 unless it is told otherwise"),
	TODO("tlsDefaults", "Version and ciphers of other TLS.", NULL),
	TODO("proxyListenPort", "Port of outbound capture.", NULL),
	TODO("proxyInboundListenPort", "Port of inbound capture.", NULL),
	TODO("hboneIdleTimeout", "Idle time of tunnels.", NULL),
	TODO("discoverySelectors", "Namespaces that are looked at.", "leave the others out of the directory"),
	TODO("serviceEntryVisibility", "Which namespaces see ServiceEntries.", NULL),
	TODO("serviceScopeConfigs", "Scope of services among clusters.", NULL),
	SIDECAR("accessLogFile", STRING, mesh.tele.access_log_file, "Access log; none when absent."),
	SIDECAR("accessLogFormat", STRING, mesh.tele.access_log_format, "Its line, with Envoy's %OPERATORS%; with JSON an object."),
	SIDECAR("accessLogEncoding", ENUM, encoding, "TEXT or JSON.", .words = encodings, .deflt = "TEXT"),
	TODO("disableEnvoyListenerLog", "No lines for connections without a route.", "filter them by a Telemetry"),
	SIDECAR("enableTracing", BOOL, mesh.tele.enable_tracing, "Traces, if a provider is named.", .deflt = "true"),
	SIDECAR("extensionProviders", MESSAGES, providers, "What policies and Telemetry name.", .sub = &crd_provider_table),
	SIDECAR("defaultProviders", INLINE, mesh.tele, "Providers without a Telemetry.", .sub = &default_provider_table),
	ROW("outboundTrafficPolicy", MESSAGE, crd_mesh_config, outbound, "What is not in the mesh: ALLOW_ANY passes it on; so it is when this is absent. In ztunnel mode REGISTRY_ONLY counts where the stance is closed or strict.", .sub = &crd_outbound_table),
	TODO("inboundTrafficPolicy", "LOCALHOST: inbound goes to 127.0.0.1.", "it goes to the address that was called; use defaultEndpoint of a Sidecar"),
	ROW_NOT("protocolDetectionTimeout", IGNORED, "How long to wait for a client's first bytes: meshd decides by who speaks first, and needs none.", NULL),
	SIDECAR("enableAutoMtls", BOOL, mesh.auto_mtls, "TLS to endpoints that can.", .deflt = "true"),
	SIDECAR("localityLbSetting", MESSAGE, mesh.locality, "Where no DestinationRule has one.", .sub = &crd_locality_table),
	SIDECAR("zoneAwareLbSetting", MESSAGE, mesh.zone_aware, "Where no DestinationRule has one.", .sub = &crd_zone_aware_table),
	TODO("dnsRefreshRate", "How often a name that could not be found is looked up again.", "the answers' own times count"),
	SIDECAR("h2UpgradePolicy", ENUM, mesh.h2_upgrade, "UPGRADE: HTTP/2 between proxies.", .words = upgrades, .deflt = "DO_NOT_UPGRADE", .min = DR_H2_DO_NOT_UPGRADE),
	ROW_WHOLE("pathNormalization", "Paths.", &normalization_table, .mark = FIELD_SIDECAR),
	SIDECAR("defaultHttpRetryPolicy", MESSAGE, mesh.retries, "Retries where no VirtualService says any.", .sub = &crd_retries_table),
	SIDECAR("defaultInboundHttpRetryPolicy", MESSAGE, mesh.inbound_retries, "Retries towards the application.", .sub = &crd_retries_table),
	SIDECAR("defaultTrafficPolicy", MESSAGE, mesh.traffic_policy, "Where no DestinationRule says otherwise.", .sub = &default_policy_table),
	TODO("enablePrometheusMerge", "The application's metrics beside ours.", "scrape the application's own port"),
	ROW_NOT("verifyCertificateAtClient", IGNORED, "TLS to outside is always verified, by the system's roots, unless a DestinationRule says insecureSkipVerify.", NULL),
	SIDECAR("defaultServiceExportTo", STRINGS, mesh.service_export_to, "exportTo where a service has none."),
	SIDECAR("defaultVirtualServiceExportTo", STRINGS, mesh.virtual_service_export_to, "exportTo where a VirtualService has none."),
	SIDECAR("defaultDestinationRuleExportTo", STRINGS, mesh.destination_rule_export_to, "exportTo where a DestinationRule has none."),
	TODO("enableEnvoyAccessLogService", "Access log by gRPC.", "use a file, or an opentelemetry provider"),
	TODO("serviceSettings", "Cluster-local services.", "there is one cluster here"),
	TODO("proxyHttpPort", "HTTP proxy port.", "meshd captures instead"),
	ENVOYS("inboundClusterStatName"), ENVOYS("outboundClusterStatName"),
	ISTIOD("ingressClass"), ISTIOD("ingressService"), ISTIOD("ingressControllerMode"), ISTIOD("ingressSelector"),
	ISTIOD("configSources"), ISTIOD("certificates"), ISTIOD("ca"), ISTIOD("thriftConfig"),
	{ 0 },
};
const struct field_table crd_mesh_table = {
	.name = "MeshConfig", .size = sizeof(struct crd_mesh_config), .fields = mesh_rows,
	.doc = "The file mesh.yaml at the top of the directory: the mesh's own settings, without apiVersion and kind.",
};
