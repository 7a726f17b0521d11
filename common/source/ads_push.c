/* SPDX-License-Identifier: Apache-2.0 */
/* One DeltaDiscoveryResponse: what is in it, and the answer. */
#include "source/ads_int.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "source/wire.h"

#define LOGGED_MAX 20             /* refusals of one push that are logged */
#define TRIM_BYTES (4u << 20)     /* after a larger message memory is given back */

/* Fields of DeltaDiscoveryResponse, Resource and Any. */
enum { RESPONSE_RESOURCES = 2, RESPONSE_TYPE = 4, RESPONSE_NONCE = 5, RESPONSE_REMOVED = 6 };
enum { RESOURCE_VERSION = 1, RESOURCE_ANY = 2, RESOURCE_NAME = 3, RESOURCE_ALIASES = 4 };
enum { ANY_TYPE = 1, ANY_VALUE = 2 };

struct push {
	struct ads *a;
	struct ads_row *row;
	struct buf why;              /* of what is refused */
	size_t n, n_removed, n_refused, n_unsaid, n_unlogged;
	struct map present;          /* names in it, when it is complete; values mean nothing */
};

/* --- refusals --- */

void ads_refusal_clear(struct ads_row *row, struct str name)
{
	struct refusal *x = map_del(&row->refused, name);

	if (x)
		free(x->why);
	free(x);
}

static void refuse(struct push *p, struct str name, const char *why)
{
	struct refusal *x = map_get(&p->row->refused, name);

	if (!x || strcmp(x->why, why) != 0) {
		if (p->n_refused < LOGGED_MAX)
			log_warn(LOG_XDS, "the control plane's %.*s is refused: %s", STR_FMT(name), why);
		else
			p->n_unlogged++;
	}
	p->n_refused++;
	if (buf_len(&p->why) + name.n + strlen(why) > LIMIT_ADS_NACK_BYTES)
		p->n_unsaid++;
	else
		buf_printf(&p->why, "%s%.*s%s%s", buf_len(&p->why) ? "; " : "", STR_FMT(name), name.n ? ": " : "", why);
	if (!name.n)
		return;
	if (!x) {
		x = xcalloc(1, sizeof(*x) + name.n + 1);
		memcpy(x->name, name.p, name.n);
		map_put(&p->row->refused, (struct str){ x->name, name.n }, x);
	}
	free(x->why);
	x->why = xstrdup(why);
}

/* --- the answer --- */

static void answer(struct ads *a, struct str url, struct str nonce, const char *problem)
{
	Ads__DeltaDiscoveryRequest r = ADS__DELTA_DISCOVERY_REQUEST__INIT;
	Pb__Status status = PB__STATUS__INIT;

	r.type_url = str_dup(url);
	r.response_nonce = str_dup(nonce);
	if (problem) {
		status.code = GRPC_INVALID_ARGUMENT;
		status.message = (char *)problem;
		r.error_detail = &status;
	}
	ads_send(a, &r);
	free(r.type_url);
	free(r.response_nonce);
}

static void unknown_type(struct ads *a, struct str url, struct str nonce)
{
	char text[240];
	int i = 0;

	while (i < a->n_unknown && !str_is(url, a->unknown[i]))
		i++;
	if (i == a->n_unknown && i < (int)ARRAY_LEN(a->unknown) && url.n < sizeof(a->unknown[0])) {
		snprintf(a->unknown[a->n_unknown++], sizeof(a->unknown[0]), "%.*s", STR_FMT(url));
		log_warn(LOG_XDS, "the control plane sends resources of a type that was not asked for, and that is refused: %.*s",
			 STR_FMT(url));
	}
	snprintf(text, sizeof(text), "the type %.*s was not asked for", url.n < 160 ? (int)url.n : 160, url.p);
	answer(a, url, nonce, text);
}

/* --- resources --- */

struct resource {
	struct ads_resource r;
	struct str type;
	bool bad;
};

static struct resource resource_read(struct str bytes)
{
	struct resource x = { .r = { .name = { "", 0 }, .version = { "", 0 }, .value = { "", 0 } }, .type = { "", 0 } };
	struct wire w = wire_of(bytes), any = { .rest = { NULL, 0 } };

	while (wire_next(&w)) {
		if (w.type != WIRE_BYTES)
			continue;
		if (w.field == RESOURCE_NAME)
			x.r.name = w.bytes;
		else if (w.field == RESOURCE_VERSION)
			x.r.version = w.bytes;
		else if (w.field == RESOURCE_ANY)
			any = wire_of(w.bytes);
	}
	while (wire_next(&any)) {
		if (any.type == WIRE_BYTES && any.field == ANY_TYPE)
			x.type = any.bytes;
		else if (any.type == WIRE_BYTES && any.field == ANY_VALUE)
			x.r.value = any.bytes;
	}
	x.bad = w.bad || any.bad;
	return x;
}

static void answer_asks(struct ads_row *row, struct str bytes, struct str name)
{
	struct wire w = wire_of(bytes);

	if (!row->asks.len)
		return;
	ads_asks_answer(row, name, true);
	while (wire_next(&w))
		if (w.type == WIRE_BYTES && w.field == RESOURCE_ALIASES)
			ads_asks_answer(row, w.bytes, true);
}

