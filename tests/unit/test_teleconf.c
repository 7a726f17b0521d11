/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/teleconf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "telemetry/accesslog.h"
#include "telemetry/prom.h"
#include "telemetry/requests.h"
#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"
#include "tests/unit/teleconf_fixture.h"

static struct exchange x;
static struct exchange_client client;
static struct teleconf *conf;
static struct mesh_config *config;
static struct telemetry *objects[4];
static int n_objects;
static char path[64], text[8192];
static struct buf page;

static void setup(void)
{
	config = config_fixture();
	n_objects = 0;
	exchange_fixture(&x, &client);
	snprintf(path, sizeof(path), "/tmp/test_teleconf.%d", (int)getpid());
	unlink(path);
}

static void teardown(void)
{
	arena_done(&x.arena);
	teleconf_unref(conf);
	conf = NULL;
	unlink(path);
	buf_done(&page);
}

static void compile(void)
{
	mesh_fixture(config, objects, n_objects);
	client.peer_workload = productpage;
	client.local_workload = reviews;
	conf = teleconf_of(reviews);
}

static const char *written(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static const char *prom(void)
{
	static const struct prom_build build = { "proxy", "1.30", "1.2.3" };

	buf_done(&page);
	prom_write(&page, false, &build);
	buf_append(&page, "", 1);
	return (const char *)buf_data(&page);
}

static struct telemetry *object(const char *ns, const char *name)
{
	return objects[n_objects++] = telemetry_fixture(ns, name);
}

#define ONE(list, value) ((list).v = &(value), (list).n = 1, (list).present = true)

START_TEST(off_without_a_word)
{
	compile();
	ck_assert_int_eq(conf->side[0].n_logs, 0);
	ck_assert_int_eq(conf->side[0].n_groups, 3);     /* metrics are on */
	ck_assert(!conf->side[0].tracing.on);
	ck_assert_str_eq(reports, "");
}
END_TEST

START_TEST(access_log_file)
{
	config->tele.access_log_file = path;
	compile();
	accesslog_write(teleconf_side(conf, true), &x);
	ck_assert(strncmp(written(), "[2023-11-14T22:13:20.123Z] \"GET /path?q=1", 40) == 0);
	ck_assert(text[strlen(text) - 1] == '\n');
}
END_TEST

START_TEST(access_log_json)
{
	config->tele.access_log_file = path;
	config->tele.access_log_json = true;
	compile();
	accesslog_write(teleconf_side(conf, true), &x);
	ck_assert_str_eq(written(),
		"{\"authority\":\"reviews:9080\",\"bytes_received\":12,\"bytes_sent\":345,\"connection_termination_details\":null,"
		"\"downstream_local_address\":\"10.0.0.2:9080\",\"downstream_remote_address\":\"10.0.0.1:40000\",\"duration\":7,\"method\":\"GET\","
		"\"path\":\"/path?q=1&r=&flag\",\"protocol\":\"HTTP/1.1\",\"request_id\":\"11111111-2222-4333-8444-555555555555\","
		"\"requested_server_name\":\"outbound_.9080_._.reviews.default.svc.cluster.local\",\"response_code\":200,"
		"\"response_code_details\":\"via_upstream\",\"response_flags\":\"-\",\"route_name\":\"default\",\"start_time\":\"2023-11-14T22:13:20.123Z\","
		"\"upstream_cluster\":\"inbound|9080||\",\"upstream_host\":\"10.0.0.2:9080\",\"upstream_local_address\":\"127.0.0.6:51000\","
		"\"upstream_service_time\":\"3\",\"upstream_transport_failure_reason\":null,\"user_agent\":\"curl/8\",\"x_forwarded_for\":null}\n");
}
END_TEST

START_TEST(json_of_labels)
{
	static const struct label labels[] = { { "b", "%RESPONSE_CODE%" }, { "a", "%REQ(X-NONE)%" } };
	static struct tele_provider p = { .name = "mine", .kind = TELE_FILE_LOG, .what = "envoyFileAccessLog", .text = "" };
	static const char *name = "mine";

	p.path = path;
	p.labels.v = labels;
	p.labels.n = 2;
	p.labels.present = p.omit_empty = true;
	ONE(config->tele.providers, p);
	ONE(config->tele.default_logging, name);
	compile();
	ck_assert_str_eq(reports, "");
	accesslog_write(teleconf_side(conf, true), &x);
	ck_assert_str_eq(written(), "{\"b\":200}\n");
}
END_TEST

START_TEST(telemetry_takes_the_place_of_access_log_file)
{
	static const char *envoy = "envoy";
	static struct tele_logging off = { .mode = TELE_SERVER, .disabled = OPT_YES, .filter = "" };

	config->tele.access_log_file = path;
	off.providers.v = &envoy;
	off.providers.n = 1;
	object("default", "off");
	ONE(objects[n_objects - 1]->logging, off);
	compile();
	ck_assert_int_eq(conf->side[1].n_logs, 0);
	ck_assert_int_eq(conf->side[0].n_logs, 0);
}
END_TEST

START_TEST(a_filter_picks)
{
	static const char *envoy = "envoy";
	static struct tele_logging errors = { .mode = TELE_CLIENT_AND_SERVER, .filter = "response.code >= 400 || !has(request.headers['user-agent'])" };

	config->tele.access_log_file = path;
	errors.providers.v = &envoy;
	errors.providers.n = 1;
	object("istio-system", "mesh");
	ONE(objects[n_objects - 1]->logging, errors);
	compile();
	accesslog_write(teleconf_side(conf, true), &x);
	ck_assert_str_eq(written(), "");
	x.response.status = 500;
	accesslog_write(teleconf_side(conf, true), &x);
	ck_assert(strstr(written(), " 500 ") != NULL);
}
END_TEST

START_TEST(what_is_wrong_is_told)
{
	static const char *names[] = { "als", "none" };
	static struct tele_provider als = { .name = "als", .kind = TELE_OTHER, .what = "envoyHttpAls" };
	static struct tele_logging l = { .filter = "" }, bad = { .filter = "response.flags == 1" };
	static const char *envoy = "envoy";
	static struct tele_tracing t;
	static struct tele_metrics m;
	static struct tele_override o = { .metric = "CUSTOM" };
	static struct tele_logging both[2];

	ONE(config->tele.providers, als);
	l.providers.v = names;
	l.providers.n = 2;
	bad.providers.v = &envoy;
	bad.providers.n = 1;
	both[0] = l;
	both[1] = bad;
	object("default", "x")->logging.v = both;
	objects[0]->logging.n = 2;
	t.providers.v = &names[0];
	t.providers.n = 1;
	ONE(objects[0]->tracing, t);
	m.providers.v = &names[1];
	m.providers.n = 1;
	ONE(m.overrides, o);
	ONE(objects[0]->metrics, m);
	compile();
	ck_assert_ptr_nonnull(strstr(reports, "envoyHttpAls"));
	ck_assert_ptr_nonnull(strstr(reports, "no extension provider 'none'"));
	ck_assert_ptr_nonnull(strstr(reports, "response.flags"));
	ck_assert_ptr_nonnull(strstr(reports, "spans to opentelemetry"));
	ck_assert_ptr_nonnull(strstr(reports, "metrics cannot be sent to the provider 'none'"));
	ck_assert_int_eq(conf->side[0].n_logs, 0);
	ck_assert_int_eq(conf->side[0].n_groups, 0);
}
END_TEST

START_TEST(nearer_objects_win)
{
	static struct tele_tracing mesh = { .sampling = { 10, true } }, ns = { .sampling = { 20, true }, .mode = TELE_SERVER },
				   mine = { .sampling = { 30, true }, .mode = TELE_CLIENT }, others = { .sampling = { 40, true } };
	static const struct label reviews_label = { "app", "reviews" }, other_label = { "app", "other" };

	object("istio-system", "mesh");
	ONE(objects[n_objects - 1]->tracing, mesh);
	object("default", "ns");
	ONE(objects[n_objects - 1]->tracing, ns);
	object("default", "zmine");
	ONE(objects[n_objects - 1]->tracing, mine);
	ONE(objects[2]->selector, reviews_label);
	objects[2]->has_selector = true;
	object("default", "another");
	ONE(objects[n_objects - 1]->tracing, others);
	ONE(objects[3]->selector, other_label);
	objects[3]->has_selector = true;
	compile();
	ck_assert_int_eq(conf->side[0].tracing.per_myriad, 3000);
	ck_assert_int_eq(conf->side[1].tracing.per_myriad, 2000);
}
END_TEST

/* At a waypoint selectors do not count; what holds for namespaces does, then what is bound to it, in the order of age (here: of names). */
START_TEST(bound_to_a_waypoint)
{
	static struct tele_tracing percent[9];
	static const struct label any = { "gateway.networking.k8s.io/gateway-name", "wp" };
	static const struct { const char *ns, *name; struct target_ref to; double percent; } rows[] = {
		{ "istio-system", "mesh", { 0, NULL }, 1 },
		{ "mesh", "a-ns", { 0, NULL }, 2 },
		{ "mesh", "b-selector", { 0, "" }, 3 },
		{ "mesh", "c-gate", { TARGET_GATEWAY, "wp" }, 4 },
		{ "mesh", "d-other", { TARGET_GATEWAY, "other" }, 5 },
		{ "default", "e-gate", { TARGET_GATEWAY, "wp" }, 6 },
		{ "default", "f-service", { TARGET_SERVICE, "shop" }, 7 },
		{ "default", "g-entry", { TARGET_SERVICE_ENTRY, "reviews" }, 8 },
	};
	static struct telemetry *many[9];
	struct workload *wp = waypoint_fixture();
	struct service shop = { .core = true, .ns = "default", .name = "shop" }, reviews_entry = { .ns = "default", .name = "reviews" }, other = { .core = true, .ns = "mesh", .name = "shop" };
	const struct tele_side *s;

	for (int i = 0; i < 8; i++) {
		many[i] = telemetry_fixture(rows[i].ns, rows[i].name);
		percent[i].sampling = (struct opt_double){ rows[i].percent, true };
		ONE(many[i]->tracing, percent[i]);
		if (rows[i].to.name && *rows[i].to.name)
			ONE(many[i]->targets, rows[i].to);
		if (rows[i].to.name && !*rows[i].to.name) {
			ONE(many[i]->selector, any);
			many[i]->has_selector = true;
		}
	}
	fixture_mode = MODE_WAYPOINT;
	mesh_fixture(config, many, 8);
	fixture_mode = MODE_SIDECAR;
	conf = teleconf_of(wp);
	s = teleconf_side(conf, true);
	ck_assert_int_eq(s->tracing.per_myriad, 400);
	ck_assert_ptr_eq(tele_side_for(s, NULL), s);
	ck_assert_ptr_eq(tele_side_for(s, &other), s);
	ck_assert_int_eq(tele_side_for(s, &shop)->tracing.per_myriad, 700);
	ck_assert_int_eq(tele_side_for(s, &reviews_entry)->tracing.per_myriad, 800);
	ck_assert_uint_ne(tele_side_for(s, &shop)->id, s->id);
	workload_unref(wp);
}
END_TEST

START_TEST(metrics_are_changed)
{
	static const struct tele_tag tags[] = {
		{ "source_cluster", TELE_TAG_REMOVE, "" }, { "request_host", TELE_TAG_UPSERT, "request.host" },
		{ "source_app", TELE_TAG_UPSERT, "'fixed'" }, { "bad-name", TELE_TAG_UPSERT, "'x'" }, { "broken", TELE_TAG_UPSERT, "nope" },
		{ "team", TELE_TAG_UPSERT, "request.headers['x-team']" },
	};
	static struct tele_override o[] = {
		{ .metric = "REQUEST_COUNT" }, { .metric = "REQUEST_SIZE", .disabled = OPT_YES }, { .metric = "", .mode = TELE_CLIENT, .disabled = OPT_YES },
	};
	static struct tele_metrics m;

	o[0].tags.v = tags;
	o[0].tags.n = ARRAY_LEN(tags);
	m.overrides.v = o;
	m.overrides.n = ARRAY_LEN(o);
	object("default", "m");
	ONE(objects[n_objects - 1]->metrics, m);
	compile();
	ck_assert_ptr_nonnull(strstr(reports, "'bad-name' is no name"));
	ck_assert_ptr_nonnull(strstr(reports, "the tag 'broken' stays"));
	ck_assert_int_eq(conf->side[0].n_groups, 0);
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	x.request.authority = str_c("other");
	requests_count(teleconf_side(conf, true), &x, 0, 0);
	prom();
	ck_assert_ptr_nonnull(strstr(prom(), "connection_security_policy=\"mutual_tls\",request_host=\"reviews:9080\",team=\"unknown\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(prom(), "request_host=\"other\",team=\"unknown\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(prom(), "source_app=\"fixed\",source_version=\"v1\",destination_workload"));
	ck_assert_ptr_nonnull(strstr(prom(), "istio_response_bytes_count{reporter=\"destination\",source_workload=\"productpage\""));
	ck_assert_ptr_null(strstr(prom(), "istio_request_bytes"));
}
END_TEST

START_TEST(published)
{
	compile();
	teleconf_publish(teleconf_ref(conf));
	ck_assert_ptr_eq(teleconf_current(), conf);
	teleconf_publish(NULL);
	ck_assert_ptr_null(teleconf_current());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("teleconf");
	TCase *t = tcase_create("teleconf");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, off_without_a_word);
	tcase_add_test(t, access_log_file);
	tcase_add_test(t, access_log_json);
	tcase_add_test(t, json_of_labels);
	tcase_add_test(t, telemetry_takes_the_place_of_access_log_file);
	tcase_add_test(t, a_filter_picks);
	tcase_add_test(t, what_is_wrong_is_told);
	tcase_add_test(t, nearer_objects_win);
	tcase_add_test(t, bound_to_a_waypoint);
	tcase_add_test(t, metrics_are_changed);
	tcase_add_test(t, published);
	suite_add_tcase(s, t);
	return suite_run(s);
}
