/* SPDX-License-Identifier: Apache-2.0 */
#include "http/grpc.h"
#include "http/grpc_frame.h"
#include "net/netns.h"
#include "tests/unit/h2peer.h"

#define PATH "/pkg.Service/Method"

static struct loop *l;
static struct h2peer peer;
static struct grpc *g;

/* What a call saw. */
struct seen {
	struct grpc_call *call;
	struct buf messages;       /* each followed by '|' */
	int n, ends, opens;
	size_t bytes;
	struct grpc_end end;
	char text[1024];
	bool free_at_message;
};

static void on_open(struct grpc_call *c, void *arg)
{
	((struct seen *)arg)->opens++;
}

static void on_message(struct grpc_call *c, struct str msg, void *arg)
{
	struct seen *s = arg;

	ck_assert_int_eq(s->ends, 0);
	s->n++;
	s->bytes += msg.n;
	buf_append(&s->messages, msg.p, msg.n);
	buf_puts(&s->messages, "|");
	if (s->free_at_message) {
		grpc_free(g);
		g = NULL;
	}
}

static void on_end(struct grpc_call *c, const struct grpc_end *end, void *arg)
{
	struct seen *s = arg;

	s->ends++;
	s->end = *end;
	snprintf(s->text, sizeof(s->text), "%.*s", STR_FMT(end->message));
}

static const struct grpc_call_ops ops = { on_open, on_message, on_end };

static int add_token(void *arg, struct grpc_meta *m, struct err *err)
{
	if (arg)
		return err_set(err, -1, "%s", (const char *)arg);
	ck_assert(!grpc_meta_private(m));
	ck_assert(grpc_meta_add(m, str_c("Authorization"), str_c("Bearer abc")));
	ck_assert(!grpc_meta_add(m, str_c("bad name"), str_c("x")));
	ck_assert(!grpc_meta_add(m, str_c("x"), str_c("a\r\nb: c")));
	return 0;
}

static void open_channel(size_t limit, void *arg)
{
	char target[64];
	struct err err;

	snprintf(target, sizeof(target), "http://127.0.0.1:%u", peer.port);
	ck_assert_int_eq(grpc_new(l, &(struct grpc_conf){ .who = "the test", .target = str_c(target), .message_bytes = limit,
							   .headers = add_token, .arg = arg }, &g, &err), 0);
}

static void start(void)
{
	l = loop_new(-1);
	peer_start(&peer);
	open_channel(0, NULL);
}

static void stop(void)
{
	grpc_free(g);
	g = NULL;
	turn(l);
	peer_stop(&peer);
	loop_free(l);
}

static void call(struct seen *s, unsigned deadline_ms)
{
	memset(s, 0, sizeof(*s));
	s->call = grpc_start(g, PATH, &ops, s, deadline_ms);
	ck_assert_ptr_nonnull(s->call);
}

/* A call whose request has arrived. */
static void call_arrived(struct seen *s)
{
	int before = peer.requests;

	call(s, 0);
	UNTIL(l, &peer, peer.requests == before + 1);
}

static void ok_head(void)
{
	peer_head(&peer, peer.stream, false, ":status", "200", "content-type", "application/grpc", NULL);
}

static void ok_trailers(void)
{
	peer_head(&peer, peer.stream, true, "grpc-status", "0", NULL);
}

/* ---- frames ---- */

struct taker {
	struct grpc_frame f;
	struct buf got;
	int n;
};

static bool take(struct grpc_frame *f, struct str msg)
{
	struct taker *t = container_of(f, struct taker, f);

	t->n++;
	buf_append(&t->got, msg.p, msg.n);
	buf_puts(&t->got, "|");
	return true;
}

static void put_message(struct buf *b, const void *p, size_t n)
{
	uint8_t prefix[GRPC_PREFIX_BYTES];

	grpc_frame_prefix(n, prefix);
	buf_append(b, prefix, sizeof(prefix));
	buf_append(b, p, n);
}