static void on_resource(struct push *p, struct str bytes)
{
	struct resource x = resource_read(bytes);
	struct err err = { "" };

	p->n++;
	log_debug(LOG_XDS, "resource %.*s, version '%.*s', %zu bytes", STR_FMT(x.r.name), STR_FMT(x.r.version), x.r.value.n);
	p->row->bytes += x.r.value.n;
	if (p->row->complete && x.r.name.n)
		map_put(&p->present, x.r.name, p);
	if (x.bad)
		refuse(p, x.r.name, "the resource cannot be decoded");
	else if (!x.r.name.n || memchr(x.r.name.p, '\0', x.r.name.n))
		refuse(p, (struct str){ "", 0 }, "a resource without a name");
	else if (!str_is(x.type, p->row->t.url))
		refuse(p, x.r.name, "the resource is of another type than the push");
	else if (p->row->t.ops->on_resource(p->row->t.arg, &x.r, &err) < 0)
		refuse(p, x.r.name, err.msg);
	else
		ads_refusal_clear(p->row, x.r.name);
	answer_asks(p->row, bytes, x.r.name);
}

static void on_removed(struct push *p, struct str name)
{
	p->n_removed++;
	log_debug(LOG_XDS, "removed %.*s", STR_FMT(name));
	p->row->t.ops->on_removed(p->row->t.arg, name);
	ads_refusal_clear(p->row, name);
	ads_asks_answer(p->row, name, false);
}

struct absent {
	struct push *p;
	char **names;
	size_t n, cap;
};

static void on_held(void *arg, struct str name, struct str version)
{
	struct absent *to = arg;

	if (map_get(&to->p->present, name))
		return;
	if (to->n == to->cap) {
		to->cap = to->cap ? to->cap * 2 : 16;
		to->names = xrealloc(to->names, to->cap * sizeof(char *));
	}
	to->names[to->n++] = str_dup(name);
}

/* What is held and not in a complete push is gone. */
static void remove_absent(struct push *p)
{
	struct absent to = { .p = p };

	p->row->t.ops->each(p->row->t.arg, on_held, &to);
	map_each(slot, &p->row->refused)
		on_held(&to, slot->key, (struct str){ "", 0 });
	for (size_t i = 0; i < to.n; i++) {
		on_removed(p, str_c(to.names[i]));
		free(to.names[i]);
	}
	free(to.names);
}

/* --- the push --- */

static void each_of(struct push *p, struct str msg, unsigned field, void (*fn)(struct push *p, struct str bytes))
{
	struct wire w = wire_of(msg);

	while (wire_next(&w))
		if (w.type == WIRE_BYTES && w.field == field)
			fn(p, w.bytes);
}

static void apply(struct push *p, struct str msg)
{
	const struct ads_type_ops *ops = p->row->t.ops;

	ops->begin(p->row->t.arg);
	each_of(p, msg, RESPONSE_REMOVED, on_removed);
	each_of(p, msg, RESPONSE_RESOURCES, on_resource);
	if (p->row->complete)
		remove_absent(p);
	p->row->complete = false;
	ops->end(p->row->t.arg);
}

static void now_synced(struct ads *a, struct ads_row *row)
{
	bool all = true;

	row->synced = true;
	for (int i = 0; i < a->n_rows; i++)
		all = all && a->rows[i].synced;
	if (a->synced || !all)
		return;
	a->synced = true;
	if (a->ops && a->ops->on_synced)
		a->ops->on_synced(a->arg);
}

static struct ads_row *row_of(struct ads *a, struct str url)
{
	for (int i = 0; i < a->n_rows; i++)
		if (str_is(url, a->rows[i].t.url))
			return &a->rows[i];
	return NULL;
}

static void finish(struct push *p, struct str url, struct str nonce)
{
	if (p->n_unsaid)
		buf_printf(&p->why, "; and %zu more", p->n_unsaid);
	log_debug(LOG_XDS, "%.*s: %zu resources, %zu refused, %zu removed", STR_FMT(url), p->n, p->n_refused, p->n_removed);
	if (p->n_unlogged)
		log_warn(LOG_XDS, "and %zu more are refused", p->n_unlogged);
	if (p->n_refused)
		p->row->nacks++;
	buf_append(&p->why, "", 1);
	answer(p->a, url, nonce, p->n_refused ? (const char *)buf_data(&p->why) : NULL);
	buf_done(&p->why);
	map_done(&p->present);
}

bool ads_push(struct ads *a, struct str msg)
{
	struct push p = { .a = a };
	struct str url = { "", 0 }, nonce = { "", 0 };
	struct wire w = wire_of(msg);

	while (wire_next(&w)) {
		if (w.type == WIRE_BYTES && w.field == RESPONSE_TYPE)
			url = w.bytes;
		else if (w.type == WIRE_BYTES && w.field == RESPONSE_NONCE)
			nonce = w.bytes;
	}
	if (w.bad)
		return false;
	p.row = row_of(a, url);
	if (!p.row) {
		unknown_type(a, url, nonce);
		return true;
	}
	p.row->messages++;
	apply(&p, msg);
	finish(&p, url, nonce);
	if (msg.n > TRIM_BYTES)
		malloc_trim(0);
	ads_asks_settle(a, p.row);
	now_synced(a, p.row);
	return true;
}
