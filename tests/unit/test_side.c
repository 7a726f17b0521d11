/* SPDX-License-Identifier: Apache-2.0 */
/* A captured connection until it is known what it carries, between a client that the test plays and a server's socket. What its first
 * bytes mean is test_intake's; here is what happens to them. */
#include "modes/side.h"

#include "base/log.h"
#include "tests/unit/memstage.h"
#include "tests/unit/pod_fixture.h"
#include "tests/unit/stages.h"

static struct podlab p;
static struct memstage client;
static struct side *side;
static int listener;
static enum sniff_kind decided;
static int decisions;

static struct cluster *cluster(void)
{
	struct cluster *c = plan_cluster(plan_current(), str_c("outbound|9000||a.example"));

	ck_assert_ptr_nonnull(c);
	return c;
}

static void on_decide(struct side *s, enum sniff_kind kind)
{
	decisions++;
	decided = kind;
	side_bytes(s, cluster());
}

static void begin(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	char *yaml;

	log_set_levels(str_c("off"), NULL);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	getsockname(listener, (struct sockaddr *)&at, &len);
	yaml = xasprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\n"
			 "spec: {hosts: [a.example], addresses: [10.0.0.1], ports: [{number: 9000, name: tcp, protocol: TCP, targetPort: %u}], resolution: STATIC, "
			 "endpoints: [{address: 127.0.0.1}]}\n", ntohs(at.sin_port));
	podlab_init(&p, MODE_SIDECAR, yaml);
	free(yaml);
	ck_assert(pod_count(&p.pod));
	memstage_init(&client, p.worker.loop);
	side = side_new(&p.pod, &client.stage, FLOW_OUTBOUND, podlab_me(), chain_get(&p.pod));
	ck_assert_ptr_nonnull(side);
	side->decide = on_decide;
	decisions = 0;
	ck_assert_int_eq(addr_parse(str_c("10.0.0.1:9000"), &side->to), 0);
	ck_assert_int_eq(addr_parse(str_c("10.2.0.1:4000"), &side->conn.flow.source), 0);
}

/* Nothing is held any more: no place in the pod, none in the cluster's limits, no descriptor. */
static void end(void)
{
	turn(p.worker.loop);
	ck_assert_int_eq(atomic_load(&p.shared.n_conns), 0);
	ck_assert(list_empty(&p.pod.conns));
	ck_assert(client.done);
	buf_done(&client.out);
	podlab_done(&p);
	close(listener);
}

