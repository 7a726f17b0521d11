/* SPDX-License-Identifier: Apache-2.0 */
/* Priorities and shares of localities. */
#include "tests/unit/clusters.h"
#include "tests/unit/suite.h"

#define AT(r, z, s) .at = { r, z, s }

/* The client of all tests. */
static const struct seat me = { .uid = "z", .ip = "10.9.9.9", AT("r1", "z1", "s1"), .network = "", .node = "n1", .labels = { { "version", "v2" } } };

static struct workload *client(void)
{
	static struct workload *w;

	return w ? w : (w = seat_workload(&me));
}

/* Picks in hundredths. */
static void shares(const struct cluster_conf *conf, struct service t, const struct seat *seats, int n, int ret[27])
{
	struct cluster *c = cluster_new(conf, NULL);
	struct pick_ask ask;

	publish(t, seats, n);
	ask = ask_of(1000);
	ask.client = client();
	count_picks(c, &ask, 20000, ret);
	for (int i = 0; i < 27; i++)
		ret[i] = (ret[i] + 100) / 200;
	cluster_unref(c);
}

#define SHARES(conf, t, seats, ...) do { \
	const int want[] = { __VA_ARGS__ }; \
	int have[27]; \
	shares(conf, t, seats, (int)ARRAY_LEN(seats), have); \
	for (size_t i_ = 0; i_ < ARRAY_LEN(want); i_++) \
		ck_assert_msg(abs(have[i_] - want[i_]) <= 2, "host %zu has %d, want %d", i_, have[i_], want[i_]); \
} while (0)

START_TEST(levels_get_what_those_before_cannot_serve)
{
	static const struct { uint32_t available[3], load[3], total; } rows[] = {
		{ { 100, 100, 100 }, { 100, 0, 0 }, 100 },
		{ { 99, 100, 100 }, { 99, 1, 0 }, 100 },
		{ { 70, 70, 100 }, { 70, 30, 0 }, 100 },
		{ { 70, 14, 100 }, { 70, 14, 16 }, 100 },
		{ { 35, 35, 100 }, { 35, 35, 30 }, 100 },
		{ { 0, 0, 100 }, { 0, 0, 100 }, 100 },
		{ { 0, 0, 0 }, { 0, 0, 0 }, 0 },
		{ { 35, 35, 0 }, { 50, 50, 0 }, 70 },
		{ { 0, 30, 30 }, { 0, 50, 50 }, 60 },
		{ { 10, 10, 10 }, { 34, 33, 33 }, 30 },
	};
	uint32_t load[3];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_uint_eq(levels_share(rows[i].available, 3, load), rows[i].total);
		ck_assert_mem_eq(load, rows[i].load, sizeof(load));
	}
}
END_TEST

START_TEST(rules_name_localities)
{
	static const struct { const char *rule; bool is; } rows[] = {
		{ "r1", true }, { "r1/z1", true }, { "r1/z1/s1", true }, { "r1/*", true }, { "r1/z1/*", true }, { "*", true }, { "*/z1", true },
		{ "r2", false }, { "r1/z2", false }, { "r1/z1/s2", false }, { "r1/z2/*", false }, { "", false }, { "r1/*/s2", false },
	};
	const struct locality l = { "r1", "z1", "s1" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(locality_is(&l, rows[i].rule) == rows[i].is, "%s", rows[i].rule);
}
END_TEST

static const struct seat ladder[] = {
	{ .uid = "a", .ip = "10.0.0.1", AT("r1", "z1", "s1") }, { .uid = "b", .ip = "10.0.0.2", AT("r1", "z1", "s2") },
	{ .uid = "c", .ip = "10.0.0.3", AT("r1", "z2", "s1") }, { .uid = "d", .ip = "10.0.0.4", AT("r2", "z1", "s1") },
	{ .uid = "e", .ip = "10.0.0.5", AT("r3", "z1", "s1") },
};

START_TEST(failover_goes_down_the_ladder)
{
	const struct locality_failover to = { "r1", "r3" };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct seat seats[ARRAY_LEN(ladder)];

	memcpy(seats, ladder, sizeof(seats));
	SHARES(&conf, ((struct service){ 0 }), seats, 20, 20, 20, 20, 20);
	conf.lb.locality = true;
	SHARES(&conf, ((struct service){ 0 }), seats, 20, 20, 20, 20, 20);      /* without outlier detection: nothing */
	conf.outlier = (struct outlier_conf){ .on = true, .interval_ms = 1000, .base_ms = 1000 };
	SHARES(&conf, ((struct service){ 0 }), seats, 100, 0, 0, 0, 0);
	seats[0].sick = true;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 100, 0, 0, 0);
	seats[1].sick = true;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 0, 100, 0, 0);
	seats[2].sick = true;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 0, 0, 50, 50);
	conf.lb.failover = &to;
	conf.lb.n_failover = 1;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 0, 0, 0, 100);
	seats[4].sick = true;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 0, 0, 100, 0);
}
END_TEST

