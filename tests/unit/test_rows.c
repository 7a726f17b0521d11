/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/rows.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/epoch.h"
#include "base/limits.h"
#include "telemetry/prom.h"
#include "telemetry/rows_int.h"
#include "tests/unit/suite.h"

static struct buf page;
static uint32_t now_s;

static void setup(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now_s = (uint32_t)ts.tv_sec;
	/* The clock of a machine that has just started is young. */
	if (now_s < 2 * LIMIT_METRIC_IDLE_S)
		now_s = 2 * LIMIT_METRIC_IDLE_S;
	rows_turn(now_s);
}

static void teardown(void)
{
	buf_done(&page);
}

static const char *text(void)
{
	static const struct prom_build build = { "proxy", "1.30", "1.2.3" };

	buf_done(&page);
	prom_write(&page, false, &build);
	buf_append(&page, "", 1);
	return (const char *)buf_data(&page);
}

static bool has(const char *part)
{
	return strstr(text(), part);
}

/* As if it were used last `age` seconds ago. */
static void age(struct row *r, uint32_t seconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	atomic_store(&r->used_s, seconds < (uint32_t)ts.tv_sec ? (uint32_t)ts.tv_sec - seconds : 0);
}

START_TEST(found_again)
{
	struct row *a = row_find(ROW_HTTP, str_c("a=\"1\"")), *b = row_find(ROW_HTTP, str_c("a=\"2\""));

	ck_assert_ptr_ne(a, b);
	ck_assert_ptr_eq(row_find(ROW_HTTP, str_c("a=\"1\"")), a);
	ck_assert_ptr_ne(row_find(1u << ROW_REQUEST_COUNT, str_c("a=\"1\"")), a);
	row_add(a, ROW_REQUEST_COUNT, 2);
	row_add(a, ROW_TCP_OPENED, 7);           /* not its metric */
	ck_assert(has("istio_requests_total{a=\"1\"} 2\n"));
	ck_assert(!has("istio_tcp_connections_opened"));
}
END_TEST

START_TEST(without_labels)
{
	row_add(row_find(ROW_HTTP, str_c("")), ROW_REQUEST_COUNT, 3);
	row_sample(row_find(ROW_HTTP, str_c("")), ROW_REQUEST_DURATION, 1);
	ck_assert(has("istio_requests_total 3\n"));
	ck_assert(has("istio_request_duration_milliseconds_bucket{le=\"1\"} 1\n"));
}
END_TEST

static void *other(void *arg)
{
	(void)arg;
	rows_turn(now_s);
	row_add(row_find(ROW_HTTP, str_c("b=\"1\"")), ROW_REQUEST_COUNT, 5);
	return NULL;
}

START_TEST(threads_are_summed)
{
	pthread_t t;

	row_add(row_find(ROW_HTTP, str_c("b=\"1\"")), ROW_REQUEST_COUNT, 2);
	ck_assert_int_eq(pthread_create(&t, NULL, other, NULL), 0);
	pthread_join(t, NULL);
	ck_assert(has("istio_requests_total{b=\"1\"} 7\n"));
}
END_TEST

START_TEST(idle_ones_leave)
{
	struct row *r = row_find(ROW_HTTP, str_c("c=\"1\""));
	struct timespec ts;
	int before;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	if (ts.tv_sec < 2 * LIMIT_METRIC_IDLE_S)
		return;          /* nothing can have been idle that long */
	row_add(r, ROW_REQUEST_COUNT, 2);
	age(r, LIMIT_METRIC_IDLE_S - 5);
	ck_assert(has("{c=\"1\"} 2\n"));
	age(r, LIMIT_METRIC_IDLE_S + 5);
	ck_assert(!has("{c=\"1\"}"));
	/* Used again before it was forgotten: it goes on. */
	row_add(r, ROW_REQUEST_COUNT, 1);
	ck_assert(has("{c=\"1\"} 3\n"));
	age(r, LIMIT_METRIC_IDLE_S + 5);
	text();
	before = rows_count();
	ck_assert(rows_turn(now_s + 60));
	ck_assert_int_lt(rows_count(), before);
	epoch_collect();
	row_add(row_find(ROW_HTTP, str_c("c=\"1\"")), ROW_REQUEST_COUNT, 1);
	ck_assert(has("{c=\"1\"} 1\n"));
}
END_TEST

START_TEST(long_labels_are_cut)
{
	char *big = malloc(20000);

	memset(big, 'x', 20000);
	ck_assert_ptr_nonnull(row_find(ROW_TCP, (struct str){ big, 20000 }));
	free(big);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rows");
	TCase *t = tcase_create("rows");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, found_again);
	tcase_add_test(t, without_labels);
	tcase_add_test(t, threads_are_summed);
	tcase_add_test(t, idle_ones_leave);
	tcase_add_test(t, long_labels_are_cut);
	suite_add_tcase(s, t);
	return suite_run(s);
}