static int accepted(void)
{
	int fd = -1;

	for (int i = 0; i < 20 && fd < 0; i++) {
		turn(p.worker.loop);
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	return fd;
}

static ssize_t got(int fd, char *text, size_t n)
{
	turn(p.worker.loop);
	return recv(fd, text, n, 0);
}

static bool feed(const char *text)
{
	return memstage_feed(&client, text, strlen(text), strlen(text));
}

/* The client speaks first: no server hears of it before, and then it gets every byte, once. */
START_TEST(client_first)
{
	char text[64];
	int fd;

	begin();
	side_listen(side, NULL);
	ck_assert_int_eq(accepted(), -1);
	ck_assert(feed("\x01one"));
	fd = accepted();
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(got(fd, text, sizeof(text)), 4);
	ck_assert_mem_eq(text, "\x01one", 4);
	ck_assert_int_eq(decisions, 1);
	ck_assert_int_eq(decided, SNIFF_OTHER);
	ck_assert_int_eq(send(fd, "two", 3, 0), 3);
	turn(p.worker.loop);
	ck_assert(str_is(buf_str(&client.out), "two"));
	/* Half-closes pass, each way for itself. */
	memstage_event(&client, STAGE_EOF, FAIL_NONE);
	ck_assert_int_eq(got(fd, text, sizeof(text)), 0);
	ck_assert(!client.done && !client.shut);
	ck_assert_int_eq(send(fd, "three", 5, 0), 5);
	close(fd);
	turn(p.worker.loop);
	ck_assert(str_is(buf_str(&client.out), "twothree") && client.done && client.why == FAIL_NONE);
	end();
}
END_TEST

/* The server speaks first, to a client that has begun with a few bytes that say nothing yet, or has said that it will say nothing. */
START_TEST(server_first)
{
	char text[64];
	int fd;

	begin();
	side_listen(side, cluster());
	fd = accepted();
	ck_assert_int_ge(fd, 0);
	if (_i == 1)
		ck_assert(feed("GE"));
	if (_i == 2)
		memstage_event(&client, STAGE_EOF, FAIL_NONE);
	ck_assert_int_eq(decisions, _i == 2);
	ck_assert_int_eq(send(fd, "220 ready", 9, 0), 9);
	turn(p.worker.loop);
	ck_assert(str_is(buf_str(&client.out), "220 ready"));
	if (_i == 1) {
		ck_assert_int_eq(got(fd, text, sizeof(text)), 2);
		ck_assert_mem_eq(text, "GE", 2);
	}
	if (_i == 2)
		ck_assert_int_eq(got(fd, text, sizeof(text)), 0);
	close(fd);
	turn(p.worker.loop);
	if (_i != 2)
		memstage_event(&client, STAGE_EOF, FAIL_NONE);
	end();
}
END_TEST

/* More than is kept while the server is dialled: the client waits, and nothing is lost or turned round. */
START_TEST(early_bytes_are_bounded)
{
	static char piece[8192], back[8192];
	size_t sent = 0, seen = 0;
	int fd;

	begin();
	side_listen(side, NULL);
	for (; sent < 4 * LIMIT_EARLY_BYTES && client.want; sent += sizeof(piece)) {
		memset(piece, (int)(1 + sent / sizeof(piece)), sizeof(piece));
		/* Not a turn of the loop: the server's answer is still on its way. */
		stage_emit(&client.stage, STAGE_DATA, &(struct iovec){ piece, sizeof(piece) }, 1);
	}
	ck_assert(!client.want);
	ck_assert_uint_le(sent, LIMIT_EARLY_BYTES + sizeof(piece));
	memstage_event(&client, STAGE_EOF, FAIL_NONE);
	fd = accepted();
	ck_assert_int_ge(fd, 0);
	for (ssize_t n = -1; n != 0;) {
		n = got(fd, back, sizeof(back));
		for (ssize_t i = 0; i < n; i++)
			ck_assert_int_eq(back[i], (char)(1 + (seen + (size_t)i) / sizeof(piece)));
		seen += n > 0 ? (size_t)n : 0;
		ck_assert_uint_le(seen, sent);
	}
	ck_assert_uint_eq(seen, sent);
	close(fd);
	end();
}
END_TEST

/* The client goes while the server is dialled, or as soon as it is there. */
START_TEST(client_goes)
{
	begin();
	side_listen(side, cluster());
	if (_i == 1)
		turn(p.worker.loop);
	memstage_event(&client, STAGE_CLOSED, FAIL_CLIENT_RESET);
	end();
}
END_TEST

/* A probe of the port: nothing was asked for, and nothing is told. */
START_TEST(silent_client)
{
	begin();
	side_listen(side, NULL);
	memstage_event(&client, STAGE_EOF, FAIL_NONE);
	end();
}
END_TEST

START_TEST(nobody_listens)
{
	begin();
	side_listen(side, NULL);
	close(listener);
	listener = dup(0);
	ck_assert(feed("\x01one"));
	turn(p.worker.loop);
	ck_assert_int_ne(client.why, FAIL_NONE);
	end();
}
END_TEST

/* What was dialled ahead is of no use to requests, which go on as something else. */
START_TEST(becomes_http)
{
	char text[8];
	int fd;

	begin();
	side_listen(side, cluster());
	fd = accepted();
	ck_assert_int_ge(fd, 0);
	side_http(side, HTTP_CODEC_H1, &(struct hconn_from){ .peer = side->conn.flow.source, .local = side->to });
	turn(p.worker.loop);
	ck_assert_int_le(recv(fd, text, sizeof(text), 0), 0);
	ck_assert(!client.done && !list_empty(&p.pod.l7->https) && list_empty(&p.pod.conns));
	ck_assert_int_eq(atomic_load(&p.shared.n_conns), 1);
	memstage_event(&client, STAGE_EOF, FAIL_NONE);
	close(fd);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("side");
	TCase *t = tcase_create("side");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, client_first);
	tcase_add_loop_test(t, server_first, 0, 3);
	tcase_add_test(t, early_bytes_are_bounded);
	tcase_add_loop_test(t, client_goes, 0, 2);
	tcase_add_test(t, silent_client);
	tcase_add_test(t, nobody_listens);
	tcase_add_test(t, becomes_http);
	suite_add_tcase(s, t);
	return suite_run(s);
}