START_TEST(a_level_overflows_below_five_sevenths)
{
	const struct seat seats[] = {
		{ .uid = "a", .ip = "10.0.0.1", AT("r1", "z1", "s1") }, { .uid = "b", .ip = "10.0.0.2", AT("r1", "z1", "s1"), .sick = true },
		{ .uid = "c", .ip = "10.0.0.3", AT("r2", "z1", "s1") }, { .uid = "d", .ip = "10.0.0.4", AT("r2", "z1", "s1") },
	};
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);

	conf.lb.locality = true;
	conf.outlier = (struct outlier_conf){ .on = true, .interval_ms = 1000, .base_ms = 1000 };
	SHARES(&conf, ((struct service){ 0 }), seats, 70, 0, 15, 15);
	conf.lb.policy = LB_LEAST_REQUEST;
	SHARES(&conf, ((struct service){ 0 }), seats, 70, 0, 15, 15);
}
END_TEST

START_TEST(failover_by_labels)
{
	const struct seat seats[] = {
		{ .uid = "a", .ip = "10.0.0.1", AT("r2", "z1", ""), .labels = { { "version", "v2" } } },
		{ .uid = "b", .ip = "10.0.0.2", AT("r1", "z2", ""), .labels = { { "version", "v2" } } },
		{ .uid = "c", .ip = "10.0.0.3", AT("r1", "z1", ""), .labels = { { "version", "v1" } }, .node = "n1" },
	};
	const char *const by_version[] = { "version", "topology.kubernetes.io/region" }, *const by_value[] = { "version=v1" };
	const char *const by_node[] = { "kubernetes.io/hostname" };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);

	conf.lb.locality = true;
	conf.outlier = (struct outlier_conf){ .on = true, .interval_ms = 1000, .base_ms = 1000 };
	conf.lb.failover_priority = by_version;
	conf.lb.n_failover_priority = 2;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 100, 0);
	conf.lb.n_failover_priority = 1;
	SHARES(&conf, ((struct service){ 0 }), seats, 50, 50, 0);
	conf.lb.failover_priority = by_value;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 0, 100);
	conf.lb.failover_priority = by_node;
	SHARES(&conf, ((struct service){ 0 }), seats, 0, 0, 100);
}
END_TEST

START_TEST(traffic_distribution_prefers_near_ones)
{
	struct service t = { .lb_mode = LB_FAILOVER, .scopes = { LB_NETWORK, LB_REGION, LB_ZONE }, .n_scopes = 3 };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct seat seats[ARRAY_LEN(ladder)];

	memcpy(seats, ladder, sizeof(seats));
	SHARES(&conf, t, seats, 50, 50, 0, 0, 0);           /* no outlier detection is needed */
	seats[0].sick = seats[1].sick = true;
	SHARES(&conf, t, seats, 0, 0, 100, 0, 0);
	conf.lb.locality = true;                            /* the mesh's: the service's goes first */
	SHARES(&conf, t, seats, 0, 0, 100, 0, 0);
	conf.lb.locality_own = true;
	SHARES(&conf, t, seats, 0, 0, 33, 33, 33);
	t.lb_mode = LB_STRICT;
	t.scopes[0] = LB_ZONE;
	t.n_scopes = 1;
	seats[0].sick = false;
	SHARES(&conf, t, seats, 33, 0, 0, 33, 33);          /* the name of the zone alone */
}
END_TEST

