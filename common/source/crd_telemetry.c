/* SPDX-License-Identifier: Apache-2.0 */
/* Telemetry and the ProxyConfig kind. */
#include "source/check.h"
#include "source/crd.h"

/* --- shared pieces --- */

static const char *const modes[] = { "CLIENT_AND_SERVER", "CLIENT", "SERVER", NULL };

static const struct field provider_rows[] = {
	ROW("name", STRING, crd_provider, name, "An extension provider of MeshConfig, or a built-in one: envoy, prometheus."),
	{ 0 },
};
static const struct field_table provider_table = { .name = "providers", .size = sizeof(struct crd_provider), .fields = provider_rows };

/* The names of [{name: x}], as the list that the model has. */
static void take_names(struct field_walk *w, const struct field_list *from, struct field_strings *to)
{
	const struct crd_provider *p = from->v;

	to->v = arena_alloc(w->arena, (size_t)from->n * sizeof(*to->v));
	to->n = from->n;
	to->present = from->present;
	for (int i = 0; i < from->n; i++) {
		if (!*p[i].name)
			field_error(w, 0, "providers", "want a name in each");
		to->v[i] = p[i].name;
	}
}

/* The list of names lies where the list of messages was read to: both are a pointer, a number and a flag. */
static void names_in_place(struct field_walk *w, void *list)
{
	struct field_list from;
	struct field_strings to;

	memcpy(&from, list, sizeof(from));
	take_names(w, &from, &to);
	memcpy(list, &to, sizeof(to));
	if (to.n > 1)
		field_warn(w, 0, "providers", "several providers of one entry: all of them get it");
}

#define PROVIDERS(STRUCT) ROW("providers", MESSAGES, STRUCT, providers, "Where it goes; takes the place of what wider Telemetry says.", .sub = &provider_table)

/* --- metrics --- */

static const char *const ops[] = { "UPSERT", "REMOVE", NULL };

static void check_tag(struct field_walk *w, void *out)
{
	const struct tele_tag *t = out;

	if (!*t->name)
		field_error(w, 0, NULL, "want a name");
	if (t->op == TELE_TAG_UPSERT && !*t->value)
		field_error(w, 0, "value", "want it with UPSERT");
	if (t->op == TELE_TAG_REMOVE && *t->value)
		field_error(w, 0, "value", "want it without REMOVE");
	if (*t->value)
		check_cel(w, "value", t->value);
}

static const struct field tag_rows[] = {
	ROW("operation", ENUM, tele_tag, op, "UPSERT: adds or replaces the label; REMOVE: takes it away.", .words = ops, .deflt = "UPSERT"),
	ROW("value", STRING, tele_tag, value, "Its value, in CEL."),
	{ 0 },
};
static const struct field_table tag_table = { .name = "tagOverrides", .size = sizeof(struct tele_tag), .fields = tag_rows, .check = check_tag };

static const char *const metrics[] = {
	"ALL_METRICS", "REQUEST_COUNT", "REQUEST_DURATION", "REQUEST_SIZE", "RESPONSE_SIZE", "TCP_OPENED_CONNECTIONS",
	"TCP_CLOSED_CONNECTIONS", "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES", "GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES",
};

static void check_metric_match(struct field_walk *w, void *out)
{
	const struct tele_metric_match *m = out;
	bool known = !m->metric;

	if (m->metric && m->custom)
		field_error(w, 0, "customMetric", "want it without metric");
	if (m->custom && !*m->custom)
		field_error(w, 0, "customMetric", "want a name, got nothing");
	for (size_t i = 0; m->metric && i < ARRAY_LEN(metrics); i++)
		known = known || !strcmp(m->metric, metrics[i]);
	if (!known)
		field_error(w, 0, "metric", "want one of ALL_METRICS, REQUEST_COUNT, REQUEST_DURATION, REQUEST_SIZE, RESPONSE_SIZE, TCP_OPENED_CONNECTIONS, "
			    "TCP_CLOSED_CONNECTIONS, TCP_SENT_BYTES, TCP_RECEIVED_BYTES, GRPC_REQUEST_MESSAGES, GRPC_RESPONSE_MESSAGES, got '%.40s'", m->metric);
}

