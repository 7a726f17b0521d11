/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds that meshd knows and does not do: what is wrong in them is said, and then that they are not supported. */
#include <ctype.h>

#include "source/check.h"
#include "source/crd.h"

#define PASS(NAME, DOC) ROW_NOT(NAME, IGNORED, DOC, NULL)

/* --- EnvoyFilter --- */

static const struct field waypoint_rows[] = {
	ROW("portNumber", PORT, crd_filter_match, port, "Port of the service."),
	PASS("filter", "A filter."), PASS("route", "A route."),
	{ 0 },
};
static const struct field_table waypoint_table = { .name = "waypoint", .size = sizeof(struct crd_filter_match), .fields = waypoint_rows };

static void check_filter_match(struct field_walk *w, void *out)
{
	const struct crd_filter_match *m = out;
	bool waypoint = !strcmp(m->context, "WAYPOINT");

	if (m->waypoint && !waypoint)
		field_error(w, 0, "waypoint", "want it with the context WAYPOINT only");
	if (waypoint && (m->listener || m->route || m->cluster))
		field_error(w, 0, "context", "want no listener, routeConfiguration or cluster with WAYPOINT");
}

static const struct field filter_match_rows[] = {
	ROW("context", STRING, crd_filter_match, context, "Which proxies."),
	ROW("listener", PRESENT, crd_filter_match, listener, "A listener."),
	ROW("routeConfiguration", PRESENT, crd_filter_match, route, "A route."),
	ROW("cluster", PRESENT, crd_filter_match, cluster, "A cluster."),
	ROW("waypoint", MESSAGE, crd_filter_match, waypoint, "A waypoint.", .sub = &waypoint_table),
	PASS("proxy", "Properties of the proxy."),
	{ 0 },
};
static const struct field_table filter_match_table = {
	.name = "match", .size = sizeof(struct crd_filter_match), .fields = filter_match_rows, .check = check_filter_match,
};
static const struct field patch_rows[] = {
	ROW("match", MESSAGE, crd_patch, match, "Where.", .sub = &filter_match_table),
	PASS("applyTo", "What is patched."), PASS("patch", "The patch."),
	{ 0 },
};
static const struct field_table patch_table = { .name = "configPatches", .size = sizeof(struct crd_patch), .fields = patch_rows };

static const struct field envoy_filter_rows[] = {
	ROW("configPatches", MESSAGES, crd_unsupported, list, "Patches of Envoy's configuration.", .sub = &patch_table),
	PASS("workloadSelector", "Workloads."), PASS("targetRefs", "Targets."), PASS("priority", "Order."),
	{ 0 },
};
const struct field_table crd_envoy_filter_table = {
	.name = "EnvoyFilter.spec", .size = sizeof(struct crd_unsupported), .fields = envoy_filter_rows,
	.doc = "Not supported: it patches Envoy's configuration, and there is no Envoy. See RateLimit, Telemetry and MeshConfig for what it is mostly used for.",
};

/* --- WasmPlugin --- */

static void check_env(struct field_walk *w, void *out)
{
	const struct crd_wasm_env *e = out;

	if (!*e->name)
		field_error(w, 0, "name", "want a name, got nothing");
	if (e->from == 1 && *e->value)
		field_error(w, 0, "value", "want it with INLINE only");
}

static const char *const value_from[] = { "INLINE", "HOST", NULL };
static const struct field env_rows[] = {
	ROW("name", STRING, crd_wasm_env, name, "Its name."),
	ROW("valueFrom", ENUM, crd_wasm_env, from, "Where its value comes from.", .words = value_from, .deflt = "INLINE"),
	ROW("value", STRING, crd_wasm_env, value, "Its value."),
	{ 0 },
};
static const struct field_table env_table = { .name = "env", .size = sizeof(struct crd_wasm_env), .fields = env_rows, .check = check_env };

