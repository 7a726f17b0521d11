/* SPDX-License-Identifier: Apache-2.0 */
#include "source/ads_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "source/yaml.h"

#define METHOD "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 15000

static void stream_start(struct ads *a);

/* --- the node --- */

static int metadata_value(const struct yaml_node *n, void *arg);

struct value_of {
	struct arena *mem;
	Pb__Value *value;
};

static Pb__Value *value_new(struct arena *mem, Pb__Value__KindCase kind)
{
	Pb__Value *v = arena_alloc(mem, sizeof(*v));

	pb__value__init(v);
	v->kind_case = kind;
	return v;
}

static Pb__Value *scalar(struct arena *mem, const struct yaml_node *n)
{
	Pb__Value *v;
	double number;
	char *end;

	if (yaml_is_null(n))
		return value_new(mem, PB__VALUE__KIND_NULL_VALUE);
	if (!n->quoted && (str_is(n->text, "true") || str_is(n->text, "false"))) {
		v = value_new(mem, PB__VALUE__KIND_BOOL_VALUE);
		v->bool_value = str_is(n->text, "true");
		return v;
	}
	number = strtod(n->text.p, &end);
	if (!n->quoted && n->text.n && !*end) {
		v = value_new(mem, PB__VALUE__KIND_NUMBER_VALUE);
		v->number_value = number;
		return v;
	}
	v = value_new(mem, PB__VALUE__KIND_STRING_VALUE);
	v->string_value = arena_dup(mem, n->text);
	return v;
}

/* The reader bounds the depth. */
static Pb__Value *value_make(struct arena *mem, const struct yaml_node *n)
{
	Pb__Value *v, **list;
	Pb__Struct__Field **fields;
	size_t i = 0;

	if (n->kind == YAML_SCALAR)
		return scalar(mem, n);
	if (n->kind == YAML_LIST) {
		v = value_new(mem, PB__VALUE__KIND_LIST_VALUE);
		v->list_value = arena_alloc(mem, sizeof(*v->list_value));
		pb__list_value__init(v->list_value);
		v->list_value->values = list = arena_alloc(mem, n->n * sizeof(*list));
		v->list_value->n_values = n->n;
		for (const struct yaml_node *c = n->child; c; c = c->next)
			list[i++] = value_make(mem, c);
		return v;
	}
	v = value_new(mem, PB__VALUE__KIND_STRUCT_VALUE);
	v->struct_value = arena_alloc(mem, sizeof(*v->struct_value));
	pb__struct__init(v->struct_value);
	v->struct_value->fields = fields = arena_alloc(mem, n->n * sizeof(*fields));
	v->struct_value->n_fields = n->n;
	for (const struct yaml_node *c = n->child; c; c = c->next, i++) {
		fields[i] = arena_alloc(mem, sizeof(*fields[i]));
		pb__struct__field__init(fields[i]);
		fields[i]->key = arena_dup(mem, c->key);
		fields[i]->value = value_make(mem, c);
	}
	return v;
}

static int metadata_value(const struct yaml_node *n, void *arg)
{
	struct value_of *to = arg;

	to->value = value_make(to->mem, n);
	return 0;
}

static int node_init(struct ads *a, const struct ads_conf *conf, struct err *err)
{
	Pb__Struct *m = arena_alloc(&a->mem, sizeof(*m));
	struct arena text = { 0 };
	int rc = 0;

	ads__node__init(&a->node);
	pb__struct__init(m);
	a->node.id = arena_dup(&a->mem, str_c(conf->node_id));
	a->node.metadata = m;
	m->fields = arena_alloc(&a->mem, (size_t)conf->n_metadata * sizeof(*m->fields) + 1);
	for (int i = 0; i < conf->n_metadata && !rc; i++) {
		struct value_of to = { &a->mem, NULL };
		struct err why;

		rc = yaml_read_text(conf->metadata[i].name, str_c(conf->metadata[i].value), &text, metadata_value, &to, &why);
		if (rc)
			rc = err_set(err, -EINVAL, "the node's metadata %s is no JSON: %s", conf->metadata[i].name, why.msg);
		if (rc || !to.value)
			continue;
		m->fields[m->n_fields] = arena_alloc(&a->mem, sizeof(**m->fields));
		pb__struct__field__init(m->fields[m->n_fields]);
		m->fields[m->n_fields]->key = arena_dup(&a->mem, str_c(conf->metadata[i].name));
		m->fields[m->n_fields++]->value = to.value;
	}
	arena_done(&text);
	return rc;
}

/* --- requests --- */

void ads_send(struct ads *a, Ads__DeltaDiscoveryRequest *r)
{
	size_t n = ads__delta_discovery_request__get_packed_size(r);
	uint8_t *bytes;

	if (!a->call)
		return;
	log_debug(LOG_XDS, "%s %s: %zu known, subscribe %zu (%s), unsubscribe %zu (%s)", r->type_url,
		  r->error_detail ? "NACK" : *r->response_nonce ? "ACK" : "request", r->n_initial_resource_versions,
		  r->n_resource_names_subscribe, r->n_resource_names_subscribe ? r->resource_names_subscribe[0] : "",
		  r->n_resource_names_unsubscribe, r->n_resource_names_unsubscribe ? r->resource_names_unsubscribe[0] : "");
	bytes = xmalloc(n + 1);
	ads__delta_discovery_request__pack(r, bytes);
	grpc_send(a->call, bytes, n);
	free(bytes);
}

