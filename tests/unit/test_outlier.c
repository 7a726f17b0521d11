/* SPDX-License-Identifier: Apache-2.0 */
/* Outlier detection against a model: Envoy's documented rules, written down with a timer that fires at each interval. */
#include "tests/unit/clusters.h"
#include "tests/unit/suite.h"

#define HOSTS 12

struct model_host {
	bool there, ejected;
	unsigned in_5xx, in_gateway, in_local, ejections;
	uint64_t ejected_ms;
};

struct model {
	struct outlier_conf conf;
	struct model_host v[HOSTS];
	uint64_t next_tick;
};

static unsigned model_count(const struct model *m, bool ejected)
{
	unsigned n = 0;

	for (int i = 0; i < HOSTS; i++)
		n += m->v[i].there && (!ejected || m->v[i].ejected);
	return n;
}

static uint64_t model_max(const struct model *m)
{
	return m->conf.base_ms > 300000 ? m->conf.base_ms : 300000;
}

/* The timer: hosts whose time is over return; those that are not out are forgiven one. */
static void model_until(struct model *m, uint64_t now)
{
	for (; m->next_tick <= now; m->next_tick += m->conf.interval_ms) {
		for (int i = 0; i < HOSTS; i++) {
			struct model_host *h = &m->v[i];
			uint64_t ms = h->ejections * m->conf.base_ms;

			ms = ms < model_max(m) ? ms : model_max(m);
			if (h->there && h->ejected && m->next_tick - h->ejected_ms >= ms && m->next_tick >= h->ejected_ms) {
				h->ejected = false;
				h->in_5xx = h->in_gateway = h->in_local = 0;
			}
			if (h->there && !h->ejected && h->ejections)
				h->ejections--;
		}
	}
}

static void model_eject(struct model *m, struct model_host *h, unsigned *count, uint64_t now)
{
	if (h->ejected)
		return;
	if (100.0 * (model_count(m, true) + 1) / model_count(m, false) <= (m->conf.max_percent < 100 ? m->conf.max_percent : 100)) {
		h->ejected = true;
		h->ejected_ms = now;
		if (h->ejections * m->conf.base_ms < model_max(m) + m->conf.base_ms)
			h->ejections++;
	}
	*count = 0;
}

static void model_status(struct model *m, struct model_host *h, int status, uint64_t now)
{
	if (status < 500) {
		h->in_5xx = h->in_gateway = 0;
		return;
	}
	if (status >= 502 && status <= 504) {
		if (++h->in_gateway == m->conf.consecutive_gateway)
			model_eject(m, h, &h->in_gateway, now);
	} else {
		h->in_gateway = 0;
	}
	if (++h->in_5xx == m->conf.consecutive_5xx)
		model_eject(m, h, &h->in_5xx, now);
}

static void model_answer(struct model *m, struct model_host *h, enum host_event ev, int status, uint64_t now)
{
	bool local = ev == HOST_LOCAL_ERROR, listed = false;

	if (m->conf.split_local && local) {
		if (++h->in_local == m->conf.consecutive_local)
			model_eject(m, h, &h->in_local, now);
		return;
	}
	if (m->conf.split_local)
		h->in_local = 0;
	for (int i = 0; i < m->conf.n_codes; i++)
		listed |= m->conf.codes[i] == status;
	if (local)
		status = 503;
	else if (m->conf.n_codes)
		status = !listed ? 200 : status >= 502 && status <= 504 ? status : 500;
	model_status(m, h, status, now);
}

/* --- runs --- */

static uint64_t seed;

static uint64_t below(uint64_t n)
{
	return lb_random_below(&seed, n);
}

static const struct seat seats[HOSTS] = {
	{ .uid = "a", .ip = "10.0.0.1" }, { .uid = "b", .ip = "10.0.0.2" }, { .uid = "c", .ip = "10.0.0.3" }, { .uid = "d", .ip = "10.0.0.4" },
	{ .uid = "e", .ip = "10.0.0.5" }, { .uid = "f", .ip = "10.0.0.6" }, { .uid = "g", .ip = "10.0.0.7" }, { .uid = "h", .ip = "10.0.0.8" },
	{ .uid = "i", .ip = "10.0.0.9" }, { .uid = "j", .ip = "10.0.0.10" }, { .uid = "k", .ip = "10.0.0.11" }, { .uid = "l", .ip = "10.0.0.12" },
};