static const struct field metric_match_rows[] = {
	ROW("metric", TEXT, tele_metric_match, metric, "One of Istio's, or ALL_METRICS."),
	ROW("customMetric", TEXT, tele_metric_match, custom, "Another one, by its name."),
	ROW("mode", ENUM, tele_metric_match, mode, "At which side.", .words = modes, .deflt = "CLIENT_AND_SERVER"),
	{ 0 },
};
static const struct field_table metric_match_table = {
	.name = "match", .size = sizeof(struct tele_metric_match), .fields = metric_match_rows, .check = check_metric_match,
};

static void check_override(struct field_walk *w, void *out)
{
	struct tele_override *o = out;

	(void)w;
	o->metric = o->match.metric ? o->match.metric : o->match.custom ? o->match.custom : "";
	o->mode = o->match.mode;
}

static const struct field override_rows[] = {
	ROW("match", INLINE, tele_override, match, "Which metrics.", .sub = &metric_match_table),
	ROW("disabled", OPT_BOOL, tele_override, disabled, "true: they are not made."),
	ROW("tagOverrides", MESSAGE_MAP, tele_override, tags, "Their labels, by name.", .sub = &tag_table),
	{ 0 },
};
static const struct field_table override_table = {
	.name = "overrides", .size = sizeof(struct tele_override), .fields = override_rows, .check = check_override,
};

static void check_metrics(struct field_walk *w, void *out) { names_in_place(w, &((struct tele_metrics *)out)->providers); }

static const struct field metrics_rows[] = {
	PROVIDERS(tele_metrics),
	ROW("overrides", MESSAGES, tele_metrics, overrides, "Changes, in their order.", .sub = &override_table),
	ROW_NOT("reportingInterval", TODO, "How often TCP's bytes are counted.", "figures of long connections move every 5 s or 1 MiB"),
	{ 0 },
};
static const struct field_table metrics_table = { .name = "metrics", .size = sizeof(struct tele_metrics), .fields = metrics_rows, .check = check_metrics };

/* --- accessLogging --- */

static const struct field log_match_rows[] = {
	ROW("mode", ENUM, tele_logging, mode, "At which side.", .words = modes, .deflt = "CLIENT_AND_SERVER"),
	{ 0 },
};
static const struct field_table log_match_table = { .name = "match", .size = sizeof(struct tele_logging), .fields = log_match_rows };

static void check_filter(struct field_walk *w, void *out)
{
	const struct tele_logging *l = out;

	if (*l->filter)
		check_cel(w, "expression", l->filter);
}

static const struct field filter_rows[] = {
	ROW("expression", STRING, tele_logging, filter, "CEL: a line is written where it is true."),
	{ 0 },
};
static const struct field_table filter_table = { .name = "filter", .size = sizeof(struct tele_logging), .fields = filter_rows, .check = check_filter };

static void check_logging(struct field_walk *w, void *out) { names_in_place(w, &((struct tele_logging *)out)->providers); }

static const struct field logging_rows[] = {
	ROW_WHOLE("match", "At which side.", &log_match_table),
	PROVIDERS(tele_logging),
	ROW("disabled", OPT_BOOL, tele_logging, disabled, "true: no lines."),
	ROW_WHOLE("filter", "Which requests and connections.", &filter_table),
	{ 0 },
};
static const struct field_table logging_table = {
	.name = "accessLogging", .size = sizeof(struct tele_logging), .fields = logging_rows, .check = check_logging,
};

/* --- tracing --- */

static const struct field trace_match_rows[] = {
	ROW("mode", ENUM, tele_tracing, mode, "At which side.", .words = modes, .deflt = "CLIENT_AND_SERVER"),
	{ 0 },
};
static const struct field_table trace_match_table = { .name = "match", .size = sizeof(struct tele_tracing), .fields = trace_match_rows };

static void check_tracing(struct field_walk *w, void *out) { names_in_place(w, &((struct tele_tracing *)out)->providers); }