struct versions {
	struct arena *mem;
	const struct ads_row *row;
	Ads__DeltaDiscoveryRequest__Version **v;
	size_t n, cap, bytes;
};

static void on_version(void *arg, struct str name, struct str version)
{
	struct versions *to = arg;
	Ads__DeltaDiscoveryRequest__Version *v;

	if (map_get(&to->row->refused, name))
		return;
	to->bytes += name.n + version.n + 12;
	if (to->bytes > LIMIT_ADS_REQUEST_BYTES / 16 * 15)
		return;
	if (to->n == to->cap) {
		to->cap = to->cap ? to->cap * 2 : 64;
		to->v = xrealloc(to->v, to->cap * sizeof(struct Ads__DeltaDiscoveryRequest__Version *));
	}
	v = to->v[to->n++] = arena_alloc(to->mem, sizeof(*v));
	ads__delta_discovery_request__version__init(v);
	v->key = arena_dup(to->mem, name);
	v->value = arena_dup(to->mem, version);
}

/* Everything ("*", which an empty list means, too), and by name what was refused; or on demand: not everything, but what is
 * asked for. */
static void subscribe(struct ads_row *row, struct arena *mem, Ads__DeltaDiscoveryRequest *r)
{
	char **v = arena_alloc(mem, (row->refused.len + row->asks.len + 1) * sizeof(char *));
	size_t n = 0;
	static char *everything[] = { "*" };

	if (row->t.on_demand || row->refused.len)
		v[n++] = everything[0];
	map_each(slot, &row->refused)
		v[n++] = ((struct refusal *)slot->value)->name;
	map_each(slot, &row->asks)
		v[n++] = ((struct ask *)slot->value)->name;
	r->resource_names_subscribe = v;
	r->n_resource_names_subscribe = n;
	if (row->t.on_demand) {
		r->resource_names_unsubscribe = everything;
		r->n_resource_names_unsubscribe = 1;
	}
}

/* With more names than istiod takes in one message none is sent: then it sends everything, and what is not in that is gone. */
static void first_request(struct ads *a, struct ads_row *row)
{
	Ads__DeltaDiscoveryRequest r = ADS__DELTA_DISCOVERY_REQUEST__INIT;
	struct arena mem = { .block = 256 * 1024 };
	struct versions to = { .mem = &mem, .row = row };

	r.node = &a->node;
	r.type_url = (char *)row->t.url;
	row->t.ops->each(row->t.arg, on_version, &to);
	row->complete = to.bytes > LIMIT_ADS_REQUEST_BYTES / 16 * 15 && !row->t.on_demand;
	r.initial_resource_versions = to.v;
	r.n_initial_resource_versions = row->complete ? 0 : to.n;
	subscribe(row, &mem, &r);
	ads_send(a, &r);
	free(to.v);
	arena_done(&mem);
}

/* --- the stream --- */

static void note(struct ads *a, const char *what)
{
	snprintf(a->state, sizeof(a->state), "%s", what);
}

/* Trouble is told once, until it is over or becomes another. */
static void trouble(struct ads *a, const struct grpc_end *end)
{
	char text[400];

	snprintf(text, sizeof(text), "%s: %.*s", grpc_code_name(end->code), STR_FMT(end->message));
	note(a, text);
	if (strcmp(text, a->told) == 0) {
		log_debug(LOG_XDS, "the control plane: %s", text);
		return;
	}
	snprintf(a->told, sizeof(a->told), "%s", text);
	log_warn(LOG_XDS, "no stream from the control plane: %s%s; %s", text,
		 end->from_server && end->code == GRPC_UNAUTHENTICATED ?
		 ", it does not take our token (AUTH_TOKEN must be for the audience istio-ca, of a service account of this cluster, and in date)" : "",
		 a->synced ? "what it said last stays in force" : "trying again");
}

static enum ads_end kind_of_end(const struct ads *a, const struct grpc_end *end)
{
	if (end->code == GRPC_OK)
		return ADS_COMPLETE;
	if (end->goaway || end->code == GRPC_UNKNOWN || end->code == GRPC_CANCELLED || end->code == GRPC_DEADLINE_EXCEEDED)
		return ADS_RECONNECT;
	return end->from_server || a->answered ? ADS_ERROR : ADS_CONNECTION_ERROR;
}

static void on_end(struct grpc_call *c, const struct grpc_end *end, void *arg)
{
	struct ads *a = arg;
	enum ads_end kind = kind_of_end(a, end);

	a->call = NULL;
	a->ends[kind]++;
	if (kind == ADS_ERROR || kind == ADS_CONNECTION_ERROR || !a->answered) {
		trouble(a, end);
	} else {
		note(a, "between two streams");
		log_debug(LOG_XDS, "the control plane retired the stream: %s %.*s", grpc_code_name(end->code), STR_FMT(end->message));
	}
	a->answered = false;
	/* After a failed attempt to connect the channel itself waits. */
	timer_start(&a->retry, kind == ADS_CONNECTION_ERROR && end->unprocessed ? 0 : backoff_next(&a->backoff));
}

