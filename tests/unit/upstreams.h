/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP servers on loopback that do what a test says, and a connector to them in plain TCP; all on the test's loop. */
#ifndef TESTS_UPSTREAMS_H
#define TESTS_UPSTREAMS_H

#include <stdio.h>
#include <stdlib.h>

#include "io/listen.h"
#include "tests/unit/stages.h"
#include "traffic/router.h"

/* What a server does with a request. */
enum upstream_does {
	DOES_ANSWER,           /* status, with a small body */
	DOES_NOTHING,
	DOES_RESET,            /* of the connection (HTTP/1) or stream (HTTP/2) */
	DOES_CLOSE,            /* FIN without an answer */
	DOES_REFUSE,           /* HTTP/2: REFUSED_STREAM */
	DOES_GRPC,             /* a head alone, with grpc-status `status` */
	DOES_TRAILERS,         /* a small body, then grpc-status `status` */
};

struct upstream {
	struct loop *loop;
	struct listener *listener;
	struct addr at;
	enum http_codec codec;
	enum upstream_does script[16];   /* for one request after the other; then the last one for ever */
	int statuses[16], n_script;
	int conns, live, requests, bodies;
	struct http_conn_conf conf;
	struct list open;                /* of struct upstream_conn */
	char last_path[64], last_count[8], last_timeout[16], last_body[64];
};

struct upstream_conn {
	struct list link;
	struct upstream *u;
	struct stage *sock;
	struct http_conn *http;
	struct deferred grave;
};

static inline void upstream_conn_free(struct deferred *d)
{
	free(container_of(d, struct upstream_conn, grave));
}

static inline void upstream_answer(struct http_stream *s, struct upstream *u, int n)
{
	struct http_field f[1] = { { str_c("server"), str_c("scripted") } };
	struct http_head head = { .status = u->statuses[n], .fields = f, .n_fields = 1 };
	struct iovec iov = { "hello", 5 };

	if (u->script[n] == DOES_GRPC) {
		char text[8];

		snprintf(text, sizeof(text), "%d", u->statuses[n]);
		f[0] = (struct http_field){ str_c("grpc-status"), str_c(text) };
		head.status = 200;
		head.end = true;
		http_reply(s, &head);
		stage_done(&s->stage, FAIL_NONE);
		return;
	}
	if (u->script[n] == DOES_TRAILERS) {
		const struct http_field t[] = { { str_c("grpc-status"), str_c(u->statuses[n] ? "5" : "0") }, { str_c("grpc-message"), str_c("so it is") } };

		head.status = 200;
		http_reply(s, &head);
		stage_write(&s->stage, &iov, 1);
		http_trailers(s, t, 2);
		stage_shut(&s->stage);
		stage_done(&s->stage, FAIL_NONE);
		return;
	}
	http_reply(s, &head);
	stage_write(&s->stage, &iov, 1);
	stage_shut(&s->stage);
	stage_done(&s->stage, FAIL_NONE);
}

static inline void upstream_act(struct http_stream *s, struct upstream_conn *c)
{
	struct upstream *u = c->u;
	int n = u->requests++;

	if (n >= u->n_script)
		n = u->n_script - 1;
	switch (u->script[n]) {
	case DOES_ANSWER:
	case DOES_GRPC:
	case DOES_TRAILERS:
		upstream_answer(s, u, n);
		break;
	case DOES_NOTHING:
		break;
	case DOES_RESET:
		stage_done(&s->stage, FAIL_SERVER_RESET);
		break;
	case DOES_REFUSE:
		stage_done(&s->stage, FAIL_OVERLOAD);
		break;
	case DOES_CLOSE:
		shutdown(sock_fd(c->sock), SHUT_RDWR);
		break;
	}
}