START_TEST(messages_in_any_pieces)
{
	struct buf wire = { 0 };
	char big[300];
	struct err err;

	memset(big, 'b', sizeof(big));
	put_message(&wire, "one", 3);
	put_message(&wire, "", 0);
	put_message(&wire, big, sizeof(big));
	put_message(&wire, "x", 1);
	put_message(&wire, "", 0);
	for (size_t piece = 1; piece <= buf_len(&wire); piece++) {
		struct taker t = { .f = { .limit = 300, .on_message = take } };

		for (size_t at = 0; at < buf_len(&wire); at += piece) {
			size_t n = buf_len(&wire) - at < piece ? buf_len(&wire) - at : piece;

			ck_assert_int_eq(grpc_frame_feed(&t.f, buf_data(&wire) + at, n, &err), GRPC_OK);
		}
		ck_assert_int_eq(t.n, 5);
		ck_assert_uint_eq(buf_len(&t.got), 3 + 300 + 1 + 5);
		ck_assert_int_eq(memcmp(buf_data(&t.got), "one||bbb", 8), 0);
		ck_assert(!grpc_frame_partial(&t.f));
		buf_done(&t.got);
	}
	buf_done(&wire);
}
END_TEST

START_TEST(bad_prefixes)
{
	static const struct {
		uint8_t p[6];
		enum grpc_code code;
	} rows[] = {
		{ { 1, 0, 0, 0, 1, 'x' }, GRPC_INTERNAL },
		{ { 7, 0, 0, 0, 1, 'x' }, GRPC_INTERNAL },
		{ { 0, 0, 0, 1, 45, 'x' }, GRPC_RESOURCE_EXHAUSTED },   /* 301 */
		{ { 0, 255, 255, 255, 255, 'x' }, GRPC_RESOURCE_EXHAUSTED },
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct taker whole = { .f = { .limit = 300, .on_message = take } }, bytes = whole;
		enum grpc_code code = GRPC_OK;

		ck_assert_int_eq(grpc_frame_feed(&whole.f, rows[i].p, 6, &err), rows[i].code);
		for (int k = 0; k < 5; k++)
			code = grpc_frame_feed(&bytes.f, rows[i].p + k, 1, &err);
		ck_assert_int_eq(code, rows[i].code);
		grpc_frame_done(&whole.f);
		grpc_frame_done(&bytes.f);
	}
}
END_TEST

START_TEST(status_text)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain", "plain" }, { "a%20b", "a b" }, { "%C3%a4", "\xc3\xa4" }, { "100%", "100%" }, { "%4", "%4" }, { "%zz", "%zz" },
		{ "a%0d%0Ab", "a  b" }, { "", "" }, { "%1b[31m", " [31m" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = { 0 };

		grpc_message_parse(str_c(rows[i].in), &out);
		ck_assert_msg(str_is(buf_str(&out), rows[i].out), "row %zu: '%.*s'", i, STR_FMT(buf_str(&out)));
		buf_done(&out);
	}
	ck_assert_int_eq(grpc_status_parse(str_c("14")), GRPC_UNAVAILABLE);
	ck_assert_int_eq(grpc_status_parse(str_c("17")), GRPC_UNKNOWN);
	ck_assert_int_eq(grpc_status_parse(str_c("-1")), GRPC_UNKNOWN);
	ck_assert_int_eq(grpc_status_parse(str_c("")), GRPC_UNKNOWN);
}
END_TEST

/* ---- calls ---- */

static struct grpc_end unary_end;
static char unary_text[256];
static int unary_ends;

static void on_reply(const struct grpc_end *end, struct str reply, void *arg)
{
	unary_ends++;
	unary_end = *end;
	snprintf(unary_text, sizeof(unary_text), "%.*s", STR_FMT(end->code == GRPC_OK ? reply : end->message));
}

START_TEST(unary)
{
	struct buf b = { 0 };

	unary_ends = 0;
	ck_assert_ptr_nonnull(grpc_unary(g, PATH, "ping", 4, 30000, on_reply, NULL));
	UNTIL(l, &peer, peer.ended == 1);
	ck_assert_str_eq(grpc_state(g) + strlen("connected to 127.0.0.1:0") - 1, grpc_state(g) + strlen("connected to 127.0.0.1:"));
	ck_assert(grpc_connected(g));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), ":method: POST\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), ":path: " PATH "\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), ":scheme: http\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "\nte: trailers\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "\ncontent-type: application/grpc\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "\nauthorization: Bearer abc\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "\ngrpc-timeout: "));
	ck_assert_ptr_null(strstr((char *)buf_data(&peer.head), "bad name"));
	ck_assert_uint_eq(buf_len(&peer.data), 9);
	ck_assert_int_eq(memcmp(buf_data(&peer.data), "\0\0\0\0\4ping", 9), 0);
	peer_head(&peer, peer.stream, false, ":status", "103", "link", "x", NULL);
	ok_head();
	put_message(&b, "pong", 4);
	peer_data(&peer, peer.stream, buf_data(&b), buf_len(&b), false);
	ok_trailers();
	UNTIL(l, &peer, unary_ends == 1);
	ck_assert_int_eq(unary_end.code, GRPC_OK);
	ck_assert(unary_end.from_server);
	ck_assert_str_eq(unary_text, "pong");
	buf_done(&b);
}
END_TEST

