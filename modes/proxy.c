/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/proxy.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "modes/conn.h"

static void place_hbone(void *pworker, int fd, const struct addr *peer);

static const struct {
	uint16_t port;
	void (*accept)(void *pworker, int fd, const struct addr *peer);
} listens[LISTENERS] = {
	[LISTEN_OUTBOUND] = { PORT_OUTBOUND, outbound_accept },
	[LISTEN_INBOUND]  = { PORT_INBOUND, inbound_accept_plain },
	[LISTEN_HBONE]    = { PORT_HBONE, place_hbone },
};

bool proxy_own_port(uint16_t port)
{
	return port == PORT_OUTBOUND || port == PORT_INBOUND || port == PORT_HBONE;
}

struct workload *proxy_local(const struct proxy *p, const struct mesh *m, const struct ip *local)
{
	struct workload *only = NULL;

	for (int i = 0; i < p->conf.n_workloads; i++) {
		struct str name, ns = str_cut(str_c(p->conf.workloads[i]), '/', &name);
		struct workload *w = mesh_workload_named(m, ns, name);

		for (int k = 0; w && k < w->n_ips; k++)
			if (ip_eq(&w->ips[k], local))
				return w;
		only = w;
	}
	/* A single workload may be reached on any address of its host. */
	return p->conf.n_workloads == 1 ? only : NULL;
}

/* ---- a worker's life ---- */

static void on_tick(struct timer *t)
{
	struct pworker *w = container_of(t, struct pworker, tick);

	list_each(at, &w->conns)
		conn_account(container_of(at, struct conn, link));
	if (!list_empty(&w->conns))
		timer_start(t, PROXY_TICK_MS);
}

struct placed {
	struct mail mail;
	struct pworker *to;
	struct addr peer;
	int fd;
};

static void run_placed(struct mail *m, struct worker *worker)
{
	struct placed *p = container_of(m, struct placed, mail);

	if (p->to->draining)
		close(p->fd);
	else
		inbound_accept_hbone(p->to, p->fd, &p->peer);
	free(p);
}

/* The few long HBONE connections must not pile up on one worker. */
static void place_hbone(void *arg, int fd, const struct addr *peer)
{
	struct pworker *w = arg, *best = w;
	struct proxy *p = w->proxy;
	struct placed *m;

	for (int i = 0; i < p->n_workers; i++)
		if (atomic_load_explicit(&p->workers[i].n_tunnels, memory_order_relaxed) < atomic_load_explicit(&best->n_tunnels, memory_order_relaxed))
			best = &p->workers[i];
	atomic_fetch_add_explicit(&best->n_tunnels, 1, memory_order_relaxed);
	if (best == w) {
		inbound_accept_hbone(w, fd, peer);
		return;
	}
	m = xcalloc(1, sizeof(*m));
	m->mail.run = run_placed;
	m->to = best;
	m->peer = *peer;
	m->fd = fd;
	worker_send(best->worker, &m->mail);
}

static void worker_init(struct worker *worker, void *arg)
{
	static const struct keepalive keepalive = KEEPALIVE_DEFAULT, none;
	struct pworker *w = arg;

	w->loop = worker_loop(worker);
	outsock_init(&w->out, w->proxy->conf.mark ? NET_MARK : 0, &keepalive);
	outsock_init(&w->app, w->out.mark, &none);
	w->pool = hpool_new(w->loop, &w->out.ops);
	if (getrandom(&w->seed, sizeof(w->seed), GRND_NONBLOCK) < 0 || !w->seed)
		w->seed = (uint64_t)(uintptr_t)w;
	timer_init(&w->tick, w->loop, on_tick);
	for (int i = 0; i < LISTENERS; i++)
		w->listeners[i] = listener_new(w->loop, w->fds[i], listens[i].accept, w);
}

/* ---- mail ---- */

struct order {
	struct mail mail;
	struct pworker *to;
	void (*run)(struct pworker *w, struct order *o);
	struct tlsctx *ctx;          /* retire: a reference */
	struct proxy_conn_info *info;
	int n_info;
	sem_t *answered;
};