START_TEST(distribute_gives_each_locality_its_share)
{
	const struct seat seats[] = {
		{ .uid = "a", .ip = "10.0.0.1", AT("r1", "z1", "s1") }, { .uid = "b", .ip = "10.0.0.2", AT("r1", "z1", "s1") },
		{ .uid = "c", .ip = "10.0.0.3", AT("r1", "z2", "s1"), .weight = 3 }, { .uid = "d", .ip = "10.0.0.4", AT("r1", "z3", "s1") },
		{ .uid = "e", .ip = "10.0.0.5", AT("r2", "z1", "s1") },
	};
	struct seat sick[ARRAY_LEN(seats)];
	const struct locality_weight d[] = {
		{ "r9", (const char *const[]){ "r2" }, (const uint32_t[]){ 100 }, 1 },
		{ "r1/z1/*", (const char *const[]){ "r1/z1/*", "r1/*" }, (const uint32_t[]){ 80, 20 }, 2 },
	};
	const enum lb_policy policies[] = { LB_ROUND_ROBIN, LB_RANDOM, LB_LEAST_REQUEST };

	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		struct cluster_conf conf = conf_of(policies[i]);

		conf.lb.locality = true;
		conf.lb.distribute = d;
		conf.lb.n_distribute = 2;
		SHARES(&conf, ((struct service){ 0 }), seats, 40, 40, 15, 5, 0);
		/* Half of a locality's hosts are well: it keeps 0.7 of its share. */
		memcpy(sick, seats, sizeof(sick));
		sick[1].sick = true;
		SHARES(&conf, ((struct service){ 0 }), sick, 74, 0, 20, 7, 0);
	}
}
END_TEST

/* One of two thousand is well, in a locality of the weight 1. */
START_TEST(a_share_is_never_nothing)
{
	const struct locality_weight d = { "r1", (const char *const[]){ "r1" }, (const uint32_t[]){ 1 }, 1 };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct seat *seats = calloc(2000, sizeof(*seats));
	char (*texts)[2][16] = calloc(2000, sizeof(*texts));
	struct pick_ask ask;
	struct cluster *c;

	for (int i = 0; i < 2000; i++) {
		snprintf(texts[i][0], sizeof(texts[i][0]), "u%d", i);
		snprintf(texts[i][1], sizeof(texts[i][1]), "10.1.%d.%d", i / 250, i % 250);
		seats[i] = (struct seat){ .uid = texts[i][0], .ip = texts[i][1], AT("r1", "z1", "s1"), .sick = i != 77 };
	}
	conf.lb.locality = true;
	conf.lb.distribute = &d;
	conf.lb.n_distribute = 1;
	publish((struct service){ 0 }, seats, 2000);
	c = cluster_new(&conf, NULL);
	ask = ask_of(1);
	ask.client = client();
	ck_assert_str_eq(picked(c, &ask), "u77");
	cluster_unref(c);
	free(seats);
	free(texts);
}
END_TEST

START_TEST(hashes_keep_to_shares)
{
	const struct seat seats[] = {
		{ .uid = "a", .ip = "10.0.0.1", AT("r1", "z1", "s1") }, { .uid = "b", .ip = "10.0.0.2", AT("r1", "z2", "s1") },
		{ .uid = "c", .ip = "10.0.0.3", AT("r1", "z3", "s1") },
	};
	const struct locality_weight d = { "r1", (const char *const[]){ "r1/z1", "r1/z2" }, (const uint32_t[]){ 75, 25 }, 2 };
	struct cluster_conf conf = conf_of(LB_MAGLEV);

	conf.lb.locality = true;
	conf.lb.distribute = &d;
	conf.lb.n_distribute = 1;
	SHARES(&conf, ((struct service){ 0 }), seats, 75, 25, 0);
}
END_TEST

START_TEST(zone_aware_evens_out)
{
	/* Of the client's fellows three of four are in its zone, of the service's endpoints one of four. */
	const struct seat fellows[] = {
		{ .uid = "z", .ip = "10.9.9.9", AT("r1", "z1", "s1") }, { .uid = "y", .ip = "10.9.9.8", AT("r1", "z1", "s1") },
		{ .uid = "x", .ip = "10.9.9.7", AT("r1", "z1", "s1") }, { .uid = "w", .ip = "10.9.9.6", AT("r1", "z2", "s1") },
	};
	const struct seat seats[] = {
		{ .uid = "a", .ip = "10.0.0.1", AT("r1", "z1", "s1") }, { .uid = "b", .ip = "10.0.0.2", AT("r1", "z2", "s1") },
		{ .uid = "c", .ip = "10.0.0.3", AT("r1", "z2", "s1") }, { .uid = "d", .ip = "10.0.0.4", AT("r1", "z3", "s1") },
	}, more[] = { seats[0], seats[1], { .uid = "e", .ip = "10.0.0.6", AT("r1", "z1", "s1") }, { .uid = "f", .ip = "10.0.0.7", AT("r1", "z1", "s1") } };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);

	publish((struct service){ .key = "shop/front" }, fellows, 4);
	conf.lb.zone_aware = true;
	conf.lb.zone_min_size = 6;
	SHARES(&conf, ((struct service){ 0 }), seats, 25, 25, 25, 25);          /* too small */
	conf.lb.zone_min_size = 2;
	SHARES(&conf, ((struct service){ 0 }), seats, 33, 17, 17, 33);          /* 25/75 stay; z2 and z3 have 25 left each */
	/* Three of four endpoints: all stay. */
	SHARES(&conf, ((struct service){ 0 }), more, 33, 0, 0, 0, 33, 33);
	conf.lb.failover_priority = (const char *const[]){ "topology.kubernetes.io/zone" };
	conf.lb.n_failover_priority = 1;
	conf.outlier = (struct outlier_conf){ .on = true, .interval_ms = 1000, .base_ms = 1000 };
	SHARES(&conf, ((struct service){ 0 }), seats, 100, 0, 0, 0);
}
END_TEST

