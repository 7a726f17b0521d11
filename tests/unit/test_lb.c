/* SPDX-License-Identifier: Apache-2.0 */
/* Slow start, churn, and threads. */
#include <pthread.h>

#include "base/epoch.h"
#include "tests/unit/clusters.h"
#include "tests/unit/suite.h"

static const struct seat three[] = { { .uid = "a", .ip = "10.0.0.1" }, { .uid = "b", .ip = "10.0.0.2" }, { .uid = "c", .ip = "10.0.0.3" } };

START_TEST(newcomers_warm_up)
{
	/* percent of the newcomer beside two that are warm, by age; after the window: a third */
	static const struct { double aggression; unsigned percent; uint64_t age_ms; double part; } rows[] = {
		{ 1, 10, 0, 0.1 }, { 1, 10, 6000, 0.1 }, { 1, 10, 30000, 0.5 }, { 1, 10, 60000, 1 }, { 1, 50, 6000, 0.5 },
		{ 2, 10, 15000, 0.5 }, { 0, 10, 30000, 0.5 },
	};
	const enum lb_policy policies[] = { LB_ROUND_ROBIN, LB_LEAST_REQUEST };

	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		struct cluster_conf conf = conf_of(policies[i % 2]);
		double want = rows[i / 2].part / (2 + rows[i / 2].part) * 20000;
		struct pick_ask ask;
		struct cluster *c;
		int n[27];

		conf.lb.warmup_ms = 60000;
		conf.lb.warmup_min_percent = rows[i / 2].percent;
		conf.lb.warmup_aggression = rows[i / 2].aggression;
		c = cluster_new(&conf, NULL);
		publish((struct service){ 0 }, three, 2);
		ask = ask_of(1000);
		count_picks(c, &ask, 2000, n);          /* all are new: even */
		ck_assert_msg(abs(n[0] - 1000) < 120, "%d", n[0]);
		publish((struct service){ 0 }, three, 3);
		ask = ask_of(100000);
		picked(c, &ask);
		ask.now_ms += rows[i / 2].age_ms;
		count_picks(c, &ask, 20000, n);
		ck_assert_msg(abs(n[2] - (int)want) < 400, "row %zu: %d, want %d", i, n[2], (int)want);
		cluster_unref(c);
	}
}
END_TEST

/* The first millisecond of an hour. */
START_TEST(the_coldest_newcomers)
{
	const enum lb_policy policies[] = { LB_ROUND_ROBIN, LB_LEAST_REQUEST };

	for (int i = 0; i < 2; i++) {
		struct cluster_conf conf = conf_of(policies[i]);
		struct cluster *c;
		struct pick_ask ask;
		int n[27];

		conf.lb.warmup_ms = 3600000;
		c = cluster_new(&conf, NULL);
		publish((struct service){ 0 }, three, 3);
		ask = ask_of(1);
		count_picks(c, &ask, 300, n);
		ck_assert(n[0] > 50 && n[1] > 50 && n[2] > 50);
		cluster_unref(c);
	}
}
END_TEST

/* Big and small weights together, in turn: exact in the long run, and nobody waits for ever. */
START_TEST(turns_are_fair_with_any_weights)
{
	const struct seat seats[] = { { .uid = "a", .ip = "10.0.0.1", .weight = 1 }, { .uid = "b", .ip = "10.0.0.2", .weight = 1000000 },
				      { .uid = "c", .ip = "10.0.0.3", .weight = 500000 } };
	struct cluster_conf conf = conf_of(LB_ROUND_ROBIN);
	struct cluster *c = cluster_new(&conf, NULL);
	struct pick_ask ask;
	int n[27];

	publish((struct service){ 0 }, seats, 3);
	ask = ask_of(1);
	count_picks(c, &ask, 30000, n);
	ck_assert(n[0] <= 1 && abs(n[1] - 20000) <= 2 && abs(n[2] - 10000) <= 2);
	cluster_unref(c);
}
END_TEST

/* --- churn --- */

/* Endpoints come and go at random; a pick is always one of those that are there and well, and turns stay even. */
START_TEST(picks_follow_the_mesh)
{
	const enum lb_policy policies[] = { LB_ROUND_ROBIN, LB_RANDOM, LB_LEAST_REQUEST, LB_RING_HASH, LB_MAGLEV };
	uint64_t seed = 42;

	for (size_t p = 0; p < ARRAY_LEN(policies); p++) {
		struct cluster_conf conf = conf_of(policies[p]);
		struct cluster *c;

		conf.lb.hash.table_size = 251;
		c = cluster_new(&conf, NULL);
		for (int round = 0; round < 200; round++) {
			struct seat v[26];
			char ips[26][16], uids[26][2];
			int n = 0, well = 0, have[27], least = INT32_MAX, most = 0;
			struct pick_ask ask;

			for (int i = 0; i < 26; i++) {
				if (lb_random_below(&seed, 3))
					continue;
				snprintf(ips[i], sizeof(ips[i]), "10.0.0.%d", i + 1);
				snprintf(uids[i], sizeof(uids[i]), "%c", 'a' + i);
				v[n] = (struct seat){ .uid = uids[i], .ip = ips[i], .sick = !lb_random_below(&seed, 4) };
				well += !v[n++].sick;
			}
			publish((struct service){ 0 }, v, n);
			ask = ask_of((uint64_t)round);
			count_picks(c, &ask, 20 * (well ? well : 1), have);
			for (int i = 0; i < n; i++) {
				int k = have[*v[i].uid - 'a'];

				have[*v[i].uid - 'a'] = 0;
				ck_assert(!v[i].sick || !k);
				least = !v[i].sick && k < least ? k : least;
				most = k > most ? k : most;
			}
			for (int i = 0; i < 27; i++)
				ck_assert(!have[i] || (i == 26 && !well));
			ck_assert(policies[p] != LB_ROUND_ROBIN || !well || (least == 20 && most == 20));
		}
		cluster_unref(c);
	}
}
END_TEST