static void run_order(struct mail *m, struct worker *worker)
{
	struct order *o = container_of(m, struct order, mail);
	bool awaited = o->answered != NULL;

	o->run(o->to, o);
	if (awaited)
		return;
	tlsctx_unref(o->ctx);
	free(o);
}

static void send_all(struct proxy *p, void (*run)(struct pworker *w, struct order *o), struct tlsctx *ctx)
{
	for (int i = 0; i < p->n_workers; i++) {
		struct order *o = xcalloc(1, sizeof(*o));

		o->mail.run = run_order;
		o->to = &p->workers[i];
		o->run = run;
		o->ctx = ctx ? tlsctx_ref(ctx) : NULL;
		worker_send(o->to->worker, &o->mail);
	}
}

static void run_rejudge(struct pworker *w, struct order *o)
{
	list_each_safe(at, next, &w->conns) {
		struct conn *c = container_of(at, struct conn, link);

		if (c->judged)
			conn_judge(c, FAIL_POLICY_CHANGE);
	}
}

static void run_retire(struct pworker *w, struct order *o)
{
	struct tlsctx *now = identity_get(w->proxy->identity, tlsctx_identity(o->ctx));

	hpool_retire(w->pool, o->ctx, now);
	tlsctx_unref(now);
}

static void run_recheck(struct pworker *w, struct order *o)
{
	inbound_recheck(w);
}

static void close_listeners(struct pworker *w)
{
	for (int i = 0; i < LISTENERS; i++) {
		listener_free(w->listeners[i]);
		w->listeners[i] = NULL;
	}
}

static void run_drain(struct pworker *w, struct order *o)
{
	w->draining = true;
	close_listeners(w);
	inbound_drain(w);
	hpool_drain(w->pool);
}

static void run_end(struct pworker *w, struct order *o)
{
	close_listeners(w);
	list_each_safe(at, next, &w->conns)
		conn_end(container_of(at, struct conn, link), FAIL_DRAIN, "connection closed due to connection drain");
	inbound_close_all(w);
	hpool_free(w->pool);
	timer_stop(&w->tick);
	ownaddr_done(&w->own);
	worker_stop(w->worker);
}

void proxy_rejudge(struct proxy *p)
{
	send_all(p, run_rejudge, NULL);
}

void proxy_retire(struct proxy *p, struct tlsctx *old)
{
	send_all(p, run_retire, old);
}

void proxy_recheck_certs(struct proxy *p)
{
	send_all(p, run_recheck, NULL);
}

void proxy_drain(struct proxy *p)
{
	send_all(p, run_drain, NULL);
}

int proxy_connections(const struct proxy *p)
{
	int n = 0;

	for (int i = 0; i < p->n_workers; i++)
		n += atomic_load_explicit(&p->workers[i].n_conns, memory_order_relaxed);
	return n;
}

/* ---- the list of live connections ---- */

static void describe(struct conn *c, struct proxy_conn_info *i)
{
	const struct flow *f = &c->flow;
	const char *peer = f->direction == FLOW_INBOUND ? f->source_id : f->dest_id;
	const char *host = f->service ? f->service->hostname : f->service_host;

	snprintf(i->uid, sizeof(i->uid), "%s", c->local ? c->local->uid : "");
	snprintf(i->host, sizeof(i->host), "%s", host ? host : "");
	snprintf(i->peer, sizeof(i->peer), "%s", peer ? peer : "");
	i->source = f->source;
	i->original = f->direction == FLOW_INBOUND && f->hbone.port ? f->hbone : f->dest;
	i->actual = f->direction == FLOW_INBOUND ? c->input.dest : f->dest;
	i->received = c->pump.bytes_up;
	i->sent = c->pump.bytes_down;
	i->age_ms = conn_age_ms(c);
	i->inbound = f->direction == FLOW_INBOUND;
	i->hbone = f->mtls;
}

static void run_list(struct pworker *w, struct order *o)
{
	int n = 0;

	list_each(at, &w->conns)
		n++;
	o->info = xcalloc((size_t)n, sizeof(*o->info));
	list_each(at, &w->conns)
		describe(container_of(at, struct conn, link), &o->info[o->n_info++]);
	sem_post(o->answered);
}