START_TEST(retries_look_elsewhere)
{
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct host *tried[2];
	struct pick_ask ask;
	struct cluster *c;
	struct pick p[3];

	conf.lb.locality = true;
	conf.outlier = (struct outlier_conf){ .on = true, .interval_ms = 1000, .base_ms = 1000 };
	c = cluster_new(&conf, NULL);
	publish((struct service){ 0 }, ladder, ARRAY_LEN(ladder));
	ask = ask_of(1000);
	ask.client = client();
	ask.tried = tried;
	for (int i = 0; i < 2; i++) {
		ck_assert(cluster_pick(c, &ask, &p[i]));
		ck_assert_str_eq(p[i].workload->uid, i ? "b" : "a");
		tried[ask.n_tried++] = p[i].host;
	}
	ask.avoid_tried_localities = true;
	ck_assert(cluster_pick(c, &ask, &p[2]));
	ck_assert_str_eq(p[2].workload->uid, "c");
	for (int i = 0; i < 3; i++)
		pick_done(&p[i]);
	cluster_unref(c);
}
END_TEST

/* --- against a model --- */

struct model {
	struct seat v[24];
	char uids[24][2], ips[24][16];
	int n, rank[24];
	double share[24];
	struct lb_conf lb;
	bool outlier;
	uint32_t weights[2];
	const char *to[2];
	struct locality_weight distribute;
};

static uint64_t model_seed;

static int below(int n)
{
	return (int)lb_random_below(&model_seed, (uint64_t)n);
}

static bool same_place(const struct seat *a, const struct seat *b)
{
	return !strcmp(a->at.region, b->at.region) && !strcmp(a->at.zone, b->at.zone) && !strcmp(a->at.subzone, b->at.subzone);
}

static double weight_of(const struct seat *s)
{
	return s->weight ? s->weight : 1;
}

static void make_model(struct model *m)
{
	static const char *const regions[] = { "r1", "r2", "r3" }, *const zones[] = { "z1", "z2" };

	*m = (struct model){ .n = 1 + below(20), .outlier = below(4) > 0 };
	for (int i = 0; i < m->n; i++) {
		snprintf(m->uids[i], sizeof(m->uids[i]), "%c", 'a' + i);
		snprintf(m->ips[i], sizeof(m->ips[i]), "10.0.0.%d", i + 1);
		m->v[i] = (struct seat){ .uid = m->uids[i], .ip = m->ips[i], AT(regions[below(3)], zones[below(2)], "s1"),
					 .weight = (uint32_t)below(4), .sick = below(3) == 0 };
	}
	m->lb = (struct lb_conf){ .policy = below(2) ? LB_ROUND_ROBIN : LB_RANDOM, .locality = below(5) > 0 };
	if (below(2))
		return;
	m->weights[0] = (uint32_t)(1 + below(99));
	m->weights[1] = 100 - m->weights[0];
	m->to[0] = "r1/z1/*";
	m->to[1] = below(2) ? "r1" : "r2";
	m->distribute = (struct locality_weight){ "r1", m->to, m->weights, 2 };
	m->lb.distribute = &m->distribute;
	m->lb.n_distribute = 1;
}