static void publish_there(const struct model *m)
{
	struct seat v[HOSTS];
	int n = 0;

	for (int i = 0; i < HOSTS; i++)
		if (m->v[i].there)
			v[n++] = seats[i];
	publish((struct service){ 0 }, v, n);
}

struct compare { struct model *m; struct host *of[HOSTS]; uint64_t run, step; };

static void compare_host(const struct host_view *v, void *arg)
{
	struct compare *c = arg;
	int i = *v->workload->uid - 'a';
	const struct model_host *h = &c->m->v[i];

	c->of[i] = (struct host *)v->host;
	ck_assert_msg(h->there, "run %u step %u: %c should not be there", (unsigned)c->run, (unsigned)c->step, 'a' + i);
	ck_assert_msg(h->ejected == v->ejected && h->ejections == atomic_load(&v->host->ejections),
		      "run %u step %u host %c: ejected %d, want %d; %u times, want %u", (unsigned)c->run, (unsigned)c->step, 'a' + i, v->ejected,
		      h->ejected, atomic_load(&v->host->ejections), h->ejections);
}

/* A pick brings the cluster up to date; it must not choose who is out. */
static void check(struct cluster *c, struct compare *cmp, uint64_t now)
{
	struct pick_ask ask = ask_of(now);
	const char *uid = picked(c, &ask);
	unsigned out = model_count(cmp->m, true), all = model_count(cmp->m, false);

	cluster_each_host(c, compare_host, cmp);
	if (out == all)
		ck_assert_str_eq(uid, "");
	else
		ck_assert_msg(*uid && !cmp->m->v[*uid - 'a'].ejected, "run %u step %u picks '%s'", (unsigned)cmp->run, (unsigned)cmp->step, uid);
}

static void random_conf(struct outlier_conf *o)
{
	static const uint16_t codes[] = { 404, 429, 503 };

	*o = (struct outlier_conf){ .on = true, .consecutive_5xx = (uint32_t)below(6), .consecutive_gateway = (uint32_t)below(4),
		.consecutive_local = (uint32_t)below(4), .split_local = below(2), .interval_ms = 1 + below(5) * 1000, .base_ms = 1 + below(4) * 5000,
		.max_percent = (uint32_t)below(121), .codes = codes, .n_codes = below(4) ? 0 : 3 };
	if (!below(5))
		o->base_ms = 200000 + below(200000);
}

static void answer(struct cluster *c, struct compare *cmp, uint64_t now)
{
	static const int statuses[] = { 200, 200, 404, 500, 500, 502, 503, 503, 504, 0 };
	int i = (int)below(HOSTS), status = statuses[below(ARRAY_LEN(statuses))];
	enum host_event ev = !status ? HOST_LOCAL_ERROR : status < 500 ? HOST_OK : status == 500 ? HOST_5XX : HOST_GATEWAY_ERROR;

	/* Streaks on few hosts. */
	i = below(3) ? i % 3 : i;
	if (!cmp->m->v[i].there)
		return;
	model_until(cmp->m, now);
	model_answer(cmp->m, &cmp->m->v[i], ev, status, now);
	host_answered(c, cmp->of[i], ev, status, now);
}

static void change_hosts(struct model *m)
{
	int i = (int)below(HOSTS);

	if (m->v[i].there && model_count(m, false) > 1)
		m->v[i] = (struct model_host){ 0 };
	else
		m->v[i].there = true;
	publish_there(m);
}

static void run(uint64_t number)
{
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct model m = { 0 };
	struct compare cmp = { .m = &m, .run = number };
	uint64_t now = 1000;
	struct cluster *c;

	seed = number;
	random_conf(&m.conf);
	conf.outlier = m.conf;
	for (int i = 0; i < HOSTS; i++)
		m.v[i].there = i < 1 + (int)(number % HOSTS);
	m.next_tick = now + m.conf.interval_ms;
	publish_there(&m);
	c = cluster_new(&conf, NULL);
	check(c, &cmp, now);
	for (cmp.step = 0; cmp.step < 120; cmp.step++) {
		uint64_t what = below(20);

		now += what == 0 ? below(100000) : below(400);
		model_until(&m, now);
		if (what == 1)
			change_hosts(&m);
		else
			answer(c, &cmp, now);
		check(c, &cmp, now);
	}
	cluster_unref(c);
}

