/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve.h"
#include <errno.h>

#include "net/netns.h"

#include "dnsnet.h"
#include "suite.h"

#define MAX 8

static struct loop *l;
static struct resolver *r;
static int asked;                   /* questions that the server got */
static int silent, rcode, again;
static unsigned ttl;

static struct got {
	char text[256];
	char error[96];
	int n, calls;
} got[64];

/* A fake server: name "a<N>..." has N addresses. */
static void on_question(struct ev_loop *ev, ev_io *w, int revents)
{
	uint8_t b[1024];
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	ssize_t n = recvfrom(w->fd, b, 512, 0, (struct sockaddr *)&sa, &len);
	size_t end = 12;
	int count, type;

	if (n < 17)
		return;
	asked++;
	if (silent)
		return;
	while (b[end])
		end += b[end] + 1u;
	type = b[end + 2];
	end += 5;
	count = b[12] >= 2 && b[13] == 'a' ? b[14] - '0' : 0;
	b[2] |= 0x84;
	b[3] = (uint8_t)(rcode ? rcode : count ? 0 : 3);
	b[7] = (uint8_t)(rcode ? 0 : count);
	b[9] = b[11] = 0;
	for (int i = 0; i < b[7]; i++) {
		uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, (uint8_t)(ttl >> 8), (uint8_t)ttl, 0, type == 1 ? 4 : 16 };

		memcpy(b + end, head, sizeof(head));
		end += sizeof(head);
		memset(b + end, 0, 16);
		b[end] = type == 1 ? 10 : 0xfd;
		b[end + (type == 1 ? 3 : 15)] = (uint8_t)(i + 1);
		end += type == 1 ? 4 : 16;
	}
	sendto(w->fd, b, end, 0, (struct sockaddr *)&sa, len);
}

static void on_done(void *arg, const struct ip *v, int n, const char *error)
{
	struct got *g = arg;

	g->calls++;
	g->n = n;
	g->text[0] = '\0';
	snprintf(g->error, sizeof(g->error), "%s", error ? error : "");
	for (int i = 0; i < n; i++) {
		char ip[ADDR_TEXT];

		snprintf(g->text + strlen(g->text), sizeof(g->text) - strlen(g->text), "%s%s", i ? " " : "", ip_format(&v[i], ip));
	}
	ck_assert((n == 0) == (error != NULL));
	if (again-- > 0)
		resolve_start(r, str_c("a1.test"), true, false, on_done, g);
}

static ev_io server;
static ev_timer tick;               /* so that a turn ends */

static void on_tick(struct ev_loop *ev, ev_timer *w, int revents)
{
}

static bool begin(void)
{
	if (!dnsnet_enter())
		return false;
	dnsnet_file("/etc/resolv.conf", "nameserver 127.0.0.1\nsearch lan.test\noptions ndots:1\n");
	dnsnet_file("/etc/hosts", "10.0.0.9 fixed fixed.test\nfd00::9 fixed\n");
	l = loop_new(-1);
	r = resolver_new(l, NULL, NETNS_OWN);
	ttl = 30;
	ev_timer_init(&tick, on_tick, 0.01, 0.01);
	ev_timer_start(l->ev, &tick);
	ev_io_init(&server, on_question, dnsnet_bind("127.0.0.1", 53, SOCK_DGRAM), EV_READ);
	ev_io_start(l->ev, &server);
	return true;
}

static void end(void)
{
	resolver_free(r);
	close(server.fd);
	loop_free(l);
}

static void wait_for(int calls)
{
	uint64_t until = loop_now_ms(l) + 8000;

	for (;;) {
		int n = 0;

		for (size_t i = 0; i < ARRAY_LEN(got); i++)
			n += got[i].calls;
		if (n >= calls || loop_now_ms(l) > until)
			break;
		ev_run(l->ev, EVRUN_ONCE);
	}
}

static struct got *ask(const char *name, bool v4, bool v6)
{
	memset(got, 0, sizeof(got));
	resolve_start(r, str_c(name), v4, v6, on_done, &got[0]);
	ck_assert_int_eq(got[0].calls, 0);
	wait_for(1);
	ck_assert_int_eq(got[0].calls, 1);
	return &got[0];
}

START_TEST(names)
{
	static const struct { const char *name; bool v4, v6; const char *want, *error; } rows[] = {
		{ "10.1.2.3", true, true, "10.1.2.3", "" },
		{ "fd00::1", true, true, "fd00::1", "" },
		{ "[fd00::1]", false, true, "fd00::1", "" },
		{ "10.1.2.3", false, true, "", "the host has no address of that kind" },
		{ "a1.test", true, false, "10.0.0.1", "" },
		{ "a1.test", false, true, "fd00::1", "" },
		{ "a3", true, false, "10.0.0.1 10.0.0.2 10.0.0.3", "" },      /* by the search domain */
		{ "fixed.test", true, false, "10.0.0.9", "" },
		{ "fixed", false, true, "fd00::9", "" },
		{ "missing.test", true, true, "", "no such host" },
		{ "", true, true, "", "the name is not a legal host name" },
	};

	if (!begin())
		return;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct got *g = ask(rows[i].name, rows[i].v4, rows[i].v6);

		ck_assert_msg(strcmp(g->text, rows[i].want) == 0 && strcmp(g->error, rows[i].error) == 0,
			      "%s: got '%s' (%s)", rows[i].name, g->text, g->error);
	}
	ck_assert_int_eq(ask("a2.test", true, true)->n, 4);
	end();
}
END_TEST

