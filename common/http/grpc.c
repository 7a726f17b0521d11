/* SPDX-License-Identifier: Apache-2.0 */
/* The channel: its settings, which connection new calls get, and when the next is dialed. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/grpc_int.h"
#include "tls/webctx.h"

#define STABLE_MS      5000   /* a connection that lived so long says that the server is well */
#define WATCH_QUIET_MS 2000

void grpc_set_state(struct grpc *g, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(g->state, sizeof(g->state), fmt, ap);
	va_end(ap);
}

const char *grpc_state(const struct grpc *g)
{
	return g->state;
}

bool grpc_connected(const struct grpc *g)
{
	return g->conn && g->conn->up && !g->conn->retired && h2_goaway(g->conn->h2) < 0;
}

/* ---- connections ---- */

void grpc_serve_later(struct grpc *g)
{
	if (!g->dead)
		loop_defer(g->loop, &g->serve);
}

static void wait_before_dialing(struct grpc *g)
{
	timer_start(&g->retry, backoff_next(&g->backoff));
}

void grpc_forget(struct grpc *g, struct grpc_conn *c)
{
	if (g->conn != c || g->dead)
		return;
	g->conn = NULL;
	grpc_set_state(g, "idle");
	if (loop_now_ms(g->loop) - c->up_ms >= STABLE_MS)
		backoff_reset(&g->backoff);
	else
		wait_before_dialing(g);
	grpc_serve_later(g);
}

void grpc_is_up(struct grpc *g, struct grpc_conn *c)
{
	char text[ADDR_TEXT];

	grpc_set_state(g, "connected to %s", addr_format(&c->addr, text));
	grpc_serve_later(g);
}

void grpc_dial_failed(struct grpc *g, struct grpc_conn *c, const char *why)
{
	struct list failed = { &failed, &failed };
	struct grpc_end end = { .code = GRPC_UNAVAILABLE, .unprocessed = true };

	if (g->conn == c)
		g->conn = NULL;
	grpc_set_state(g, "%s", why);
	end.message = str_c(g->state);
	wait_before_dialing(g);
	/* Calls that are started by these callbacks wait for the next attempt. */
	while (!list_empty(&g->waiting)) {
		struct list *at = g->waiting.next;

		list_del(at);
		list_add_tail(&failed, at);
	}
	while (!list_empty(&failed) && !g->dead)
		grpc_call_end(container_of(failed.next, struct grpc_call, link), &end);
	while (!list_empty(&failed))
		grpc_cancel(container_of(failed.next, struct grpc_call, link));
}

static void serve(struct deferred *d)
{
	struct grpc *g = container_of(d, struct grpc, serve);

	if (g->conn && g->conn->up && (g->conn->retired || h2_goaway(g->conn->h2) >= 0))
		grpc_forget(g, g->conn);
	while (!g->dead && !list_empty(&g->waiting) && g->conn && g->conn->up && h2_room(g->conn->h2) > 0) {
		if (!grpc_call_begin(container_of(g->waiting.next, struct grpc_call, link), g->conn))
			break;
	}
	if (g->dead || list_empty(&g->waiting) || g->conn || timer_armed(&g->retry))
		return;
	grpc_set_state(g, "connecting");
	g->conn = grpc_conn_dial(g);
}

static void on_retry(struct timer *t)
{
	grpc_serve_later(container_of(t, struct grpc, retry));
}

/* ---- trust ---- */

static struct tlsctx *read_ctx(struct grpc *g, struct err *err)
{
	struct webctx_conf conf = {
		.roots = g->conf.roots, .cert_file = g->conf.cert_file, .key_file = g->conf.key_file,
		.roots_hint = g->conf.roots_hint, .name_hint = g->conf.name_hint,
	};
	struct tlsctx *ctx;

	return webctx_new(&conf, &ctx, err) == 0 ? ctx : NULL;
}

struct tlsctx *grpc_ctx(struct grpc *g, struct err *err)
{
	struct tlsctx *ctx = read_ctx(g, err);

	if (!ctx && g->ctx && !g->files_bad)
		log_warn(LOG_TLS, "%s; towards %s the certificates read before stay in use until this is repaired", err->msg, g->who);
	g->files_bad = !ctx && g->ctx;
	if (ctx) {
		tlsctx_unref(g->ctx);
		g->ctx = ctx;
	}
	return g->ctx;
}

static void on_files(void *arg)
{
	struct grpc *g = arg;
	struct err err;

	if (timer_armed(&g->retry)) {   /* maybe this was the reason */
		timer_stop(&g->retry);
		grpc_serve_later(g);
	}
	if (!g->ctx || !grpc_ctx(g, &err) || g->files_bad || !g->conn || !g->conn->up)
		return;
	log_info(LOG_TLS, "the certificates for %s changed: new calls get a new connection", g->who);
	grpc_conn_retire(g->conn);
}

