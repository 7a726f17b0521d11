/* SPDX-License-Identifier: Apache-2.0 */
#include "http/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/tls.h"

struct dial {
	struct loop *loop;
	struct dial_conf conf;
	void (*on_done)(void *arg, struct stage *top, const struct addr *at, const char *error);
	void *arg;
	struct addr addrs[DIAL_ADDRS];
	int n_addrs, next;
	struct resolve *question;     /* NULL: none is open */
	struct stage *sock, *top;     /* top is owned */
	struct timer timer;
	struct deferred start, grave;
	char error[768];
	bool over;
};

int dial_url_parse(struct str text, struct dial_url *ret)
{
	struct dial_url u = { .tls = !str_starts(text, str_c("http://")) };
	size_t skip = !u.tls ? 7 : str_starts(text, str_c("https://")) ? 8 : 0;
	struct str s = { text.p + skip, text.n - skip }, port;
	const char *at;
	uint64_t v;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return -EINVAL;
	at = s.n ? memchr(s.p, '/', s.n) : NULL;
	if (at) {
		u.path = (struct str){ at, s.n - (size_t)(at - s.p) };
		s.n = (size_t)(at - s.p);
	}
	at = s.n ? memrchr(s.p, ':', s.n) : NULL;
	if (!at || at == s.p)
		return -EINVAL;
	u.authority = s;
	u.host = (struct str){ s.p, (size_t)(at - s.p) };
	port = (struct str){ at + 1, s.n - u.host.n - 1 };
	if (!str_to_u64(port, &v) || v < 1 || v > UINT16_MAX)
		return -EINVAL;
	u.port = (uint16_t)v;
	if (u.host.p[0] == '[' && u.host.p[u.host.n - 1] == ']')
		u.host = (struct str){ u.host.p + 1, u.host.n - 2 };
	else if (memchr(u.host.p, ':', u.host.n))
		return -EINVAL;
	for (size_t i = 0; i < u.host.n; i++)
		if (strchr("?#@,[]", u.host.p[i]))
			return -EINVAL;
	if (!u.host.n || u.host.n > 253)
		return -EINVAL;
	*ret = u;
	return 0;
}

static void dial_gone(struct deferred *d)
{
	struct dial *dial = container_of(d, struct dial, grave);

	tlsctx_unref(dial->conf.ctx);
	free(dial);
}

static void dial_end(struct dial *d)
{
	d->over = true;
	timer_stop(&d->timer);
	d->grave.run = dial_gone;
	loop_bury(d->loop, &d->grave);
}

void dial_cancel(struct dial *d)
{
	if (!d || d->over)
		return;
	resolve_cancel(d->question);
	stage_done(d->top, FAIL_DRAIN);
	dial_end(d);
}

static void dial_next(struct dial *d);

static void address_failed(struct dial *d, enum fail why, const char *error)
{
	struct stage *top = d->top;

	snprintf(d->error, sizeof(d->error), "%s", error);
	d->top = d->sock = NULL;
	stage_done(top, why);
	dial_next(d);
}

static void on_top(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct dial *d = s->arg;
	int error;

	if (ev == STAGE_OPEN) {
		dial_end(d);
		s->on_event = NULL;
		d->on_done(d->arg, s, &d->addrs[d->next - 1], NULL);
	} else if (ev == STAGE_CLOSED) {
		error = sock_errno(d->sock);
		address_failed(d, s->fail, d->conf.ctx && tls_error(s)[0] ? tls_error(s) : error ? strerror(error) : fail_info(s->fail)->reason);
	}
}

static void on_timer(struct timer *t)
{
	char text[64];

	snprintf(text, sizeof(text), "no connection within %d s", LIMIT_DIAL_MS / 1000);
	address_failed(container_of(t, struct dial, timer), FAIL_CONNECT_TIMEOUT, text);
}

static void dial_next(struct dial *d)
{
	if (d->next == d->n_addrs) {
		dial_end(d);
		d->on_done(d->arg, NULL, d->next ? &d->addrs[d->next - 1] : NULL, d->error);
		return;
	}
	if (d->conf.refuses && d->conf.refuses(&d->addrs[d->next].ip)) {
		d->next++;
		address_failed(d, FAIL_DENIED, "the address is one that must not be asked");
		return;
	}
	d->sock = d->top = sock_connect(d->loop, &d->addrs[d->next++], NULL, d->conf.sock_ops, 0);
	if (d->sock && d->conf.ctx)
		d->top = tls_client(d->sock, d->conf.ctx, d->conf.names, d->conf.n_names);
	if (!d->top) {
		address_failed(d, FAIL_MEMORY, "out of memory");
		return;
	}
	d->top->on_event = on_top;
	d->top->arg = d;
	timer_start(&d->timer, LIMIT_DIAL_MS);
}

static void on_resolved(void *arg, const struct ip *v, int n, const char *error)
{
	struct dial *d = arg;

	d->question = NULL;
	for (int i = 0; i < n && i < DIAL_ADDRS; i++)
		d->addrs[d->n_addrs++] = (struct addr){ v[i], d->conf.port };
	if (n == 0)
		snprintf(d->error, sizeof(d->error), "resolving %.*s: %s", STR_FMT(d->conf.host), error);
	dial_next(d);
}

static void start(struct deferred *def)
{
	struct dial *d = container_of(def, struct dial, start);
	struct ip ip;

	if (d->over)
		return;
	if (ip_parse(d->conf.host, &ip) == 0)
		on_resolved(d, &ip, 1, NULL);
	else if (d->conf.resolver)
		d->question = resolve_start(d->conf.resolver, d->conf.host, true, true, on_resolved, d);
	else
		on_resolved(d, NULL, 0, "only addresses are understood here");
}

struct dial *dial_start(struct loop *l, const struct dial_conf *conf,
			void (*on_done)(void *arg, struct stage *top, const struct addr *at, const char *error), void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	d->conf = *conf;
	if (d->conf.ctx)
		tlsctx_ref(d->conf.ctx);
	d->on_done = on_done;
	d->arg = arg;
	timer_init(&d->timer, l, on_timer);
	d->start.run = start;
	loop_defer(l, &d->start);
	return d;
}