int proxy_list(struct proxy *p, struct proxy_conn_info **ret)
{
	struct order *orders = xcalloc((size_t)p->n_workers, sizeof(*orders));
	struct proxy_conn_info *all = NULL;
	int n = 0;
	sem_t answered;

	sem_init(&answered, 0, 0);
	for (int i = 0; i < p->n_workers; i++) {
		orders[i] = (struct order){ .mail.run = run_order, .to = &p->workers[i], .run = run_list, .answered = &answered };
		worker_send(p->workers[i].worker, &orders[i].mail);
	}
	for (int i = 0; i < p->n_workers; i++)
		while (sem_wait(&answered) < 0 && errno == EINTR)
			;
	for (int i = 0; i < p->n_workers; i++) {
		all = xrealloc(all, (size_t)(n + orders[i].n_info) * sizeof(*all));
		if (orders[i].n_info)
			memcpy(all + n, orders[i].info, (size_t)orders[i].n_info * sizeof(*all));
		n += orders[i].n_info;
		free(orders[i].info);
	}
	sem_destroy(&answered);
	free(orders);
	*ret = all;
	return n;
}

/* ---- start and end ---- */

static int listen_any(const struct proxy_conf *conf, uint16_t port)
{
	struct addr at = { .port = port };
	int fd = conf->ipv6 ? sock_listen(&at, conf->spoof) : -EAFNOSUPPORT;

	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	ip_parse(str_c("0.0.0.0"), &at.ip);
	return sock_listen(&at, conf->spoof);
}

/* SO_REUSEPORT would let a second meshd share our ports in silence: ask without it first. */
static int port_is_free(uint16_t port)
{
	struct sockaddr_storage sa;
	struct addr at = { .port = port };
	int one = 1, fd, r;

	ip_parse(str_c("0.0.0.0"), &at.ip);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&at, AF_INET, &sa)) < 0 || listen(fd, 1) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int open_listeners(struct proxy *p, struct err *err)
{
	for (int i = 0; i < LISTENERS; i++) {
		int r = port_is_free(listens[i].port);

		for (int k = 0; r == 0 && k < p->n_workers; k++) {
			int fd = listen_any(&p->conf, listens[i].port);

			if (fd < 0)
				r = fd;
			else
				p->workers[k].fds[i] = fd;
		}
		if (r < 0)
			return err_set(err, r, "cannot listen on port %u: %s%s", listens[i].port, strerror(-r),
				       r == -EADDRINUSE ? "; is another meshd, ztunnel or sidecar running here?" : "");
	}
	return 0;
}

int proxy_start(const struct proxy_conf *conf, struct identity *identity, struct proxy **ret, struct err *err)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	int r;

	p->conf = *conf;
	p->identity = identity;
	p->n_workers = conf->concurrency;
	p->workers = xcalloc((size_t)p->n_workers, sizeof(*p->workers));
	r = open_listeners(p, err);
	for (int i = 0; r == 0 && i < p->n_workers; i++) {
		struct pworker *w = &p->workers[i];
		char name[24];

		snprintf(name, sizeof(name), "worker-%d", i);
		w->proxy = p;
		w->worker = worker_new(i, name);
		w->metrics = flow_metrics_new();
		list_init(&w->conns);
		list_init(&w->tunnels);
		if (!w->worker)
			r = err_set(err, -ENOMEM, "cannot make an event loop");
	}
	for (int i = 0; r == 0 && i < p->n_workers; i++) {
		r = worker_start(p->workers[i].worker, worker_init, &p->workers[i]);
		if (r < 0)
			err_set(err, r, "cannot start a worker thread: %s", strerror(-r));
	}
	if (r < 0)
		return r;   /* the process ends: nothing to take back */
	*ret = p;
	return 0;
}

void proxy_free(struct proxy *p)
{
	struct proxy_conn_info *all;

	/* A barrier: after it nobody hands accepted sockets to a worker that may be gone. */
	send_all(p, run_drain, NULL);
	proxy_list(p, &all);
	free(all);
	send_all(p, run_end, NULL);
	for (int i = 0; i < p->n_workers; i++)
		worker_join(p->workers[i].worker);
	free(p->workers);
	free(p);
}