START_TEST(once_and_kept)
{
	if (!begin())
		return;
	memset(got, 0, sizeof(got));
	for (int i = 0; i < 10; i++)
		resolve_start(r, str_c("a1.test"), true, false, on_done, &got[i]);
	wait_for(10);
	ck_assert_int_eq(asked, 1);
	ck_assert_str_eq(ask("a1.test", true, false)->text, "10.0.0.1");
	ck_assert_int_eq(asked, 1);
	ttl = 0;                          /* not to be kept */
	ask("a2.test", true, false);
	ask("a2.test", true, false);
	ck_assert_int_eq(asked, 3);
	ttl = 1;
	ask("a3.test", true, false);
	usleep(1100000);
	ask("a3.test", true, false);
	ck_assert_int_eq(asked, 5);
	ask("missing.test", true, false);     /* and lan.test's */
	ask("missing.test", true, false);
	ck_assert_int_ge(asked, 7);
	end();
}
END_TEST

START_TEST(many_names)
{
	if (!begin())
		return;
	for (int i = 0; i < 3 * LIMIT_RESOLVE_CACHE; i++) {
		char name[64];

		snprintf(name, sizeof(name), "a1.n%d.test", i);
		ck_assert_int_eq(ask(name, true, false)->n, 1);
	}
	end();
}
END_TEST

START_TEST(servers_that_fail)
{
	uint64_t from;

	if (!begin())
		return;
	rcode = 2;
	ck_assert_str_eq(ask("a1.test", true, false)->error, "no DNS server could be reached, or all of them failed");
	rcode = 0;
	silent = 1;
	from = loop_now_ms(l);
	ck_assert_str_eq(ask("a2.test", true, false)->error, "no DNS server answered in time");
	ck_assert_int_le(loop_now_ms(l) - from, LIMIT_RESOLVE_MS + 500);
	silent = 0;
	ev_io_stop(l->ev, &server);
	close(server.fd);
	ck_assert_str_eq(ask("a3.test", true, false)->error, "no DNS server could be reached, or all of them failed");
	server.fd = open("/dev/null", O_RDONLY);
	end();
}
END_TEST

START_TEST(cancelled)
{
	struct resolve *v[3];

	if (!begin())
		return;
	v[0] = resolve_start(r, str_c("a1.test"), true, false, on_done, &got[0]);
	v[1] = resolve_start(r, str_c("a1.test"), true, false, on_done, &got[1]);
	v[2] = resolve_start(r, str_c("10.0.0.1"), true, false, on_done, &got[2]);
	resolve_cancel(v[0]);
	resolve_cancel(v[2]);
	resolve_cancel(NULL);
	wait_for(1);
	ck_assert_int_eq(got[0].calls + got[2].calls, 0);
	ck_assert_int_eq(got[1].calls, 1);
	resolve_cancel(resolve_start(r, str_c("a2.test"), true, false, on_done, &got[0]));
	resolve_start(r, str_c("a3.test"), true, false, on_done, &got[0]);
	ev_run(l->ev, EVRUN_NOWAIT);
	end();                                /* with a question under way */
	ck_assert_int_eq(got[0].calls, 0);
}
END_TEST

START_TEST(asks_again_in_its_callback)
{
	if (!begin())
		return;
	again = 3;
	resolve_start(r, str_c("a1.test"), true, false, on_done, &got[0]);
	wait_for(4);
	ck_assert_int_eq(got[0].calls, 4);
	end();
}
END_TEST

static int prepared;

static int prepare(int fd, int family, const struct sock_ops *ops, const struct addr *source)
{
	prepared++;
	return silent ? -EPERM : 0;
}

START_TEST(sockets_by_ops)
{
	static const struct sock_ops ops = { .prepare = prepare };

	if (!begin())
		return;
	resolver_free(r);
	r = resolver_new(l, &ops, NETNS_OWN);
	ck_assert_int_eq(ask("a1.test", true, false)->n, 1);
	ck_assert_int_ge(prepared, 1);
	silent = 1;
	ck_assert_int_eq(ask("a2.test", true, false)->n, 0);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resolve");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, names);
	tcase_add_test(tc, once_and_kept);
	tcase_add_test(tc, many_names);
	tcase_add_test(tc, servers_that_fail);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, asks_again_in_its_callback);
	tcase_add_test(tc, sockets_by_ops);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