static void check_vm(struct field_walk *w, void *out)
{
	const struct field_list *l = out;
	const struct crd_wasm_env *e = l->v;

	for (int i = 0; i < l->n; i++)
		for (int k = 0; k < i; k++)
			if (!strcmp(e[i].name, e[k].name))
				field_error(w, 0, "env", "want each name once, got '%.80s' twice", e[i].name);
}

struct wasm_vm { struct field_list env; };
static const struct field vm_rows[] = {
	ROW("env", MESSAGES, wasm_vm, env, "Variables.", .sub = &env_table),
	{ 0 },
};
static const struct field_table vm_table = { .name = "vmConfig", .size = sizeof(struct wasm_vm), .fields = vm_rows, .check = check_vm };

static void check_wasm_port(struct field_walk *w, void *out)
{
	if (!((const struct crd_number *)out)->port)
		field_error(w, 0, "number", "want a port, got nothing");
}

static const struct field wasm_port_rows[] = {
	ROW("number", PORT, crd_number, port, "Port."),
	{ 0 },
};
static const struct field_table wasm_port_table = {
	.name = "ports", .size = sizeof(struct crd_number), .fields = wasm_port_rows, .check = check_wasm_port,
};
struct wasm_match { struct field_list ports; };
static const struct field wasm_match_rows[] = {
	ROW("ports", MESSAGES, wasm_match, ports, "Ports.", .sub = &wasm_port_table),
	PASS("mode", "Side."),
	{ 0 },
};
static const struct field_table wasm_match_table = { .name = "match", .size = sizeof(struct wasm_match), .fields = wasm_match_rows };

static bool wasm_url_ok(const char *url)
{
	static const char *const schemes[] = { "oci", "http", "https", "file" };
	const char *colon = strstr(url, "://");

	for (size_t i = 0; colon && i < ARRAY_LEN(schemes); i++)
		if (str_is((struct str){ url, (size_t)(colon - url) }, schemes[i]))
			return true;
	for (const char *c = url; !colon && *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._/:@-", *c))
			return false;
	return !colon && *url;
}

static void check_wasm(struct field_walk *w, void *out)
{
	const struct crd_unsupported *u = out;
	size_t n = u->sha256 ? strlen(u->sha256) : 0;

	check_targets(w, u->selector, &u->targets, u->target);
	if (!wasm_url_ok(u->url))
		field_error(w, 0, "url", "want a URL of oci, http, https or file, got '%.80s'", u->url);
	if (n && (n != 64 || strspn(u->sha256, "0123456789abcdef") != n))
		field_error(w, 0, "sha256", "want 64 hexadecimal digits, got '%.80s'", u->sha256);
	if (u->secret && !*u->secret)
		field_error(w, 0, "imagePullSecret", "want a name, got nothing");
	if (u->plugin && !*u->plugin)
		field_error(w, 0, "pluginName", "want a name, got nothing");
}

static const struct field wasm_rows[] = {
	ROW("selector", MESSAGE, crd_unsupported, selector, "Workloads.", .sub = &crd_match_labels_table),
	ROW("targetRefs", MESSAGES, crd_unsupported, targets, "Targets.", .sub = &crd_target_table),
	ROW("targetRef", MESSAGE, crd_unsupported, target, "Target.", .sub = &crd_target_table),
	ROW("url", STRING, crd_unsupported, url, "Where the module is."),
	ROW("sha256", TEXT, crd_unsupported, sha256, "Its digest."),
	ROW("imagePullSecret", TEXT, crd_unsupported, secret, "Credentials."),
	ROW("pluginName", TEXT, crd_unsupported, plugin, "Its name."),
	ROW("match", MESSAGES, crd_unsupported, list, "Where it runs.", .sub = &wasm_match_table),
	ROW("vmConfig", MESSAGE, crd_unsupported, vm, "Its environment.", .sub = &vm_table),
	PASS("imagePullPolicy", "When it is pulled."), PASS("verificationKey", "Its signer."), PASS("pluginConfig", "Its configuration."),
	PASS("phase", "Order."), PASS("priority", "Order."), PASS("failStrategy", "What happens when it fails."), PASS("type", "HTTP or bytes."),
	{ 0 },
};
const struct field_table crd_wasm_table = {
	.name = "WasmPlugin.spec", .size = sizeof(struct crd_unsupported), .fields = wasm_rows, .check = check_wasm,
	.doc = "Not supported: meshd runs no WebAssembly.",
};

/* --- WorkloadGroup --- */

static void check_probe_header(struct field_walk *w, void *out)
{
	const char *name = ((const struct crd_wasm_env *)out)->name;

	if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(name))
		field_error(w, 0, "name", "want a name of letters, digits, - and _, got '%.80s'", name);
}