START_TEST(unary_needs_exactly_one_reply)
{
	for (int n = 0; n <= 2; n += 2) {
		struct buf b = { 0 };
		int before = peer.requests;

		unary_ends = 0;
		grpc_unary(g, PATH, "", 0, 0, on_reply, NULL);
		UNTIL(l, &peer, peer.requests == before + 1);
		ok_head();
		for (int i = 0; i < n; i++)
			put_message(&b, "pong", 4);
		if (n)
			peer_data(&peer, peer.stream, buf_data(&b), buf_len(&b), false);
		ok_trailers();
		UNTIL(l, &peer, unary_ends == 1);
		ck_assert_int_eq(unary_end.code, GRPC_INTERNAL);
		buf_done(&b);
	}
}
END_TEST

START_TEST(stream_both_ways)
{
	struct buf wire = { 0 };
	struct seen s;

	call(&s, 0);
	grpc_send(s.call, "early", 5);
	ck_assert_uint_eq(grpc_queued(s.call), 10);
	UNTIL(l, &peer, buf_len(&peer.data) == 10);
	ck_assert_ptr_null(strstr((char *)buf_data(&peer.head), "grpc-timeout"));
	ok_head();
	UNTIL(l, &peer, s.opens == 1);
	grpc_send(s.call, "late", 4);
	grpc_send(s.call, "", 0);
	UNTIL(l, &peer, buf_len(&peer.data) == 10 + 9 + 5);
	/* One byte a frame, then all in one. */
	put_message(&wire, "first", 5);
	put_message(&wire, "second", 6);
	for (size_t i = 0; i < buf_len(&wire); i++)
		peer_data(&peer, peer.stream, buf_data(&wire) + i, 1, false);
	UNTIL(l, &peer, s.n == 2);
	peer_data(&peer, peer.stream, buf_data(&wire), buf_len(&wire), false);
	UNTIL(l, &peer, s.n == 4);
	ck_assert(str_is(buf_str(&s.messages), "first|second|first|second|"));
	ck_assert_int_eq(peer.ended, 0);
	grpc_half_close(s.call);
	UNTIL(l, &peer, peer.ended == 1);
	peer_data(&peer, peer.stream, buf_data(&wire), 10, false);
	peer_head(&peer, peer.stream, true, "grpc-status", "9", "grpc-message", "no%20such", NULL);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.n, 5);
	ck_assert_int_eq(s.end.code, GRPC_FAILED_PRECONDITION);
	ck_assert(s.end.from_server && !s.end.goaway);
	ck_assert_str_eq(s.text, "no such");
	buf_done(&wire);
	buf_done(&s.messages);
}
END_TEST

START_TEST(trailers_only)
{
	struct seen s;

	call_arrived(&s);
	peer_head(&peer, peer.stream, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "16", "grpc-message",
		  "token%3A expired", NULL);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_UNAUTHENTICATED);
	ck_assert_str_eq(s.text, "token: expired");
	ck_assert_int_eq(s.opens, 0);
	/* The connection goes on. */
	call_arrived(&s);
	ck_assert_int_eq(peer.accepted, 1);
}
END_TEST

START_TEST(answers_that_are_not_grpc)
{
	static const struct {
		const char *status, *type;
		enum grpc_code code;
	} rows[] = {
		{ "503", "text/html", GRPC_UNAVAILABLE }, { "404", "text/html", GRPC_UNIMPLEMENTED }, { "401", "", GRPC_UNAUTHENTICATED },
		{ "403", "", GRPC_PERMISSION_DENIED }, { "429", "", GRPC_UNAVAILABLE }, { "302", "", GRPC_UNKNOWN },
		{ "200", "text/html", GRPC_UNKNOWN },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s;

		call_arrived(&s);
		peer_head(&peer, peer.stream, false, ":status", rows[i].status, "content-type", rows[i].type, NULL);
		peer_data(&peer, peer.stream, "<html>", 6, i % 2);
		UNTIL(l, &peer, s.ends == 1);
		ck_assert_int_eq(s.end.code, rows[i].code);
		ck_assert_ptr_nonnull(strstr(s.text, rows[i].status));
		ck_assert(!s.end.from_server);
	}
	ck_assert_int_eq(peer.accepted, 1);
}
END_TEST