static const struct field tracing_rows[] = {
	ROW_WHOLE("match", "At which side.", &trace_match_table),
	PROVIDERS(tele_tracing),
	ROW("randomSamplingPercentage", OPT_DOUBLE, tele_tracing, sampling, "Share of the requests without a decision of their own.", .max = 100),
	ROW("disableSpanReporting", OPT_BOOL, tele_tracing, disable_reporting, "true: context is passed on, spans are not sent."),
	ROW("customTags", MESSAGE_MAP, tele_tracing, tags, "Tags of spans.", .sub = &crd_custom_tag_table),
	ROW("useRequestIdForTraceSampling", OPT_BOOL, tele_tracing, request_id, "x-request-id carries the decision; true when absent."),
	ROW("enableIstioTags", OPT_BOOL, tele_tracing, istio_tags, "Tags that name mesh, services and workloads; true when absent."),
	ROW("disableContextPropagation", OPT_BOOL, tele_tracing, disable_propagation, "true: no headers of traces are added."),
	{ 0 },
};
static const struct field_table tracing_table = { .name = "tracing", .size = sizeof(struct tele_tracing), .fields = tracing_rows, .check = check_tracing };

/* --- Telemetry --- */

static void check_telemetry(struct field_walk *w, void *out)
{
	struct crd_telemetry *c = out;
	struct telemetry *t = &c->telemetry;

	check_targets(w, c->selector, &c->targets, c->target);
	t->has_selector = c->selector != NULL;
	t->targets.v = check_target_refs(w->arena, &c->targets, c->target, &t->targets.n);
	if (c->selector) {
		t->selector.v = c->selector->labels.v;
		t->selector.n = c->selector->labels.n;
	}
	/* Without either it is the namespace's, at waypoints too. */
	if (t->selector.n || t->targets.n)
		check_has_effect(w, t->targets.n);
}

static const struct field telemetry_rows[] = {
	ROW("selector", MESSAGE, crd_telemetry, selector, "Workloads of the namespace; all of them when absent. In the root namespace: of the mesh.", .sub = &crd_match_labels_table),
	ROW("targetRefs", MESSAGES, crd_telemetry, targets, "Binds it to waypoints: by their Gateway, or for one service that they serve; with it it has no effect elsewhere, with a selector none there.", .sub = &crd_target_table),
	ROW("targetRef", MESSAGE, crd_telemetry, target, "As targetRefs, with one entry.", .sub = &crd_target_table),
	ROW("tracing", MESSAGES, crd_telemetry, telemetry.tracing, "Traces.", .sub = &tracing_table),
	ROW("metrics", MESSAGES, crd_telemetry, telemetry.metrics, "Metrics.", .sub = &metrics_table),
	ROW("accessLogging", MESSAGES, crd_telemetry, telemetry.logging, "Access logs.", .sub = &logging_table),
	{ 0 },
};
const struct field_table crd_telemetry_table = {
	.name = "Telemetry.spec", .size = sizeof(struct crd_telemetry), .fields = telemetry_rows, .check = check_telemetry,
	.doc = "Metrics, access logs and traces: the root namespace's, then the namespace's, then that of the workload's selector, at waypoints those with targetRefs, the older ones first. In ztunnel mode it has no effect.",
};

/* --- ProxyConfig --- */

static const struct field image_rows[] = {
	ROW_NOT("imageType", IGNORED, "Kind of image, which is chosen where the proxy is installed.", NULL),
	{ 0 },
};
static const struct field_table image_table = { .name = "image", .size = 1, .fields = image_rows };

static void check_proxy_config(struct field_walk *w, void *out)
{
	const struct crd_proxy_object *c = out;

	check_targets(w, c->selector, NULL, NULL);
	if (c->concurrency.set)
		field_warn(w, 0, "concurrency", "not honoured yet: use --concurrency");
	for (int i = 0; i < c->environment.n; i++)
		field_warn(w, 0, "environmentVariables", "not honoured: set '%.80s' in the environment of meshd", c->environment.v[i].key);
}

static const struct field proxy_config_rows[] = {
	ROW("selector", MESSAGE, crd_proxy_object, selector, "Workloads of the namespace; all of them when absent.", .sub = &crd_match_labels_table),
	ROW("concurrency", OPT_U32, crd_proxy_object, concurrency, "Worker threads; not honoured yet: use --concurrency.", .max = INT32_MAX),
	ROW("environmentVariables", LABELS, crd_proxy_object, environment, "Not honoured: set them in the environment of meshd."),
	ROW("image", MESSAGE, crd_proxy_object, image, "Image of the proxy; ignored.", .sub = &image_table),
	{ 0 },
};
const struct field_table crd_proxy_config_table = {
	.name = "ProxyConfig.spec", .size = sizeof(struct crd_proxy_object), .fields = proxy_config_rows, .check = check_proxy_config,
	.doc = "Settings of proxies at their start, which meshd takes from its options and its environment.",
};