START_TEST(agrees_with_the_model)
{
	for (uint64_t i = 1; i <= 1000; i++)
		run(i * 1000 + (uint64_t)_i);
}
END_TEST

/* --- by hand --- */

static struct host *host_of(struct cluster *c, const char *uid, uint64_t now)
{
	struct pick_ask ask = ask_of(now);
	struct host *h = NULL;

	for (int i = 0; i < 100 && !h; i++) {
		struct pick p;

		if (!cluster_pick(c, &ask, &p))
			break;
		h = strcmp(p.workload->uid, uid) ? NULL : p.host;
		pick_done(&p);
	}
	return h;
}

START_TEST(ten_percent_of_few_hosts_is_none)
{
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c;
	struct host *h;

	conf.outlier = (struct outlier_conf){ .on = true, .consecutive_5xx = 5, .interval_ms = 10000, .base_ms = 30000, .max_percent = 10 };
	c = cluster_new(&conf, NULL);
	publish((struct service){ 0 }, seats, 9);
	h = host_of(c, "a", 1);
	for (int i = 0; i < 20; i++)
		host_answered(c, h, HOST_5XX, 500, 2);
	ck_assert(!host_ejected(h));
	publish((struct service){ 0 }, seats, 10);
	ck_assert_ptr_eq(host_of(c, "a", 3), h);
	for (int i = 0; i < 5; i++) {
		ck_assert(!host_ejected(h));
		host_answered(c, h, HOST_5XX, 500, 3);
	}
	ck_assert(host_ejected(h));
	ck_assert_ptr_null(host_of(c, "a", 30000));
	ck_assert_ptr_eq(host_of(c, "a", 40001), h);      /* the first sweep after 30 s */
	cluster_unref(c);
}
END_TEST

START_TEST(panic_uses_everybody)
{
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c;
	struct pick_ask ask;
	int n[27];

	conf.outlier = (struct outlier_conf){ .on = true, .consecutive_5xx = 1, .interval_ms = 10000, .base_ms = 30000, .max_percent = 100,
					      .min_health_percent = 50 };
	c = cluster_new(&conf, NULL);
	publish((struct service){ 0 }, seats, 4);
	for (int i = 0; i < 2; i++) {
		host_answered(c, host_of(c, seats[i].uid, 1), HOST_5XX, 500, 1);
		ask = ask_of(2);
		count_picks(c, &ask, 40, n);
		ck_assert_int_eq(n[0] + n[1], i == 0 ? 40 - n[2] - n[3] : 0);
		ck_assert_int_eq(n[0], 0);
	}
	host_answered(c, host_of(c, "c", 2), HOST_5XX, 500, 2);     /* a quarter is left */
	count_picks(c, &ask, 40, n);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(n[i], 10);
	cluster_unref(c);
}
END_TEST

START_TEST(without_panic_nobody_is_asked)
{
	struct cluster_conf conf = conf_of(LB_LEAST_REQUEST);
	struct cluster *c;
	struct pick_ask ask;
	struct pick p;

	conf.outlier = (struct outlier_conf){ .on = true, .consecutive_5xx = 1, .interval_ms = 1000, .base_ms = 30000, .max_percent = 100 };
	c = cluster_new(&conf, NULL);
	publish((struct service){ 0 }, seats, 2);
	host_answered(c, host_of(c, "a", 1), HOST_LOCAL_ERROR, 0, 1);
	host_answered(c, host_of(c, "b", 1), HOST_5XX, 500, 1);
	ask = ask_of(2);
	ck_assert(!cluster_pick(c, &ask, &p));
	ck_assert_int_eq(p.why, FAIL_NO_ENDPOINT);
	ask = ask_of(31001);
	ck_assert(cluster_pick(c, &ask, &p));
	pick_done(&p);
	cluster_unref(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("outlier");
	TCase *t = tcase_create("outlier");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, agrees_with_the_model, 0, 2);
	tcase_add_test(t, ten_percent_of_few_hosts_is_none);
	tcase_add_test(t, panic_uses_everybody);
	tcase_add_test(t, without_panic_nobody_is_asked);
	suite_add_tcase(s, t);
	return suite_run(s);
}