/* Distribute: the share of each locality's part of a rule, less what its sick hosts cannot serve. */
static void predict_distribute(struct model *m)
{
	double of_place[24] = { 0 }, sum = 0;

	for (int i = 0; i < m->n; i++) {
		const struct seat *s = &m->v[i];
		int rule = !strcmp(s->at.region, "r1") && !strcmp(s->at.zone, "z1") ? 0 : !strcmp(s->at.region, m->to[1]) ? 1 : -1;
		double rule_weight = 0, place_weight = 0, all = 0, well = 0, part;

		for (int k = 0; rule >= 0 && k < m->n; k++) {
			const struct seat *t = &m->v[k];
			int other = !strcmp(t->at.region, "r1") && !strcmp(t->at.zone, "z1") ? 0 : !strcmp(t->at.region, m->to[1]) ? 1 : -1;

			rule_weight += other == rule ? weight_of(t) : 0;
			if (!same_place(s, t))
				continue;
			place_weight += weight_of(t);
			all++;
			well += !t->sick;
		}
		if (rule < 0)
			continue;
		part = 1.4 * well / all;
		of_place[i] = (int)(m->weights[rule] * place_weight / rule_weight + 0.999999) * (part < 1 ? part : 1);
	}
	for (int i = 0; i < m->n; i++) {
		bool first = true;
		double well = 0;

		for (int k = 0; k < m->n; k++) {
			first &= k >= i || !same_place(&m->v[i], &m->v[k]);
			well += same_place(&m->v[i], &m->v[k]) && !m->v[k].sick ? weight_of(&m->v[k]) : 0;
		}
		sum += first ? of_place[i] : 0;
		m->share[i] = m->v[i].sick ? 0 : of_place[i] * weight_of(&m->v[i]) / well;
	}
	for (int i = 0; i < m->n && sum; i++)
		m->share[i] /= sum;
}

/* Priorities one after the other; each takes what it is fit for. */
static void predict_failover(struct model *m)
{
	double fit[4] = { 0 }, total = 0, left = 1;

	for (int i = 0; i < m->n; i++)
		m->rank[i] = !m->lb.locality || !m->outlier ? 0 : strcmp(m->v[i].at.region, "r1") ? 2 : strcmp(m->v[i].at.zone, "z1") ? 1 : 0;
	for (int r = 0; r < 3; r++) {
		double all = 0, well = 0;

		for (int i = 0; i < m->n; i++) {
			all += m->rank[i] == r;
			well += m->rank[i] == r && !m->v[i].sick;
		}
		fit[r] = all && 1.4 * well / all < 1 ? 1.4 * well / all : all != 0;
		total += fit[r];
	}
	total = total < 1 ? total : 1;
	for (int r = 0; r < 3; r++) {
		double load = total ? fit[r] / total : 0, sum = 0;

		load = load < left ? load : left;
		left -= load;
		for (int i = 0; i < m->n; i++)
			sum += m->rank[i] == r && !m->v[i].sick ? weight_of(&m->v[i]) : 0;
		for (int i = 0; i < m->n; i++)
			if (m->rank[i] == r)
				m->share[i] = m->v[i].sick || !sum ? 0 : load * weight_of(&m->v[i]) / sum;
	}
}

START_TEST(shares_are_the_models)
{
	for (int run = 0; run < 400; run++) {
		struct cluster_conf conf = conf_of(LB_RANDOM);
		struct cluster *c;
		struct pick_ask ask;
		struct model m;
		int n[27];

		model_seed = (uint64_t)run + 1;
		make_model(&m);
		if (m.lb.locality && m.lb.n_distribute)
			predict_distribute(&m);
		else
			predict_failover(&m);
		conf.lb = m.lb;
		conf.outlier = (struct outlier_conf){ .on = m.outlier, .interval_ms = 1000, .base_ms = 1000 };
		c = cluster_new(&conf, NULL);
		publish((struct service){ 0 }, m.v, m.n);
		ask = ask_of(1000);
		ask.client = client();
		count_picks(c, &ask, 8000, n);
		for (int i = 0; i < m.n; i++)
			ck_assert_msg(abs(n[i] - (int)(m.share[i] * 8000)) <= 240, "run %d, host %c: %d picks, want %.0f", run, 'a' + i, n[i],
				      m.share[i] * 8000);
		cluster_unref(c);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("locality");
	TCase *t = tcase_create("locality");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, levels_get_what_those_before_cannot_serve);
	tcase_add_test(t, rules_name_localities);
	tcase_add_test(t, failover_goes_down_the_ladder);
	tcase_add_test(t, a_level_overflows_below_five_sevenths);
	tcase_add_test(t, failover_by_labels);
	tcase_add_test(t, traffic_distribution_prefers_near_ones);
	tcase_add_test(t, distribute_gives_each_locality_its_share);
	tcase_add_test(t, a_share_is_never_nothing);
	tcase_add_test(t, hashes_keep_to_shares);
	tcase_add_test(t, zone_aware_evens_out);
	tcase_add_test(t, retries_look_elsewhere);
	tcase_add_test(t, shares_are_the_models);
	suite_add_tcase(s, t);
	return suite_run(s);
}