START_TEST(broken_ends)
{
	struct seen s;

	call_arrived(&s);        /* END_STREAM without a status */
	ok_head();
	peer_data(&peer, peer.stream, NULL, 0, true);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_UNKNOWN);

	call_arrived(&s);        /* OK in the middle of a message */
	ok_head();
	peer_data(&peer, peer.stream, "\0\0\0\0\5ab", 7, false);
	ok_trailers();
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_INTERNAL);

	call_arrived(&s);        /* a reset */
	peer_reset(&peer, peer.stream, NGHTTP2_CANCEL);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_CANCELLED);

	call_arrived(&s);        /* never looked at */
	peer_reset(&peer, peer.stream, NGHTTP2_REFUSED_STREAM);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_UNAVAILABLE);
	ck_assert(s.end.unprocessed);

	call_arrived(&s);        /* trailers, then a reset because we had not half-closed: the status counts */
	ok_head();
	ok_trailers();
	peer_reset(&peer, peer.stream, NGHTTP2_NO_ERROR);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_OK);
	ck_assert_int_eq(peer.accepted, 1);

	call_arrived(&s);        /* the connection goes */
	peer_hang_up(&peer);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_UNAVAILABLE);
	ck_assert_str_eq(s.text, "the server closed the connection");
	ck_assert(!s.end.goaway && !s.end.from_server);
	call_arrived(&s);
	ck_assert_int_eq(peer.accepted, 2);
}
END_TEST

START_TEST(compressed_is_refused)
{
	struct seen s;

	call_arrived(&s);
	peer_head(&peer, peer.stream, false, ":status", "200", "content-type", "application/grpc+proto", "grpc-encoding", "gzip", NULL);
	peer_data(&peer, peer.stream, "\1\0\0\0\1x", 6, false);
	UNTIL(l, &peer, s.ends == 1 && peer.reset == peer.stream);
	ck_assert_int_eq(s.end.code, GRPC_INTERNAL);
	ck_assert_ptr_nonnull(strstr(s.text, "compressed"));
	ck_assert_int_eq(peer.reset_code, NGHTTP2_CANCEL);
}
END_TEST

START_TEST(oversize_is_refused)
{
	struct seen s;

	grpc_free(g);
	open_channel(1000, NULL);
	call_arrived(&s);
	ok_head();
	peer_data(&peer, peer.stream, "\0\0\0\3\351", 5, false);   /* 1001 */
	UNTIL(l, &peer, s.ends == 1 && peer.reset == peer.stream);
	ck_assert_int_eq(s.end.code, GRPC_RESOURCE_EXHAUSTED);
	ck_assert_ptr_nonnull(strstr(s.text, "1001"));
}
END_TEST

START_TEST(large_messages_pass)
{
	static char big[3 << 20];
	struct buf wire = { 0 };
	struct seen s;
	size_t at = 0;

	call_arrived(&s);
	ok_head();
	put_message(&wire, big, sizeof(big));
	while (at < buf_len(&wire)) {
		size_t n = buf_len(&wire) - at < 16000 ? buf_len(&wire) - at : 16000;
		size_t before = at;

		peer_data(&peer, peer.stream, buf_data(&wire) + at, n, false);
		at += n;
		if (before / 150000 != at / 150000)   /* below the window of a new stream */
			turn(l);
	}
	UNTIL(l, &peer, s.n == 1);
	ck_assert_uint_eq(s.bytes, sizeof(big));
	buf_done(&wire);
	buf_done(&s.messages);
}
END_TEST

START_TEST(deadline)
{
	struct seen s;

	call(&s, 100);
	UNTIL(l, &peer, peer.requests == 1);
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "\ngrpc-timeout: "));
	UNTIL(l, &peer, s.ends == 1 && peer.reset == peer.stream);
	ck_assert_int_eq(s.end.code, GRPC_DEADLINE_EXCEEDED);
	ck_assert_int_eq(peer.reset_code, NGHTTP2_CANCEL);
}
END_TEST

