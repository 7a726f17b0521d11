/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of a channel: the name's addresses one after the other, TLS, HTTP/2, idleness, retirement. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/grpc_int.h"
#include "tls/tls.h"

static void dial_next(struct grpc_conn *c);

static void conn_gone(struct deferred *d)
{
	free(container_of(d, struct grpc_conn, grave));
}

void grpc_conn_end(struct grpc_conn *c, enum fail why)
{
	if (c->dead)
		return;
	c->dead = true;
	timer_stop(&c->timer);
	list_del(&c->link);
	if (c->h2)
		h2_close(c->h2, why);
	else
		stage_done(c->top, why);
	c->grave.run = conn_gone;
	loop_bury(c->g->loop, &c->grave);
}

void grpc_conn_idle(struct grpc_conn *c)
{
	if (c->dead || !list_empty(&c->calls))
		return;
	if (c->retired)
		grpc_conn_end(c, FAIL_NONE);
	else
		timer_start(&c->timer, LIMIT_POOL_IDLE_MS);
}

void grpc_conn_retire(struct grpc_conn *c)
{
	c->retired = true;
	grpc_forget(c->g, c);
	grpc_conn_idle(c);
}

/* ---- an attempt ---- */

__attribute__((format(printf, 2, 3)))
static void attempt_failed(struct grpc_conn *c, const char *fmt, ...)
{
	char at[ADDR_TEXT] = "", why[640];
	struct grpc *g = c->g;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (c->next)
		addr_format(&c->addrs[c->next - 1], at);
	snprintf(c->error, sizeof(c->error), "cannot reach %s at %.*s%s%s%s: %s", g->who, STR_FMT(g->authority),
		 c->next ? " (" : "", at, c->next ? ")" : "", why);
	timer_stop(&c->timer);
	c->top = c->sock = c->tls = NULL;
	c->h2 = NULL;
	dial_next(c);
}

static void on_settings(struct h2 *h, void *arg)
{
	struct grpc_conn *c = arg;

	c->up = true;
	c->up_ms = loop_now_ms(c->g->loop);
	timer_start(&c->timer, LIMIT_POOL_IDLE_MS);
	grpc_is_up(c->g, c);
}

static void on_room(struct h2 *h, void *arg)
{
	grpc_serve_later(((struct grpc_conn *)arg)->g);
}

static void on_h2_closed(struct h2 *h, enum fail why, void *arg)
{
	struct grpc_conn *c = arg;

	if (c->dead)
		return;
	if (c->up) {
		c->h2 = NULL;
		grpc_forget(c->g, c);
		grpc_conn_end(c, why);
	} else if (c->tls && tls_error(c->tls)[0]) {
		attempt_failed(c, "%s", tls_error(c->tls));
	} else {
		attempt_failed(c, "the server closed the connection before it spoke HTTP/2; is it a gRPC port, with%s TLS?", c->tls ? "" : "out");
	}
}

static const struct h2_ops h2_ops = { .on_settings = on_settings, .on_room = on_room, .on_closed = on_h2_closed };

static void open_h2(struct grpc_conn *c)
{
	c->h2 = h2_new(c->top, false, &h2_ops, c);
	c->top = NULL;
	if (c->h2)
		h2_keepalive(c->h2, LIMIT_GRPC_PING_MS, LIMIT_GRPC_PING_TIMEOUT_MS, true);
	else
		attempt_failed(c, "out of memory");
}

static void on_top(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct grpc_conn *c = s->arg;
	struct stage *top = c->top;
	int error;

	if (ev == STAGE_OPEN) {
		open_h2(c);
	} else if (ev == STAGE_CLOSED) {
		error = sock_errno(c->sock);
		if (c->tls && tls_error(c->tls)[0])
			attempt_failed(c, "%s", tls_error(c->tls));
		else
			attempt_failed(c, "%s", error ? strerror(error) : fail_info(s->fail)->reason);
		stage_done(top, s->fail);
	}
}

static void on_timer(struct timer *t)
{
	struct grpc_conn *c = container_of(t, struct grpc_conn, timer);
	struct stage *top = c->top;
	struct h2 *h2 = c->h2;

	if (c->up) {
		c->retired = true;
		grpc_forget(c->g, c);
		grpc_conn_end(c, FAIL_NONE);
		return;
	}
	attempt_failed(c, "no %s within %d s", h2 ? "HTTP/2 SETTINGS" : "connection", LIMIT_GRPC_CONNECT_MS / 1000);
	if (h2)
		h2_close(h2, FAIL_CONNECT_TIMEOUT);
	else
		stage_done(top, FAIL_CONNECT_TIMEOUT);
}

static void dial_next(struct grpc_conn *c)
{
	struct grpc *g = c->g;
	struct tlsctx *ctx = NULL;
	struct err err;

	if (c->next == c->n_addrs) {
		grpc_dial_failed(g, c, c->error);
		grpc_conn_end(c, FAIL_CONNECT);
		return;
	}
	if (g->tls && !(ctx = grpc_ctx(g, &err))) {
		c->n_addrs = c->next = 0;
		attempt_failed(c, "%s", err.msg);
		return;
	}
	c->sock = c->top = sock_connect(g->loop, &c->addrs[c->next++], NULL, g->conf.sock_ops, 0);
	if (c->sock && g->tls)
		c->tls = c->top = tls_client(c->sock, ctx, g->names, g->n_names);
	if (!c->top) {
		attempt_failed(c, "out of memory");
		return;
	}
	c->top->on_event = on_top;
	c->top->arg = c;
	timer_start(&c->timer, LIMIT_GRPC_CONNECT_MS);
}

static void start(struct deferred *d)
{
	struct grpc_conn *c = container_of(d, struct grpc_conn, start);

	if (!c->dead)
		dial_next(c);
}

struct grpc_conn *grpc_conn_dial(struct grpc *g)
{
	struct grpc_conn *c = xcalloc(1, sizeof(*c));
	struct addr addr = { .port = g->port };

	c->g = g;
	list_init(&c->calls);
	list_add_tail(&g->conns, &c->link);
	timer_init(&c->timer, g->loop, on_timer);
	if (ip_parse(g->host, &addr.ip) == 0)
		c->addrs[c->n_addrs++] = addr;
	else
		snprintf(c->error, sizeof(c->error), "%.*s is no address", STR_FMT(g->host));
	c->start.run = start;
	loop_defer(g->loop, &c->start);
	return c;
}
