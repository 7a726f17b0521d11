/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/mx.h"

#include <stdio.h>

#include "telemetry/peermeta.h"
#include "tests/unit/memstage.h"
#include "tests/unit/suite.h"

static struct loop *l;
static struct memstage below;
static struct stage *mx;
static struct buf own, got;
static char peer_name[64];
static int peers, eofs, closed;

static void on_peer(void *arg, const struct peer *p)
{
	ck_assert_uint_eq(buf_len(&got), 0);
	snprintf(peer_name, sizeof(peer_name), "%.*s", STR_FMT(p->name));
	peers++;
}

static void on_event(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_DATA)
		buf_append_iov(&got, iov, n, 0);
	eofs += ev == STAGE_EOF;
	closed += ev == STAGE_CLOSED;
}

static void frame_of(const char *name, struct buf *out)
{
	struct workload *w = workload_new(&(struct workload){ .uid = name, .name = name, .ns = "ns" });

	peermeta_frame(w, "cluster.local", out);
	workload_unref(w);
}

static bool yes(const struct stage *s) { return true; }
static bool no(const struct stage *s) { return false; }

static void begin_as(bool server, bool (*agreed)(const struct stage *s))
{
	l = loop_new(-1);
	memstage_init(&below, l);
	frame_of("me", &own);
	mx = server ? mx_server(&below.stage, buf_str(&own), on_peer, NULL) : mx_client(&below.stage, buf_str(&own), agreed);
	mx_on_peer(mx, on_peer, NULL);
	mx->on_event = on_event;
	stage_want(mx, true);
	peers = eofs = closed = 0;
	peer_name[0] = '\0';
}

static void begin(bool server)
{
	begin_as(server, yes);
}

static void end(void)
{
	stage_done(mx, FAIL_NONE);
	ck_assert(below.done);
	memstage_turn(&below);
	buf_done(&own);
	buf_done(&got);
	buf_done(&below.out);
	loop_free(l);
}

static void say(const char *text)
{
	stage_write(mx, &(struct iovec){ (void *)text, strlen(text) }, 1);
}

static bool wrote(const char *text)
{
	size_t n = strlen(text);

	return buf_len(&below.out) == buf_len(&own) + n && memcmp(buf_data(&below.out), buf_data(&own), buf_len(&own)) == 0 &&
	       memcmp(buf_data(&below.out) + buf_len(&own), text, n) == 0;
}

START_TEST(client_speaks_at_once)
{
	begin(false);
	ck_assert_uint_eq(buf_len(&below.out), 0);
	memstage_event(&below, STAGE_OPEN, FAIL_NONE);
	ck_assert(wrote(""));
	say("hi");
	say("!");
	ck_assert(wrote("hi!"));
	end();
}
END_TEST

START_TEST(client_writes_before_it_is_open)
{
	for (int i = 0; i < 2; i++) {
		begin_as(false, i ? no : yes);
		say("early");
		stage_shut(mx);
		ck_assert(buf_len(&below.out) == 0 && !below.shut);
		memstage_event(&below, STAGE_OPEN, FAIL_NONE);
		ck_assert_uint_eq(mx->queued, 0);
		ck_assert(below.shut && (i ? str_is(buf_str(&below.out), "early") : wrote("early")));
		memstage_feed(&below, "=#\x04g", 4, 4);
		ck_assert(str_is(buf_str(&got), i ? "=#\x04g" : ""));
		end();
	}
}
END_TEST

START_TEST(heard_later)
{
	struct buf in = { 0 };

	frame_of("you", &in);
	begin(true);
	mx_on_peer(mx, NULL, NULL);
	memstage_feed(&below, buf_data(&in), buf_len(&in), 100);
	ck_assert_int_eq(peers, 0);
	mx_on_peer(mx, on_peer, NULL);
	ck_assert(peers == 1 && strcmp(peer_name, "you") == 0);
	mx_on_peer(&below.stage, on_peer, NULL);
	ck_assert_int_eq(peers, 1);
	end();
	buf_done(&in);
}
END_TEST

START_TEST(server_waits)
{
	begin(true);
	ck_assert_uint_eq(buf_len(&below.out), 0);
	memstage_feed(&below, "=", 1, 1);
	ck_assert(wrote(""));
	say("a");
	ck_assert(wrote("a"));
	end();
	begin(true);
	say("220 ready");
	ck_assert(wrote("220 ready"));
	end();
}
END_TEST

START_TEST(peer_in_pieces)
{
	struct buf in = { 0 };

	frame_of("you", &in);
	buf_puts(&in, "data");
	for (size_t step = 1; step < buf_len(&in) + 1; step += step < 12 ? 1 : 13) {
		begin(true);
		memstage_feed(&below, buf_data(&in), buf_len(&in), step);
		ck_assert_int_eq(peers, 1);
		ck_assert_str_eq(peer_name, "you");
		ck_assert(str_is(buf_str(&got), "data"));
		memstage_event(&below, STAGE_EOF, FAIL_NONE);
		ck_assert_int_eq(eofs, 1);
		end();
	}
	buf_done(&in);
}
END_TEST

/* Who agreed on the protocol and speaks something else loses no byte. */
START_TEST(no_frame)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\n\r\n", "=", "=#\x04", "=#\x04g\0\0" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t step = 1; step < 20; step += 3) {
			begin(true);
			memstage_feed(&below, texts[i], strlen(texts[i]), step);
			memstage_event(&below, STAGE_EOF, FAIL_NONE);
			ck_assert(str_is(buf_str(&got), texts[i]));
			ck_assert(peers == 0 && eofs == 1);
			end();
		}
}
END_TEST

START_TEST(empty_and_endless)
{
	static const char empty[] = "=#\x04g\0\0\0\0x", bad[] = "=#\x04g\0\0\0\3\xff\xff\xffx";
	uint8_t *big = calloc(1, LIMIT_PEER_BYTES + 10);
	size_t n = LIMIT_PEER_BYTES + 1;

	begin(true);
	memstage_feed(&below, empty, sizeof(empty) - 1, 100);
	ck_assert(str_is(buf_str(&got), "x") && peers == 0);
	end();
	begin(true);
	memstage_feed(&below, bad, sizeof(bad) - 1, 2);
	ck_assert(str_is(buf_str(&got), "x") && peers == 0);
	end();
	begin(true);
	memcpy(big, "=#\x04g", 4);
	big[5] = (uint8_t)(n >> 16);
	big[6] = (uint8_t)(n >> 8);
	big[7] = (uint8_t)n;
	big[8 + n] = 'x';
	memstage_feed(&below, big, 9 + n, 1000);
	ck_assert(str_is(buf_str(&got), "x") && peers == 0);
	end();
	free(big);
}
END_TEST

START_TEST(reset)
{
	begin(false);
	memstage_event(&below, STAGE_CLOSED, FAIL_SERVER_RESET);
	ck_assert(closed == 1 && mx->fail == FAIL_SERVER_RESET);
	ck_assert_ptr_eq(mx_below(mx), &below.stage);
	ck_assert_ptr_eq(mx_below(&below.stage), &below.stage);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mx");
	TCase *t = tcase_create("mx");

	tcase_add_test(t, client_speaks_at_once);
	tcase_add_test(t, client_writes_before_it_is_open);
	tcase_add_test(t, heard_later);
	tcase_add_test(t, server_waits);
	tcase_add_test(t, peer_in_pieces);
	tcase_add_test(t, no_frame);
	tcase_add_test(t, empty_and_endless);
	tcase_add_test(t, reset);
	suite_add_tcase(s, t);
	return suite_run(s);
}