START_TEST(cancel)
{
	struct seen s, waiting;

	call_arrived(&s);
	grpc_cancel(s.call);
	UNTIL(l, &peer, peer.reset == peer.stream);
	ck_assert_int_eq(s.ends, 0);
	call(&waiting, 0);
	grpc_cancel(waiting.call);
	turn(l);
	ck_assert_int_eq(waiting.ends, 0);
	ck_assert_int_eq(peer.requests, 1);
}
END_TEST

START_TEST(free_in_a_callback)
{
	struct seen s;

	call_arrived(&s);
	s.free_at_message = true;
	ok_head();
	peer_data(&peer, peer.stream, "\0\0\0\0\1x\0\0\0\0\1y", 12, false);
	UNTIL(l, &peer, s.n == 1 && peer.fd < 0);
	ck_assert_int_eq(s.n, 1);
	ck_assert_int_eq(s.ends, 0);
	buf_done(&s.messages);
}
END_TEST

START_TEST(no_token_no_call)
{
	struct seen s;

	grpc_free(g);
	open_channel(0, "the token file is empty");
	call(&s, 0);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_int_eq(s.end.code, GRPC_UNAUTHENTICATED);
	ck_assert_str_eq(s.text, "the token file is empty");
	ck_assert_int_eq(peer.requests, 0);
}
END_TEST

/* ---- connections ---- */

START_TEST(goaway_is_seamless)
{
	struct seen old, next, refused;
	int old_fd;

	call_arrived(&old);
	ok_head();
	peer_goaway(&peer, peer.stream, 0);
	UNTIL(l, &peer, !grpc_connected(g));
	/* The old stream goes on while a new call gets a new connection. */
	peer_data(&peer, peer.stream, "\0\0\0\0\1x", 6, false);
	UNTIL(l, &peer, old.n == 1);
	old_fd = peer.fd;
	peer.fd = -1;
	peer_hang_up(&peer);
	call(&next, 0);
	UNTIL(l, &peer, peer.accepted == 2 && peer.requests == 2);
	ck_assert_int_eq(old.ends, 0);
	close(old_fd);
	UNTIL(l, &peer, old.ends == 1);
	ck_assert_int_eq(old.end.code, GRPC_UNAVAILABLE);
	ck_assert(old.end.goaway);
	ck_assert_int_eq(next.ends, 0);
	/* One that the server did not take any more. */
	call_arrived(&refused);
	peer_goaway(&peer, 1, 0);
	UNTIL(l, &peer, refused.ends == 1);
	ck_assert(refused.end.unprocessed && refused.end.goaway);
	ck_assert_int_eq(next.ends, 0);
	buf_done(&old.messages);
}
END_TEST

START_TEST(goaway_with_an_error)
{
	struct seen s;

	call_arrived(&s);
	peer_goaway(&peer, peer.stream, NGHTTP2_ENHANCE_YOUR_CALM);
	turn(l);
	peer_hang_up(&peer);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert(!s.end.goaway);
	ck_assert_ptr_nonnull(strstr(s.text, "GOAWAY"));
}
END_TEST

static int again_ends;

static void start_again(struct grpc_call *c, const struct grpc_end *end, void *arg)
{
	again_ends++;
	grpc_start(g, PATH, arg, arg, 0);
}

/* A user who starts again at once does not hammer a server that is not there, or that throws everybody out. */
START_TEST(attempts_back_off)
{
	static struct grpc_call_ops again = { .on_message = on_message, .on_end = start_again };
	uint64_t from = loop_now_ms(l);

	close(peer.listener);
	again_ends = 0;
	grpc_start(g, PATH, &again, &again, 0);
	while (loop_now_ms(l) - from < 400)
		turn(l);
	/* 10 + 20 + 40 + 80 + 160 ms, a fifth more or less */
	ck_assert_int_ge(again_ends, 4);
	ck_assert_int_le(again_ends, 8);
	ck_assert_ptr_nonnull(strstr(grpc_state(g), "Connection refused"));
	peer.listener = socket(AF_INET, SOCK_STREAM, 0);
}
END_TEST

START_TEST(goaways_back_off)
{
	static struct grpc_call_ops again = { .on_message = on_message, .on_end = start_again };
	uint64_t from = loop_now_ms(l);

	again_ends = 0;
	grpc_start(g, PATH, &again, &again, 0);
	while (loop_now_ms(l) - from < 400) {
		int before = peer.requests;

		ev_run(l->ev, EVRUN_NOWAIT);
		peer_turn(&peer);
		if (peer.requests == before)
			continue;
		peer_goaway(&peer, 0, 0);
		peer_hang_up(&peer);
	}
	ck_assert_int_ge(again_ends, 3);
	ck_assert_int_le(peer.accepted, 9);
}
END_TEST