static const struct field probe_header_rows[] = {
	ROW("name", STRING, crd_wasm_env, name, "Its name."),
	ROW("value", STRING, crd_wasm_env, value, "Its value."),
	{ 0 },
};
static const struct field_table probe_header_table = {
	.name = "httpHeaders", .size = sizeof(struct crd_wasm_env), .fields = probe_header_rows, .check = check_probe_header,
};
static const struct field probe_port_rows[] = {
	ROW("port", PORT, crd_probe, port, "Port."),
	ROW("host", STRING, crd_probe, host, "Host."),
	ROW("path", STRING, crd_probe, path, "Path."),
	ROW("scheme", STRING, crd_probe, scheme, "Scheme."),
	ROW("service", STRING, crd_probe, service, "Service of gRPC."),
	ROW("httpHeaders", MESSAGES, crd_probe, headers, "Headers.", .sub = &probe_header_table),
	ROW("command", STRINGS, crd_probe, command, "Command."),
	{ 0 },
};
static const struct field_table probe_way_table = { .name = "probe", .size = sizeof(struct crd_probe), .fields = probe_port_rows };
static const struct field probe_rows[] = {
	ROW("initialDelaySeconds", U32, crd_probe, seconds, "Wait before the first.", .max = INT32_MAX),
	ROW("timeoutSeconds", U32, crd_probe, seconds, "How long one may take.", .max = INT32_MAX),
	ROW("periodSeconds", U32, crd_probe, seconds, "Time between them.", .max = INT32_MAX),
	ROW("successThreshold", U32, crd_probe, seconds, "Good ones that count.", .max = INT32_MAX),
	ROW("failureThreshold", U32, crd_probe, seconds, "Bad ones that count.", .max = INT32_MAX),
	ROW_WHOLE("httpGet", "By HTTP.", &probe_way_table), ROW_WHOLE("tcpSocket", "By a connect.", &probe_way_table),
	ROW_WHOLE("exec", "By a command.", &probe_way_table), ROW_WHOLE("grpc", "By gRPC.", &probe_way_table),
	{ 0 },
};
static const struct field_table probe_table = { .name = "probe", .size = sizeof(struct crd_probe), .fields = probe_rows };

static void check_group(struct field_walk *w, void *out)
{
	if (!((const struct crd_unsupported *)out)->template)
		field_error(w, 0, "template", "want a template, got nothing");
}

static const struct field group_rows[] = {
	PASS("metadata", "Labels and annotations of the WorkloadEntries."),
	ROW("template", MESSAGE, crd_unsupported, template, "What its WorkloadEntries have.", .sub = &crd_workload_entry_table),
	ROW("probe", MESSAGE, crd_unsupported, probe, "When its workloads are ready.", .sub = &probe_table),
	{ 0 },
};
const struct field_table crd_workload_group_table = {
	.name = "WorkloadGroup.spec", .size = sizeof(struct crd_unsupported), .fields = group_rows, .check = check_group,
	.doc = "Not honoured yet: its workloads do not register themselves; write WorkloadEntries.",
};
