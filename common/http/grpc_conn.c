/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of a channel: dialing, HTTP/2, idleness, retirement. */
#include <stdio.h>
#include <stdlib.h>

#include "http/grpc_int.h"
#include "tls/tls.h"

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
	dial_cancel(c->dial);
	if (c->h2)
		h2_close(c->h2, why);
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

static void attempt_failed(struct grpc_conn *c, const struct addr *at, const char *why)
{
	char text[ADDR_TEXT], via[ADDR_TEXT + 8] = "", error[768];
	struct grpc *g = c->g;
	struct ip ip;

	if (at && ip_parse(g->url.host, &ip) != 0)
		snprintf(via, sizeof(via), " (%s)", addr_format(at, text));
	snprintf(error, sizeof(error), "cannot reach %s at %.*s%s: %s", g->who, STR_FMT(g->url.authority), via, why);
	grpc_dial_failed(g, c, error);
	grpc_conn_end(c, FAIL_CONNECT);
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
	c->h2 = NULL;
	if (c->up) {
		grpc_forget(c->g, c);
		grpc_conn_end(c, why);
	} else if (c->tls && tls_error(c->tls)[0]) {
		attempt_failed(c, &c->addr, tls_error(c->tls));
	} else {
		attempt_failed(c, &c->addr, c->tls ? "the server closed the connection before it spoke HTTP/2; is it a gRPC port with TLS?"
						  : "the server closed the connection before it spoke HTTP/2; is it a gRPC port without TLS?");
	}
}

static const struct h2_ops h2_ops = { .on_settings = on_settings, .on_room = on_room, .on_closed = on_h2_closed };

static void on_dialed(void *arg, struct stage *top, const struct addr *at, const char *error)
{
	struct grpc_conn *c = arg;

	c->dial = NULL;
	if (!top) {
		attempt_failed(c, at, error);
		return;
	}
	c->addr = *at;
	c->tls = c->g->url.tls ? top : NULL;
	c->h2 = h2_new(top, false, &h2_conf_tunnels, &h2_ops, c);
	if (!c->h2) {
		attempt_failed(c, at, "out of memory");
		return;
	}
	h2_keepalive(c->h2, LIMIT_GRPC_PING_MS, LIMIT_GRPC_PING_TIMEOUT_MS, true);
	timer_start(&c->timer, LIMIT_DIAL_MS);
}

static void on_timer(struct timer *t)
{
	struct grpc_conn *c = container_of(t, struct grpc_conn, timer);

	if (!c->up) {
		attempt_failed(c, &c->addr, "the server sent no HTTP/2 SETTINGS in time; is it a gRPC port?");
		return;
	}
	c->retired = true;
	grpc_forget(c->g, c);
	grpc_conn_end(c, FAIL_NONE);
}

struct grpc_conn *grpc_conn_dial(struct grpc *g)
{
	struct dial_conf conf = { g->url.host, g->url.port, NULL, g->names, g->n_names, g->conf.sock_ops, g->conf.resolver, NULL };
	struct grpc_conn *c = xcalloc(1, sizeof(*c));
	struct err err;

	c->g = g;
	list_init(&c->calls);
	list_add_tail(&g->conns, &c->link);
	timer_init(&c->timer, g->loop, on_timer);
	if (g->url.tls && !(conf.ctx = grpc_ctx(g, &err)))
		attempt_failed(c, NULL, err.msg);
	else
		c->dial = dial_start(g->loop, &conf, on_dialed, c);
	return c->dead ? NULL : c;
}