static void on_message(struct grpc_call *c, struct str msg, void *arg)
{
	struct ads *a = arg;

	if (!a->answered) {
		a->answered = true;
		backoff_reset(&a->backoff);
		if (*a->told)
			log_info(LOG_XDS, "the control plane is back");
		a->told[0] = '\0';
		note(a, "connected");
	}
	if (ads_push(a, msg))
		return;
	log_warn(LOG_XDS, "the control plane sent %zu bytes that are no discovery response: the stream begins anew", msg.n);
	grpc_cancel(a->call);
	a->call = NULL;
	a->answered = false;
	a->ends[ADS_ERROR]++;
	timer_start(&a->retry, RETRY_MAX_MS);
}

static const struct grpc_call_ops call_ops = { .on_message = on_message, .on_end = on_end };

static void stream_start(struct ads *a)
{
	a->call = grpc_start(a->grpc, METHOD, &call_ops, a, 0);
	if (!a->call) {
		timer_start(&a->retry, RETRY_MAX_MS);
		return;
	}
	for (int i = 0; i < a->n_rows; i++)
		first_request(a, &a->rows[i]);
}

static void on_retry(struct timer *t)
{
	stream_start(container_of(t, struct ads, retry));
}

static void on_again(struct timer *t)
{
	struct ads *a = container_of(t, struct ads, again);

	for (int i = 0; i < a->n_rows && a->answered; i++)
		ads_asks_again(a, &a->rows[i]);
	timer_start(t, LIMIT_ADS_ASK_AGAIN_MS);
}

/* --- life --- */

int ads_new(const struct ads_conf *conf, struct ads **ret, struct err *err)
{
	struct ads *a = xcalloc(1, sizeof(*a));
	int rc = node_init(a, conf, err);

	if (rc < 0) {
		arena_done(&a->mem);
		free(a);
		return rc;
	}
	a->loop = conf->loop;
	a->grpc = conf->grpc;
	a->ops = conf->ops;
	a->arg = conf->arg;
	for (int i = 0; i < conf->n_types && i < ADS_TYPES; i++)
		a->rows[a->n_rows++].t = conf->types[i];
	a->backoff = (struct backoff){ .min_ms = RETRY_MIN_MS, .max_ms = RETRY_MAX_MS };
	timer_init(&a->retry, a->loop, on_retry);
	timer_init(&a->again, a->loop, on_again);
	note(a, "connecting");
	*ret = a;
	return 0;
}

void ads_start(struct ads *a)
{
	if (!a->call && !timer_armed(&a->retry))
		stream_start(a);
	for (int i = 0; i < a->n_rows; i++)
		if (a->rows[i].t.on_demand)
			timer_start(&a->again, LIMIT_ADS_ASK_AGAIN_MS);
}

void ads_free(struct ads *a)
{
	if (!a)
		return;
	grpc_cancel(a->call);
	a->call = NULL;
	timer_stop(&a->retry);
	timer_stop(&a->again);
	for (int i = 0; i < a->n_rows; i++) {
		struct ads_row *row = &a->rows[i];

		ads_asks_done(a, row);
		map_each(slot, &row->refused) {
			struct refusal *x = slot->value;

			free(x->why);
			free(x);
		}
		map_done(&row->refused);
	}
	arena_done(&a->mem);
	free(a);
}

/* --- what others may know --- */

bool ads_synced(const struct ads *a)
{
	return a->synced;
}

bool ads_type_synced(const struct ads *a, int type)
{
	return a->rows[type].synced;
}

bool ads_connected(const struct ads *a)
{
	return a->answered;
}

const char *ads_state(const struct ads *a)
{
	return a->state;
}

const char *ads_end_name(enum ads_end e)
{
	static const char *const names[ADS_ENDS] = { "ConnectionError", "Error", "Reconnect", "Complete" };

	return names[e];
}

void ads_stats(const struct ads *a, struct ads_stats *ret)
{
	struct ads_stats s = { .n_types = a->n_rows };

	memcpy(s.ends, a->ends, sizeof(s.ends));
	for (int i = 0; i < a->n_rows; i++) {
		const struct ads_row *row = &a->rows[i];

		s.types[i] = (struct ads_type_stats){ row->t.url, row->messages, row->bytes, row->nacks, row->refused.len, row->synced };
	}
	*ret = s;
}

void ads_each_refused(const struct ads *a, void (*fn)(void *arg, const char *url, const char *name, const char *why), void *arg)
{
	for (int i = 0; i < a->n_rows; i++) {
		map_each(slot, &a->rows[i].refused) {
			const struct refusal *x = slot->value;

			fn(arg, a->rows[i].t.url, x->name, x->why);
		}
	}
}