static void watch_files(struct grpc *g)
{
	const struct str *files[] = { &g->conf.roots, &g->conf.cert_file, &g->conf.key_file };
	struct err err;

	if (!g->url.tls || (!webctx_roots_is_file(g->conf.roots) && !g->conf.cert_file.n))
		return;
	g->watch = watch_new(g->loop, WATCH_QUIET_MS, on_files, g, &err);
	for (int i = 0; g->watch && i < 3; i++) {
		if (!files[i]->n || (i == 0 && !webctx_roots_is_file(*files[i])))
			continue;
		if (watch_add_file(g->watch, files[i]->p, &err) != 0)
			log_warn(LOG_TLS, "%s; it is read again at the next connection to %s only", err.msg, g->who);
	}
	if (!g->watch)
		log_warn(LOG_TLS, "%s; the certificates for %s are read again at its next connection only", err.msg, g->who);
}

/* ---- settings ---- */

static int parse_target(struct grpc *g, struct err *err)
{
	if (dial_url_parse(g->conf.target, &g->url) == 0 && (!g->url.path.n || str_is(g->url.path, "/")))
		return 0;
	return err_set(err, -EINVAL, "the address of %s is '%.*s'; https://HOST:PORT is wanted, or http://HOST:PORT without TLS",
		       g->who, STR_FMT(g->conf.target));
}

static struct str copy(struct str s)
{
	return s.n ? (struct str){ str_dup(s), s.n } : (struct str){ 0 };
}

static void grpc_gone(struct deferred *d)
{
	struct grpc *g = container_of(d, struct grpc, grave);

	free((char *)g->conf.target.p);
	free((char *)g->conf.roots.p);
	free((char *)g->conf.alt_name.p);
	free((char *)g->conf.cert_file.p);
	free((char *)g->conf.key_file.p);
	free(g->who);
	free(g);
}

static int check_files(const struct grpc *g, struct err *err)
{
	if (!g->conf.cert_file.n != !g->conf.key_file.n)
		return err_set(err, -EINVAL, "a certificate towards %s needs both files, certificate and key", g->who);
	if (g->url.tls && !g->conf.roots.n)
		return err_set(err, -EINVAL, "no roots to judge %s by: give a PEM file, or SYSTEM%s%s", g->who,
			       g->conf.roots_hint ? ", with " : "", g->conf.roots_hint ? g->conf.roots_hint : "");
	return 0;
}

int grpc_new(struct loop *l, const struct grpc_conf *conf, struct grpc **ret, struct err *err)
{
	struct grpc *g = xcalloc(1, sizeof(*g));
	int r;

	g->loop = l;
	g->conf = *conf;
	g->who = xstrdup(conf->who);
	g->conf.target = copy(conf->target);
	g->conf.roots = copy(conf->roots);
	g->conf.alt_name = copy(conf->alt_name);
	g->conf.cert_file = copy(conf->cert_file);
	g->conf.key_file = copy(conf->key_file);
	if (!g->conf.message_bytes)
		g->conf.message_bytes = LIMIT_GRPC_MESSAGE_BYTES;
	r = parse_target(g, err);
	if (r != 0 || (r = check_files(g, err)) != 0) {
		grpc_gone(&g->grave);
		return r;
	}
	g->names[g->n_names++] = g->url.host;
	if (g->conf.alt_name.n)
		g->names[g->n_names++] = g->conf.alt_name;
	g->backoff = (struct backoff){ LIMIT_GRPC_BACKOFF_MIN_MS, LIMIT_GRPC_BACKOFF_MAX_MS, 0 };
	list_init(&g->conns);
	list_init(&g->waiting);
	timer_init(&g->retry, l, on_retry);
	g->serve.run = serve;
	g->grave.run = grpc_gone;
	grpc_set_state(g, "idle");
	watch_files(g);
	*ret = g;
	return 0;
}

void grpc_free(struct grpc *g)
{
	if (!g || g->dead)
		return;
	g->dead = true;
	timer_stop(&g->retry);
	watch_free(g->watch);
	while (!list_empty(&g->waiting))
		grpc_cancel(container_of(g->waiting.next, struct grpc_call, link));
	while (!list_empty(&g->conns)) {
		struct grpc_conn *c = container_of(g->conns.next, struct grpc_conn, link);

		while (!list_empty(&c->calls))
			grpc_cancel(container_of(c->calls.next, struct grpc_call, link));
		grpc_conn_end(c, FAIL_NONE);
	}
	tlsctx_unref(g->ctx);
	g->ctx = NULL;
	loop_bury(g->loop, &g->grave);
}
