/* SPDX-License-Identifier: Apache-2.0 */
/* Placement by hash. The expected places are those that Envoy's own tests know for these addresses. */
#include "tests/unit/clusters.h"
#include "tests/unit/suite.h"

/* On 127.0.0.1:90 and the following ports. */
static struct cluster *on_ports(enum lb_policy policy, int n, uint64_t ring, uint32_t table)
{
	struct cluster_conf conf = conf_of(policy);
	struct addr v[16];

	for (int i = 0; i < n; i++) {
		v[i] = an_addr("127.0.0.1:90");
		v[i].port = (uint16_t)(90 + i);
	}
	conf.kind = CLUSTER_STATIC;
	conf.service = "";
	conf.addrs = v;
	conf.n_addrs = n;
	conf.lb.hash.ring_size = ring;
	conf.lb.hash.table_size = table;
	return cluster_new(&conf, NULL);
}

static int place(struct cluster *c, uint64_t hash)
{
	struct pick_ask ask = ask_of(1);
	struct pick p;

	ask.hash = hash;
	ask.hashed = true;
	ck_assert(cluster_pick(c, &ask, &p));
	pick_done(&p);
	return p.addr.port - 90;
}

START_TEST(maglev_is_envoys)
{
	const int want[] = { 2, 4, 0, 1, 5, 0, 3 };
	struct cluster *c = on_ports(LB_MAGLEV, 6, 0, 7);

	for (int i = 0; i < 21; i++)
		ck_assert_int_eq(place(c, (uint64_t)i), want[i % 7]);
	cluster_unref(c);
}
END_TEST

START_TEST(ring_is_envoys)
{
	const struct { uint64_t hash; int at; } ring[] = {
		{ 833437586790550860u, 4 }, { 928266305478181108u, 2 }, { 1033482794131418490u, 0 }, { 3551244743356806947u, 5 },
		{ 3851675632748031481u, 3 }, { 5583722120771150861u, 1 }, { 6311230543546372928u, 1 }, { 7700377290971790572u, 3 },
		{ 13144177310400110813u, 5 }, { 13444792449719432967u, 2 }, { 15516499411664133160u, 4 }, { 16117243373044804889u, 0 },
	};
	struct cluster *c = on_ports(LB_RING_HASH, 6, 12, 0);

	for (size_t i = 0; i < ARRAY_LEN(ring); i++) {
		ck_assert_int_eq(place(c, ring[i].hash), ring[i].at);
		ck_assert_int_eq(place(c, ring[i].hash + 1), ring[(i + 1) % ARRAY_LEN(ring)].at);
	}
	ck_assert_int_eq(place(c, 0), 4);
	ck_assert_int_eq(place(c, UINT64_MAX), 4);
	cluster_unref(c);
}
END_TEST

static uint64_t key(int i)
{
	uint64_t z = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);

	return (z ^ z >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

/* One of ten hosts goes: few of the others' keys move. (As in Envoy each host of a smaller ring has more points.) */
START_TEST(few_keys_move)
{
	const struct { enum lb_policy policy; int most; } rows[] = { { LB_RING_HASH, 10 }, { LB_MAGLEV, 3 } };

	for (int r = 0; r < 2; r++) {
		struct cluster *all = on_ports(rows[r].policy, 10, 1024, 65537), *less = on_ports(rows[r].policy, 9, 1024, 65537);
		int n[10] = { 0 }, moved = 0;

		for (int i = 0; i < 20000; i++) {
			int a = place(all, key(i)), b = place(less, key(i));

			n[a]++;
			moved += a != 9 && a != b;
		}
		ck_assert_msg(moved * 100 <= rows[r].most * 20000, "%d moved", moved);
		for (int k = 0; k < 10; k++)
			ck_assert_msg(n[k] > 1000 && n[k] < 3000, "host %d has %d", k, n[k]);
		cluster_unref(all);
		cluster_unref(less);
	}
}
END_TEST

START_TEST(weights_decide_how_much_of_the_table)
{
	const struct seat seats[] = { { .uid = "a", .ip = "10.0.0.1", .weight = 1 }, { .uid = "b", .ip = "10.0.0.2", .weight = 4 } };
	const enum lb_policy policies[] = { LB_RING_HASH, LB_MAGLEV };

	publish((struct service){ 0 }, seats, 2);
	for (int i = 0; i < 2; i++) {
		struct cluster_conf conf = conf_of(policies[i]);
		struct pick_ask ask = ask_of(1);
		struct cluster *c;
		int n[27], first = 0;

		conf.lb.hash.ring_size = 4096;
		c = cluster_new(&conf, NULL);
		ask.hashed = true;
		for (int k = 0; k < 10000; k++) {
			ask.hash = key(k);
			first += *picked(c, &ask) == 'a';
		}
		ck_assert_msg(first > 1600 && first < 2400, "%d", first);
		ask.hashed = false;              /* nothing to hash by: at random */
		count_picks(c, &ask, 1000, n);
		ck_assert(n[0] > 50 && n[1] > 500 && n[0] + n[1] == 1000);
		cluster_unref(c);
	}
}
END_TEST

START_TEST(the_keys_of_an_unhealthy_host_are_divided)
{
	struct seat seats[] = { { .uid = "a", .ip = "10.0.0.1" }, { .uid = "b", .ip = "10.0.0.2" }, { .uid = "c", .ip = "10.0.0.3" } };
	struct cluster_conf conf = conf_of(LB_RING_HASH);
	struct cluster *c = cluster_new(&conf, NULL);
	struct pick_ask ask;
	char before[500];
	int n[27] = { 0 }, moved = 0;

	for (int round = 0; round < 2; round++) {
		seats[2].sick = round;
		publish((struct service){ 0 }, seats, 3);
		ask = ask_of(1);
		ask.hashed = true;
		for (int k = 0; k < 500; k++) {
			ask.hash = key(k);
			if (!round)
				before[k] = *picked(c, &ask);
			else if (before[k] == 'c')
				n[*picked(c, &ask) - 'a']++;
			else
				moved += *picked(c, &ask) != before[k];
		}
	}
	ck_assert(n[0] > 20 && n[1] > 20 && !n[2] && moved < 100);
	cluster_unref(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lb_hash");
	TCase *t = tcase_create("lb_hash");

	tcase_add_test(t, maglev_is_envoys);
	tcase_add_test(t, ring_is_envoys);
	tcase_add_test(t, few_keys_move);
	tcase_add_test(t, weights_decide_how_much_of_the_table);
	tcase_add_test(t, the_keys_of_an_unhealthy_host_are_divided);
	suite_add_tcase(s, t);
	return suite_run(s);
}
