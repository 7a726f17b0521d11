/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/fetch.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "identity/csr.h"

struct fetcher {
	struct loop *loop;
	const struct ca_ops *ca;
	void *ca_arg;
	int64_t ttl_s;
	unsigned reply_ms;
	struct list waiting, running;
	int n_running;
	struct deferred pump;
};

static void fetch_idle(struct fetch *f)
{
	struct fetcher *x = f->owner;

	timer_stop(&f->deadline);
	secret_wipe(&f->key);
	list_del(&f->link);
	if (f->call)
		x->n_running--;
	f->call = NULL;
	f->owner = NULL;
	loop_defer(x->loop, &x->pump);
}

static void fetch_failed(struct fetch *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fetch_failed(struct fetch *f, const char *fmt, ...)
{
	struct err err;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.msg, sizeof(err.msg), fmt, ap);
	va_end(ap);
	fetch_idle(f);
	f->on_done(f, NULL, &err);
}

static const char *ca_name(const struct fetcher *x)
{
	return x->ca->name(x->ca_arg);
}

/* The last text holds the roots, the others are the chain. */
static void take(struct fetch *f, const struct ca_reply *reply)
{
	struct certset set = { .key = f->key };
	size_t n = 0, last = reply->n_certs - 1;

	f->key = (struct secret){ 0 };
	for (size_t i = 0; i < last; i++)
		n += reply->certs[i].n + 1;
	set.chain = (struct secret){ xmalloc(n + 1), n };
	n = 0;
	for (size_t i = 0; i < last; i++) {
		memcpy(set.chain.p + n, reply->certs[i].p, reply->certs[i].n);
		n += reply->certs[i].n;
		set.chain.p[n++] = '\n';
	}
	set.chain.p[n] = '\0';
	set.roots = (struct secret){ str_dup(reply->certs[last]), reply->certs[last].n };
	fetch_idle(f);
	f->on_done(f, &set, NULL);
}

static void on_reply(void *arg, const struct ca_reply *reply)
{
	struct fetch *f = arg;
	size_t n = 0;

	for (size_t i = 0; !reply->error && i < reply->n_certs; i++)
		n += reply->certs[i].n;
	if (reply->error)
		fetch_failed(f, "%s", reply->error);
	else if (n == 0)
		fetch_failed(f, "%s answered without a certificate; is it an Istio CA? look at its log", ca_name(f->owner));
	else if (n > LIMIT_CA_REPLY_BYTES)
		fetch_failed(f, "%s answered with %zu KiB of certificates, at most %d are taken; remove roots that are not needed",
			     ca_name(f->owner), n >> 10, LIMIT_CA_REPLY_BYTES >> 10);
	else if (reply->n_certs == 1)
		fetch_failed(f, "%s answered with a certificate and no root, so no peer could be verified; "
			     "configure the CA to append its root certificates", ca_name(f->owner));
	else
		take(f, reply);
}

static void on_deadline(struct timer *t)
{
	struct fetch *f = container_of(t, struct fetch, deadline);
	struct fetcher *x = f->owner;

	x->ca->cancel(x->ca_arg, f->call);
	fetch_failed(f, "%s did not answer within %u ms; check that it is reachable and well (CA_ADDRESS, network policies)",
		     ca_name(x), x->reply_ms);
}

static void run(struct fetch *f)
{
	struct fetcher *x = f->owner;
	struct secret csr;
	struct err err;

	if (csr_new(f->id, &f->key, &csr, &err) != 0) {
		fetch_failed(f, "%s", err.msg);
		return;
	}
	f->call = x->ca->sign(x->ca_arg, secret_str(&csr), f->id, x->ttl_s, on_reply, f);
	secret_wipe(&csr);
	if (!f->call) {
		fetch_failed(f, "%s cannot be asked: out of memory", ca_name(x));
		return;
	}
	x->n_running++;
	list_del(&f->link);
	list_add_tail(&x->running, &f->link);
	timer_start(&f->deadline, x->reply_ms);
}

static struct fetch *first(const struct fetcher *x)
{
	struct fetch *best = NULL;

	list_each(at, &x->waiting) {
		struct fetch *f = container_of(at, struct fetch, link);

		if (!best || atomic_load(&f->priority) < atomic_load(&best->priority))
			best = f;
	}
	return best;
}

static void pump(struct deferred *d)
{
	struct fetcher *x = container_of(d, struct fetcher, pump);
	struct fetch *f;

	while (x->n_running < LIMIT_CA_FETCHES && (f = first(x)))
		run(f);
}

struct fetcher *fetcher_new(struct loop *l, const struct ca_ops *ca, void *ca_arg, int64_t ttl_s, unsigned reply_ms)
{
	struct fetcher *x = xcalloc(1, sizeof(*x));

	x->loop = l;
	x->ca = ca;
	x->ca_arg = ca_arg;
	x->ttl_s = ttl_s;
	x->reply_ms = reply_ms;
	list_init(&x->waiting);
	list_init(&x->running);
	x->pump.run = pump;
	return x;
}

static void fetcher_bury(struct deferred *d)
{
	free(container_of(d, struct fetcher, pump));
}

void fetcher_free(struct fetcher *x)
{
	if (!x)
		return;
	x->pump.run = fetcher_bury;     /* it may be queued: then it is freed there */
	if (!deferred_queued(&x->pump))
		free(x);
}

void fetch_start(struct fetcher *x, struct fetch *f, struct str id, int priority,
		 void (*on_done)(struct fetch *f, struct certset *set, const struct err *err))
{
	f->owner = x;
	f->id = id;
	atomic_store(&f->priority, priority);
	f->on_done = on_done;
	timer_init(&f->deadline, x->loop, on_deadline);
	list_add_tail(&x->waiting, &f->link);
	loop_defer(x->loop, &x->pump);
}

void fetch_hurry(struct fetch *f, int priority)
{
	int now = atomic_load(&f->priority);

	while (priority < now && !atomic_compare_exchange_weak(&f->priority, &now, priority))
		;
}

void fetch_cancel(struct fetch *f)
{
	if (!f->owner)
		return;
	if (f->call)
		f->owner->ca->cancel(f->owner->ca_arg, f->call);
	fetch_idle(f);
}
