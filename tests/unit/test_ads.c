/* SPDX-License-Identifier: Apache-2.0 */
/* The discovery client over a channel of its own making: what it sends is kept, what the server says is handed to it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/ads.pb-c.h"
#include "source/ads.h"
#include "source/wire.h"
#include "tests/unit/suite.h"

#define URL_A "type.googleapis.com/a"
#define URL_B "type.googleapis.com/b"

/* --- the channel --- */

struct grpc_call {
	const struct grpc_call_ops *ops;
	void *arg;
};

static struct grpc_call call;
static int n_calls;
static bool open_call;
static Ads__DeltaDiscoveryRequest *sent[64];
static int n_sent;

struct grpc_call *grpc_start(struct grpc *g, const char *path, const struct grpc_call_ops *ops, void *arg, unsigned deadline_ms)
{
	ck_assert_str_eq(path, "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
	ck_assert_uint_eq(deadline_ms, 0);
	ck_assert(!open_call);
	call = (struct grpc_call){ ops, arg };
	open_call = true;
	n_calls++;
	return &call;
}

void grpc_send(struct grpc_call *c, const void *p, size_t n)
{
	ck_assert(open_call && n_sent < (int)ARRAY_LEN(sent));
	sent[n_sent] = ads__delta_discovery_request__unpack(NULL, n, p);
	ck_assert_ptr_nonnull(sent[n_sent++]);
}

void grpc_cancel(struct grpc_call *c)
{
	open_call = false;
}

const char *grpc_code_name(enum grpc_code code)
{
	return code == GRPC_UNAVAILABLE ? "UNAVAILABLE" : "OTHER";
}

static void forget_sent(void)
{
	while (n_sent)
		ads__delta_discovery_request__free_unpacked(sent[--n_sent], NULL);
}

/* --- a type --- */

static struct held { char name[64], version[32]; } held[16];
static int n_held, n_begun, n_ended;

static struct held *find(struct str name)
{
	for (int i = 0; i < n_held; i++)
		if (str_is(name, held[i].name))
			return &held[i];
	return NULL;
}

static void on_begin(void *arg) { n_begun++; }
static void on_finish(void *arg) { n_ended++; }

static int on_resource(void *arg, const struct ads_resource *r, struct err *err)
{
	struct held *h = find(r->name);

	if (str_is(r->value, "bad"))
		return err_set(err, -22, "field x: want good");
	if (!h)
		h = &held[n_held++];
	snprintf(h->name, sizeof(h->name), "%.*s", STR_FMT(r->name));
	snprintf(h->version, sizeof(h->version), "%.*s", STR_FMT(r->version));
	return 0;
}

static void on_removed(void *arg, struct str name)
{
	struct held *h = find(name);

	if (h)
		*h = held[--n_held];
}

static int n_many;

static void each(void *arg, void (*fn)(void *fn_arg, struct str name, struct str version), void *fn_arg)
{
	char name[120];

	for (int i = 0; i < n_held; i++)
		fn(fn_arg, str_c(held[i].name), str_c(held[i].version));
	for (int i = 0; i < n_many; i++) {
		snprintf(name, sizeof(name), "%0100d", i);
		fn(fn_arg, str_c(name), str_c("1"));
	}
}

static const struct ads_type_ops type_ops = { on_begin, on_resource, on_removed, on_finish, each };

/* B takes what it gets. */
static int on_any(void *arg, const struct ads_resource *r, struct err *err) { return 0; }
static void on_gone(void *arg, struct str name) { }
static void each_none(void *arg, void (*fn)(void *fn_arg, struct str name, struct str version), void *fn_arg) { }
static const struct ads_type_ops any_ops = { on_begin, on_any, on_gone, on_finish, each_none };

/* --- the client --- */

static struct loop *loop;
static struct ads *ads;
static int n_synced;

static void on_synced(void *arg) { n_synced++; }
static const struct ads_ops ops = { on_synced };

static void begin(bool on_demand)
{
	static const struct ads_pair metadata[] = {
		{ "NAME", "\"zt\"" }, { "LABELS", "{\"a\": {\"b\": [1, true, null, \"1\"]}}" }, { "N", "15020" },
	};
	struct ads_type types[] = { { URL_A, &type_ops, NULL, on_demand }, { URL_B, &any_ops, NULL, false } };
	struct err err;

	loop = loop_new(-1);
	ck_assert_int_eq(ads_new(&(struct ads_conf){ .loop = loop, .node_id = "ztunnel~1~p.n~n.svc.cluster.local", .metadata = metadata,
		.n_metadata = 3, .types = types, .n_types = 2, .ops = &ops }, &ads, &err), 0);
	ads_start(ads);
}

static void finish(void)
{
	ads_free(ads);
	forget_sent();
	loop_free(loop);
}

struct res { const char *name, *version, *value, *alias; };

static void say(const char *url, const char *nonce, const struct res *v, int n, const char *removed)
{
	Ads__DeltaDiscoveryResponse r = ADS__DELTA_DISCOVERY_RESPONSE__INIT;
	Ads__Resource res[8], *list[8];
	Pb__Any any[8];
	char *gone[] = { (char *)removed }, *alias[8];
	uint8_t *bytes;
	size_t len;

	r.type_url = (char *)url;
	r.nonce = (char *)nonce;
	for (int i = 0; i < n; i++) {
		ads__resource__init(&res[i]);
		pb__any__init(&any[i]);
		any[i].type_url = (char *)url;
		any[i].value = (ProtobufCBinaryData){ strlen(v[i].value), (uint8_t *)v[i].value };
		res[i].name = (char *)v[i].name;
		res[i].version = (char *)v[i].version;
		res[i].resource = &any[i];
		alias[i] = (char *)v[i].alias;
		res[i].aliases = &alias[i];
		res[i].n_aliases = v[i].alias != NULL;
		list[i] = &res[i];
	}
	r.resources = list;
	r.n_resources = (size_t)n;
	r.removed_resources = gone;
	r.n_removed_resources = removed != NULL;
	len = ads__delta_discovery_response__get_packed_size(&r);
	bytes = malloc(len);
	ads__delta_discovery_response__pack(&r, bytes);
	call.ops->on_message(&call, (struct str){ (char *)bytes, len }, call.arg);
	free(bytes);
}

static void hang_up(enum grpc_code code, const char *message, bool goaway)
{
	struct grpc_end end = { .code = code, .message = str_c(message), .goaway = goaway, .from_server = !goaway };

	open_call = false;
	forget_sent();
	call.ops->on_end(&call, &end, call.arg);
}

/* Until a new call is there, or ms have passed. */
static void run(int ms, int calls)
{
	struct timer t;
	uint64_t until;

	timer_init(&t, loop, NULL);
	ev_now_update(loop->ev);
	until = loop_now_ms(loop) + (uint64_t)ms;
	while (n_calls < calls && loop_now_ms(loop) < until)
		ev_run(loop->ev, EVRUN_ONCE);
}

START_TEST(first_requests)
{
	const Pb__Struct *m;

	begin(false);
	ck_assert_int_eq(n_sent, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_str_eq(sent[i]->type_url, i ? URL_B : URL_A);
		ck_assert_str_eq(sent[i]->node->id, "ztunnel~1~p.n~n.svc.cluster.local");
		ck_assert_uint_eq(sent[i]->n_resource_names_subscribe, 0);
		ck_assert_uint_eq(sent[i]->n_initial_resource_versions, 0);
		ck_assert_str_eq(sent[i]->response_nonce, "");
	}
	m = sent[0]->node->metadata;
	ck_assert_uint_eq(m->n_fields, 3);
	ck_assert_str_eq(m->fields[0]->value->string_value, "zt");
	m = m->fields[1]->value->struct_value->fields[0]->value->struct_value;
	ck_assert_str_eq(m->fields[0]->key, "b");
	ck_assert_uint_eq(m->fields[0]->value->list_value->n_values, 4);
	ck_assert(m->fields[0]->value->list_value->values[0]->number_value == 1);
	ck_assert(m->fields[0]->value->list_value->values[1]->bool_value);
	ck_assert_int_eq(m->fields[0]->value->list_value->values[2]->kind_case, PB__VALUE__KIND_NULL_VALUE);
	ck_assert_str_eq(m->fields[0]->value->list_value->values[3]->string_value, "1");
	ck_assert(sent[0]->node->metadata->fields[2]->value->number_value == 15020);
	ck_assert(!ads_connected(ads));
	finish();
}
END_TEST

START_TEST(bad_metadata)
{
	struct ads_pair m = { "LABELS", "{\"a\": " };
	struct err err;

	loop = loop_new(-1);
	ck_assert_int_eq(ads_new(&(struct ads_conf){ .loop = loop, .node_id = "x", .metadata = &m, .n_metadata = 1 }, &ads, &err), -22);
	ck_assert_ptr_nonnull(strstr(err.msg, "LABELS"));
	loop_free(loop);
}
END_TEST

START_TEST(acknowledges)
{
	struct ads_stats st;

	begin(false);
	say(URL_A, "n1", (struct res[]){ { "x", "1", "good", NULL }, { "y", "2", "good", NULL } }, 2, NULL);
	ck_assert_int_eq(n_sent, 3);
	ck_assert_str_eq(sent[2]->response_nonce, "n1");
	ck_assert_str_eq(sent[2]->type_url, URL_A);
	ck_assert_ptr_null(sent[2]->error_detail);
	ck_assert_ptr_null(sent[2]->node);
	ck_assert_int_eq(n_held, 2);
	ck_assert(ads_connected(ads) && ads_type_synced(ads, 0) && !ads_synced(ads));
	ck_assert_int_eq(n_synced, 0);
	say(URL_B, "m1", NULL, 0, NULL);
	ck_assert(ads_synced(ads));
	say(URL_B, "m2", NULL, 0, NULL);
	ck_assert_int_eq(n_synced, 1);
	say(URL_A, "n2", NULL, 0, "x");
	ck_assert_int_eq(n_held, 1);
	ck_assert_int_eq(n_begun, 4);
	ck_assert_int_eq(n_ended, 4);
	ads_stats(ads, &st);
	ck_assert_uint_eq(st.types[0].messages, 2);
	ck_assert_uint_eq(st.types[0].bytes, 8);
	ck_assert_uint_eq(st.types[1].messages, 2);
	finish();
}
END_TEST

static void on_refused(void *arg, const char *url, const char *name, const char *why)
{
	buf_printf(arg, "%s %s %s;", url, name, why);
}

START_TEST(refuses_by_name)
{
	struct buf b = { 0 };
	struct ads_stats st;

	begin(false);
	say(URL_A, "n1", (struct res[]){ { "x", "1", "good", NULL } }, 1, NULL);
	say(URL_A, "n2", (struct res[]){ { "x", "2", "bad", NULL }, { "y", "1", "good", NULL }, { "z", "1", "bad", NULL } }, 3, NULL);
	ck_assert_str_eq(sent[3]->response_nonce, "n2");
	ck_assert_int_eq(sent[3]->error_detail->code, GRPC_INVALID_ARGUMENT);
	ck_assert_str_eq(sent[3]->error_detail->message, "x: field x: want good; z: field x: want good");
	ck_assert_int_eq(n_held, 2);                                   /* y applies */
	ck_assert_str_eq(find(str_c("x"))->version, "1");              /* the last good one */
	ads_stats(ads, &st);
	ck_assert_uint_eq(st.types[0].refused, 1);
	ck_assert_uint_eq(st.types[0].refused_now, 2);
	ck_assert(ads_type_synced(ads, 0));

	/* After a reconnect: not among the versions, and asked for by name. */
	hang_up(GRPC_UNAVAILABLE, "", true);
	run(2000, 2);
	ck_assert_int_eq(n_calls, 2);
	ck_assert_uint_eq(sent[0]->n_initial_resource_versions, 1);
	ck_assert_str_eq(sent[0]->initial_resource_versions[0]->key, "y");
	ck_assert_str_eq(sent[0]->initial_resource_versions[0]->value, "1");
	ck_assert_uint_eq(sent[0]->n_resource_names_subscribe, 3);
	ck_assert_str_eq(sent[0]->resource_names_subscribe[0], "*");
	ck_assert_uint_eq(sent[1]->n_resource_names_subscribe, 0);

	say(URL_A, "n3", (struct res[]){ { "x", "3", "good", NULL } }, 1, "z");
	ck_assert_ptr_null(sent[2]->error_detail);
	ads_each_refused(ads, on_refused, &b);
	ck_assert_uint_eq(buf_len(&b), 0);
	finish();
}
END_TEST

START_TEST(many_refusals_are_counted)
{
	char name[200];

	begin(false);
	forget_sent();
	for (int i = 0; i < 8; i++) {
		memset(name, 'a' + i, sizeof(name));
		name[sizeof(name) - 1] = '\0';
		say(URL_A, "n", (struct res[]){ { name, "", "bad", NULL }, { name, "", "bad", NULL } }, 2, NULL);
		ck_assert_uint_lt(strlen(sent[n_sent - 1]->error_detail->message), 9000);
	}
	finish();
}
END_TEST

START_TEST(wrong_types_and_halves)
{
	Ads__DeltaDiscoveryResponse r = ADS__DELTA_DISCOVERY_RESPONSE__INIT;
	Ads__Resource res = ADS__RESOURCE__INIT, *list = &res;
	Pb__Any any = PB__ANY__INIT;
	uint8_t bytes[200];
	size_t n;

	begin(false);
	say("type.googleapis.com/other", "u1", NULL, 0, NULL);
	say("type.googleapis.com/other", "u2", NULL, 0, NULL);
	ck_assert_str_eq(sent[2]->type_url, "type.googleapis.com/other");
	ck_assert_ptr_nonnull(strstr(sent[2]->error_detail->message, "type.googleapis.com/other"));
	ck_assert_str_eq(sent[3]->response_nonce, "u2");

	any.type_url = (char *)URL_B;
	res.name = (char *)"x";
	res.resource = &any;
	r.resources = &list;
	r.n_resources = 1;
	r.type_url = (char *)URL_A;
	r.nonce = (char *)"n1";
	n = ads__delta_discovery_response__pack(&r, bytes);
	call.ops->on_message(&call, (struct str){ (char *)bytes, n }, call.arg);
	ck_assert_str_eq(sent[4]->error_detail->message, "x: the resource is of another type than the push");
	ck_assert_int_eq(n_held, 0);
	res.name = (char *)"";
	n = ads__delta_discovery_response__pack(&r, bytes);
	call.ops->on_message(&call, (struct str){ (char *)bytes, n }, call.arg);
	ck_assert_str_eq(sent[5]->error_detail->message, "a resource without a name");

	/* Half a message is no message: the stream begins anew. */
	call.ops->on_message(&call, (struct str){ (char *)bytes, n - 1 }, call.arg);
	ck_assert(!open_call);
	ck_assert_int_eq(n_sent, 6);
	finish();
}
END_TEST

START_TEST(ends_are_told_apart)
{
	static const struct { enum grpc_code code; bool goaway, answered; enum ads_end want; } rows[] = {
		{ GRPC_UNAVAILABLE, true, true, ADS_RECONNECT }, { GRPC_UNKNOWN, false, true, ADS_RECONNECT },
		{ GRPC_CANCELLED, false, true, ADS_RECONNECT }, { GRPC_OK, false, true, ADS_COMPLETE },
		{ GRPC_UNAUTHENTICATED, false, false, ADS_ERROR }, { GRPC_UNAVAILABLE, false, true, ADS_ERROR },
	};
	struct ads_stats st;
	struct grpc_end end = { .code = GRPC_UNAVAILABLE, .message = str_c("refused"), .unprocessed = true };

	begin(false);
	for (int i = 0; i < (int)ARRAY_LEN(rows); i++) {
		if (rows[i].answered)
			say(URL_A, "n", (struct res[]){ { "x", "1", "good", NULL } }, 1, NULL);
		hang_up(rows[i].code, "why", rows[i].goaway);
		run(3000, i + 2);
		ck_assert_int_eq(n_calls, i + 2);
		ads_stats(ads, &st);
		ck_assert_uint_ge(st.ends[rows[i].want], 1);
	}
	ck_assert_str_eq(ads_state(ads), "UNAVAILABLE: why");
	open_call = false;
	call.ops->on_end(&call, &end, call.arg);
	ads_stats(ads, &st);
	ck_assert_uint_eq(st.ends[ADS_CONNECTION_ERROR], 1);
	ck_assert_uint_eq(st.ends[ADS_RECONNECT], 3);
	ck_assert_str_eq(ads_end_name(ADS_CONNECTION_ERROR), "ConnectionError");
	ck_assert_int_eq(n_held, 1);
	finish();
}
END_TEST

/* More names than fit into a request: everything is asked for, and what is not in the answer is gone. */
START_TEST(too_many_names)
{
	begin(false);
	say(URL_A, "n1", (struct res[]){ { "x", "1", "good", NULL }, { "y", "1", "good", NULL }, { "z", "1", "bad", NULL } }, 3, NULL);
	n_many = 50000;
	hang_up(GRPC_UNAVAILABLE, "", true);
	run(2000, 2);
	ck_assert_uint_eq(sent[0]->n_initial_resource_versions, 0);
	n_many = 0;
	say(URL_A, "n2", (struct res[]){ { "y", "1", "good", NULL } }, 1, NULL);
	ck_assert_int_eq(n_held, 1);
	ck_assert_ptr_nonnull(find(str_c("y")));
	say(URL_A, "n3", (struct res[]){ { "v", "1", "good", NULL } }, 1, NULL);
	ck_assert_int_eq(n_held, 2);
	finish();
}
END_TEST

/* --- on demand --- */

static int done_found, done_missing, done_silent;

static void on_done(void *arg, enum ads_answer answer)
{
	done_found += answer == ADS_FOUND;
	done_missing += answer == ADS_ABSENT;
	done_silent += answer == ADS_NO_ANSWER;
}

START_TEST(on_demand)
{
	struct ads_wait *w;

	begin(true);
	ck_assert_str_eq(sent[0]->resource_names_subscribe[0], "*");
	ck_assert_str_eq(sent[0]->resource_names_unsubscribe[0], "*");
	ck_assert_uint_eq(sent[1]->n_resource_names_subscribe, 0);
	ck_assert_ptr_null(ads_want(ads, 1, str_c("x"), 1000, on_done, NULL));
	ck_assert_ptr_nonnull(ads_want(ads, 0, str_c("net/10.0.0.1"), 60000, on_done, NULL));
	ck_assert_ptr_nonnull(ads_want(ads, 0, str_c("net/10.0.0.1"), 60000, on_done, NULL));
	w = ads_want(ads, 0, str_c("net/10.0.0.2"), 60000, on_done, NULL);
	ads_want(ads, 0, str_c("net/10.0.0.3"), 60000, on_done, NULL);
	ck_assert_int_eq(n_sent, 5);
	ck_assert_str_eq(sent[2]->resource_names_subscribe[0], "net/10.0.0.1");
	ck_assert_ptr_null(sent[2]->node);

	/* By alias; by removal; nobody waits any more. */
	say(URL_A, "n1", (struct res[]){ { "c//Pod/n/p", "1", "good", "net/10.0.0.1" } }, 1, "net/10.0.0.3");
	ck_assert_int_eq(done_found, 2);
	ck_assert_int_eq(done_missing, 1);
	ads_wait_cancel(w);
	ads_wait_cancel(NULL);
	ck_assert_str_eq(sent[n_sent - 1]->resource_names_unsubscribe[0], "net/10.0.0.2");
	ck_assert_uint_eq(sent[n_sent - 1]->n_resource_names_subscribe, 1);      /* never without one */

	/* Found before and asked for again: the server is asked again. */
	forget_sent();
	ads_want(ads, 0, str_c("net/10.0.0.1"), 60000, on_done, NULL);
	ck_assert_int_eq(n_sent, 2);
	ck_assert_str_eq(sent[0]->resource_names_unsubscribe[0], "net/10.0.0.1");
	ck_assert_str_eq(sent[1]->resource_names_subscribe[0], "net/10.0.0.1");

	/* A reconnect keeps what is asked for, and what is held. */
	hang_up(GRPC_UNAVAILABLE, "", true);
	run(2000, 2);
	ck_assert_uint_eq(sent[0]->n_resource_names_subscribe, 2);
	ck_assert_str_eq(sent[0]->resource_names_subscribe[1], "net/10.0.0.1");
	ck_assert_str_eq(sent[0]->initial_resource_versions[0]->key, "c//Pod/n/p");
	finish();
	ck_assert_int_eq(done_missing, 1);
	ck_assert_int_eq(done_silent, 1);
}
END_TEST

START_TEST(nobody_answers)
{
	begin(true);
	ads_want(ads, 0, str_c("a"), 20, on_done, NULL);
	for (int i = 0; i < 100 && !done_silent; i++)
		ev_run(loop->ev, EVRUN_ONCE);
	ck_assert_int_eq(done_silent, 1);
	ck_assert_str_eq(sent[n_sent - 1]->resource_names_unsubscribe[0], "a");
	finish();
}
END_TEST

START_TEST(a_limit_of_waits)
{
	char name[16];
	int n = 0;

	begin(true);
	hang_up(GRPC_UNAVAILABLE, "", true);
	for (int i = 0; i < LIMIT_ADS_WAITS + 10; i++) {
		snprintf(name, sizeof(name), "%d", i);
		n += ads_want(ads, 0, str_c(name), 60000, on_done, NULL) != NULL;
	}
	ck_assert_int_eq(n, LIMIT_ADS_WAITS);
	finish();
	ck_assert_int_eq(done_silent, LIMIT_ADS_WAITS);
}
END_TEST

/* --- the wire format --- */

START_TEST(wire)
{
	static const struct { const char *bytes; size_t n; bool bad; } rows[] = {
		{ "\x08\x96\x01", 3, false }, { "\x08\x96", 2, true }, { "\x08", 1, true }, { "\x12\x02hi", 4, false },
		{ "\x12\x03hi", 4, true }, { "\x00\x01", 2, true }, { "\x0b", 1, true }, { "\x0d\x01\x00\x00\x00", 5, false },
		{ "\x0d\x01\x00\x00", 4, true }, { "\x09\x01\0\0\0\0\0\0\0", 9, false }, { "\x09\x01", 2, true },
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, false }, { "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, true },
		{ "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, true },
	};
	struct wire w = wire_of((struct str){ rows[_i].bytes, rows[_i].n });

	ck_assert_int_eq(wire_next(&w), !rows[_i].bad);
	ck_assert_int_eq(w.bad, rows[_i].bad);
	ck_assert(!wire_next(&w));
	if (_i == 0)
		ck_assert_uint_eq(w.number, 150);
	if (_i == 3)
		ck_assert(str_is(w.bytes, "hi") && w.field == 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ads");
	TCase *tc = tcase_create("ads");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, first_requests);
	tcase_add_test(tc, bad_metadata);
	tcase_add_test(tc, acknowledges);
	tcase_add_test(tc, refuses_by_name);
	tcase_add_test(tc, many_refusals_are_counted);
	tcase_add_test(tc, wrong_types_and_halves);
	tcase_add_test(tc, ends_are_told_apart);
	tcase_add_test(tc, too_many_names);
	tcase_add_test(tc, on_demand);
	tcase_add_test(tc, nobody_answers);
	tcase_add_test(tc, a_limit_of_waits);
	tcase_add_loop_test(tc, wire, 0, 14);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