/* --- threads --- */

#define THREADS 4

struct shared {
	_Atomic(struct cluster *) cluster;
	atomic_bool stop;
	atomic_uint picks, nobody;
};

static void *picks(void *arg)
{
	struct shared *sh = arg;
	struct epoch_reader reader;
	uint64_t seed = (uint64_t)(uintptr_t)&reader, now = 1000;
	struct pick held[8] = { { 0 } };
	struct cluster *of[8];

	epoch_join(&reader);
	for (unsigned i = 0; !atomic_load(&sh->stop); i++, now += 3) {
		struct pick *p = &held[i % 8];
		struct pick_ask ask = { .seed = &seed, .now_ms = now };

		epoch_wake(&reader);
		if (p->host) {
			host_ended(of[i % 8], p->host);
			host_answered(of[i % 8], p->host, lb_random_below(&seed, 3) ? HOST_OK : HOST_5XX, 0, now);
			pick_done(p);
			cluster_unref(of[i % 8]);
		}
		ask.m = mesh_current();
		of[i % 8] = cluster_ref(atomic_load(&sh->cluster));
		if (cluster_pick(of[i % 8], &ask, p)) {
			host_started(of[i % 8], p->host);
			ck_assert_uint_eq(p->addr.port, 8080);
			atomic_fetch_add(&sh->picks, 1);
		} else {
			cluster_unref(of[i % 8]);
			atomic_fetch_add(&sh->nobody, 1);
		}
		epoch_sleep(&reader);
	}
	epoch_wake(&reader);
	for (int i = 0; i < 8; i++) {
		if (!held[i].host)
			continue;
		host_ended(of[i], held[i].host);
		pick_done(&held[i]);
		cluster_unref(of[i]);
	}
	epoch_sleep(&reader);
	epoch_leave(&reader);
	return NULL;
}

static void drop(void *c)
{
	cluster_unref(c);
}

START_TEST(threads_pick_while_all_changes)
{
	struct cluster_conf conf = conf_of((enum lb_policy)_i);
	struct shared sh = { 0 };
	struct cluster *now, *next;
	pthread_t t[THREADS];
	uint64_t seed = 7;

	conf.lb.hash.table_size = 251;
	conf.outlier = (struct outlier_conf){ .on = true, .consecutive_5xx = 3, .interval_ms = 50, .base_ms = 100, .max_percent = 60 };
	publish((struct service){ 0 }, three, 3);
	atomic_store(&sh.cluster, cluster_new(&conf, NULL));
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, picks, &sh), 0);
	for (int i = 0; i < 300 || (atomic_load(&sh.picks) < 20000 && i < 20000); i++) {
		struct seat v[3];

		memcpy(v, three, sizeof(v));
		v[i % 3].weight = 1 + (uint32_t)lb_random_below(&seed, 4);
		publish((struct service){ 0 }, v, 1 + (int)lb_random_below(&seed, 3));
		if (i % 10 == 0) {
			conf.lb.warmup_ms = i % 20 ? 0 : 500;
			now = atomic_load(&sh.cluster);
			next = cluster_new(&conf, now);
			atomic_store(&sh.cluster, next);
			epoch_retire(now, drop);
		}
	}
	atomic_store(&sh.stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_gt(atomic_load(&sh.picks), 1000);
	now = atomic_load(&sh.cluster);
	for (int i = 0; i < LIMITS_OF_CLUSTER; i++)
		ck_assert_uint_eq(cluster_used(now, (enum cluster_limit)i), 0);
	ck_assert_uint_le(atomic_load(&now->state->n_ejected), 3);
	cluster_unref(now);
	ck_assert_int_eq(epoch_collect(), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lb");
	TCase *t = tcase_create("lb");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, newcomers_warm_up);
	tcase_add_test(t, the_coldest_newcomers);
	tcase_add_test(t, turns_are_fair_with_any_weights);
	tcase_add_test(t, picks_follow_the_mesh);
	tcase_add_loop_test(t, threads_pick_while_all_changes, LB_LEAST_REQUEST, LB_MAGLEV + 1);
	suite_add_tcase(s, t);
	return suite_run(s);
}