START_TEST(idle_until_needed)
{
	turn(l);
	peer_turn(&peer);
	ck_assert_int_eq(peer.accepted, 0);
	ck_assert_str_eq(grpc_state(g), "idle");
}
END_TEST

/* localhost may be ::1 first, where nobody listens. */
START_TEST(by_name)
{
	struct resolver *r = resolver_new(l, NULL, NETNS_OWN);
	char target[64];
	struct err err;
	struct seen s;

	snprintf(target, sizeof(target), "http://localhost:%u", peer.port);
	grpc_free(g);
	ck_assert_int_eq(grpc_new(l, &(struct grpc_conf){ .who = "the test", .target = str_c(target), .resolver = r }, &g, &err), 0);
	call_arrived(&s);
	ck_assert_ptr_nonnull(strstr(grpc_state(g), "connected to 127.0.0.1:"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), ":authority: localhost:"));
	grpc_free(g);
	ck_assert_int_eq(grpc_new(l, &(struct grpc_conf){ .who = "the test", .target = str_c(target) }, &g, &err), 0);
	call(&s, 0);
	UNTIL(l, &peer, s.ends == 1);
	ck_assert_ptr_nonnull(strstr(s.text, "resolving localhost"));
	/* Given up while it is asked for. */
	grpc_free(g);
	ck_assert_int_eq(grpc_new(l, &(struct grpc_conf){ .who = "the test", .target = str_c(target), .resolver = r }, &g, &err), 0);
	call(&s, 0);
	ev_run(l->ev, EVRUN_NOWAIT);
	grpc_free(g);
	g = NULL;
	turn(l);
	ck_assert_int_eq(s.ends, 0);
	resolver_free(r);
}
END_TEST

START_TEST(targets)
{
	static const struct {
		const char *target, *roots;
		bool ok;
	} rows[] = {
		{ "https://istiod.istio-system.svc:15012", "SYSTEM", true }, { "istiod:15012", "SYSTEM", true },
		{ "http://[::1]:15010", "", true }, { "http://127.0.0.1:1/", "", true }, { "https://[fd00::1]:15012/", "SYSTEM", true },
		{ "istiod:15012", "", false }, { "https://istiod", "SYSTEM", false }, { "http://:80", "", false }, { "http://a:0", "", false },
		{ "http://a:65536", "", false }, { "http://a b:1", "", false }, { "http://u@a:1", "", false }, { "http://a:1/x", "", false },
		{ "http://::1:80", "", false }, { "", "", false }, { "http://", "", false }, { "http://[]:1", "", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct grpc *c = NULL;
		struct err err = { .msg = "" };
		int r = grpc_new(l, &(struct grpc_conf){ .who = "x", .target = str_c(rows[i].target), .roots = str_c(rows[i].roots) }, &c, &err);

		ck_assert_msg((r == 0) == rows[i].ok, "row %zu: %d %s", i, r, err.msg);
		grpc_free(c);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("grpc");
	TCase *t = tcase_create("grpc");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, messages_in_any_pieces);
	tcase_add_test(t, bad_prefixes);
	tcase_add_test(t, status_text);
	tcase_add_test(t, unary);
	tcase_add_test(t, unary_needs_exactly_one_reply);
	tcase_add_test(t, stream_both_ways);
	tcase_add_test(t, trailers_only);
	tcase_add_test(t, answers_that_are_not_grpc);
	tcase_add_test(t, broken_ends);
	tcase_add_test(t, compressed_is_refused);
	tcase_add_test(t, oversize_is_refused);
	tcase_add_test(t, large_messages_pass);
	tcase_add_test(t, deadline);
	tcase_add_test(t, cancel);
	tcase_add_test(t, free_in_a_callback);
	tcase_add_test(t, no_token_no_call);
	tcase_add_test(t, goaway_is_seamless);
	tcase_add_test(t, goaway_with_an_error);
	tcase_add_test(t, attempts_back_off);
	tcase_add_test(t, goaways_back_off);
	tcase_add_test(t, idle_until_needed);
	tcase_add_test(t, by_name);
	tcase_add_test(t, targets);
	suite_add_tcase(s, t);
	return suite_run(s);
}