static inline void upstream_event(struct stage *stage, enum stage_event ev, const struct iovec *iov, int n)
{
	struct upstream_conn *c = stage->arg;
	struct http_stream *s = container_of(stage, struct http_stream, stage);
	struct upstream *u = c->u;

	switch (ev) {
	case STAGE_OPEN:
		snprintf(u->last_path, sizeof(u->last_path), "%.*s", STR_FMT(s->head->path));
		snprintf(u->last_count, sizeof(u->last_count), "%.*s", STR_FMT(http_head_get(s->head, "x-envoy-attempt-count")));
		snprintf(u->last_timeout, sizeof(u->last_timeout), "%.*s", STR_FMT(http_head_get(s->head, "grpc-timeout")));
		u->last_body[0] = 0;
		stage_want(stage, true);
		break;
	case STAGE_DATA:
		for (int i = 0; i < n; i++)
			for (size_t k = 0, at = strlen(u->last_body); k < iov[i].iov_len && at + 1 < sizeof(u->last_body); k++, at++)
				memcpy(u->last_body + at, (char[2]){ ((char *)iov[i].iov_base)[k], 0 }, 2);
		break;
	case STAGE_EOF:
		upstream_act(s, c);
		break;
	case STAGE_CLOSED:
		stage_done(stage, stage->fail);
		break;
	case STAGE_DRAINED:
		break;
	}
}

static inline void upstream_request(struct http_conn *h, struct http_stream *s, void *arg)
{
	s->stage.on_event = upstream_event;
	s->stage.arg = arg;
}

static inline void upstream_closed(struct http_conn *h, enum fail why, const char *detail, void *arg)
{
	struct upstream_conn *c = arg;

	c->u->live--;
	list_del(&c->link);
	c->grave.run = upstream_conn_free;      /* its streams may still hear of it in this turn */
	loop_bury(c->u->loop, &c->grave);
}

static const struct http_conn_ops upstream_ops = { .on_request = upstream_request, .on_closed = upstream_closed };

static inline void upstream_accept(void *arg, int fd, const struct addr *peer)
{
	struct upstream *u = arg;
	struct upstream_conn *c = xcalloc(1, sizeof(*c));

	u->conns++;
	u->live++;
	c->u = u;
	c->sock = sock_accept(u->loop, fd);
	list_add_tail(&u->open, &c->link);
	c->http = http_conn_server(c->sock, u->codec, &u->conf, &upstream_ops, c);
}

static inline void upstream_start(struct upstream *u, struct loop *l, enum http_codec codec)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd;

	*u = (struct upstream){ .loop = l, .codec = codec, .n_script = 1, .statuses = { 200 }, .conf = http_conn_default };
	list_init(&u->open);
	ck_assert_int_eq(addr_parse(str_c("127.0.0.1:0"), &u->at), 0);
	fd = sock_listen(&u->at, NULL);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	addr_from_sockaddr(&sa, &u->at);
	u->listener = listener_new(l, fd, NULL, upstream_accept, u);
}

static inline void upstream_script(struct upstream *u, int i, enum upstream_does does, int status)
{
	u->script[i] = does;
	u->statuses[i] = status;
	u->n_script = i + 1;
}

/* Nobody listens any more; connections stay. */
static inline void upstream_deaf(struct upstream *u)
{
	if (u->listener)
		listener_free(u->listener);
	u->listener = NULL;
}

static inline void upstream_hang_up(struct upstream *u)
{
	list_each_safe(at, next, &u->open) {
		struct upstream_conn *c = container_of(at, struct upstream_conn, link);

		http_conn_close(c->http, FAIL_NONE);
		upstream_closed(c->http, FAIL_NONE, "", c);
	}
}

static inline void upstream_stop(struct upstream *u)
{
	upstream_deaf(u);
	upstream_hang_up(u);
}

static inline struct stage *plain_connect(struct connector *k, struct cluster *cl, const struct pick *p, const struct connect_ask *ask)
{
	extern struct loop *upstreams_loop;

	return sock_connect(upstreams_loop, &p->addr, NULL, NULL, 0);
}

static inline const char *plain_error(struct connector *k, struct stage *s)
{
	return sock_errno(s) ? strerror(sock_errno(s)) : "";
}

#endif
