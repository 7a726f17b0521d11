/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/proxy.h"

#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "modes/conn.h"
#include "modes/hconn.h"
#include "modes/pod.h"
#include "modes/l7.h"

#define HOME_SLACK 16   /* connections that a pod's own worker may have more than twice what another has */

/* ---- workers ---- */

static void on_tick(struct timer *t)
{
	struct pworker *w = container_of(t, struct pworker, tick);

	list_each(at, &w->pods)
		pod_tick(container_of(at, struct pod, link));
	if (atomic_load_explicit(&w->n_conns, memory_order_relaxed))
		timer_start(t, PROXY_TICK_MS);
}

static void worker_init(struct worker *worker, void *arg)
{
	struct pworker *w = arg;

	w->loop = worker_loop(worker);
	if (getrandom(&w->seed, sizeof(w->seed), GRND_NONBLOCK) < 0 || !w->seed)
		w->seed = (uint64_t)(uintptr_t)w;
	timer_init(&w->tick, w->loop, on_tick);
}

static int load_of(const struct pworker *w, bool tunnels)
{
	return atomic_load_explicit(tunnels ? &w->n_tunnels : &w->n_conns, memory_order_relaxed);
}

int proxy_place(struct pworker *here, bool tunnel, bool spread)
{
	struct proxy *p = here->proxy;
	struct pworker *best = here;

	if (tunnel || !spread)
		for (int i = 0; i < p->n_workers; i++)
			if (load_of(&p->workers[i], tunnel) < load_of(best, tunnel))
				best = &p->workers[i];
	if (!tunnel && load_of(here, false) <= 2 * load_of(best, false) + HOME_SLACK)
		best = here;
	if (tunnel)
		atomic_fetch_add_explicit(&best->n_tunnels, 1, memory_order_relaxed);
	return best->index;
}

int proxy_emptiest(const struct proxy *p)
{
	int best = 0, fewest = INT_MAX;

	for (int i = 0; i < p->n_workers; i++) {
		int n = 0;

		map_each(slot, &p->pods)
			n += ((struct pod_shared *)slot->value)->home == i;
		if (n < fewest) {
			fewest = n;
			best = i;
		}
	}
	return best;
}

/* ---- mail ---- */

struct order {
	struct mail mail;
	struct pworker *to;
	void (*run)(struct pworker *w, struct order *o);
	struct tlsctx *ctx;          /* retire: a reference */
	struct pod_shared *pod;      /* of which it is about the worker's part: a reference */
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
	pod_unref(o->pod);
	free(o);
}

static void send_order(struct pworker *w, void (*run)(struct pworker *w, struct order *o), struct tlsctx *ctx, struct pod_shared *pod)
{
	struct order *o = xcalloc(1, sizeof(*o));

	o->mail.run = run_order;
	o->to = w;
	o->run = run;
	o->ctx = ctx ? tlsctx_ref(ctx) : NULL;
	o->pod = pod ? pod_ref(pod) : NULL;
	worker_send(w->worker, &o->mail);
}

static void send_all(struct proxy *p, void (*run)(struct pworker *w, struct order *o), struct tlsctx *ctx)
{
	for (int i = 0; i < p->n_workers; i++)
		send_order(&p->workers[i], run, ctx, NULL);
}

#define each_pod(pod, w) \
	list_each_safe(at_##pod, next_##pod, &(w)->pods) \
		for (struct pod *pod = container_of(at_##pod, struct pod, link); pod; pod = NULL)

static void run_rejudge(struct pworker *w, struct order *o)
{
	each_pod(pod, w) {
		list_each_safe(at, next, &pod->conns) {
			struct conn *c = container_of(at, struct conn, link);

			if (c->judged)
				conn_judge(c, FAIL_POLICY_CHANGE);
		}
		if (pod->l7) {
			l7_rejudge(pod);
			l7_renew(pod);
		}
		pod_wake(pod);
	}
}

static void run_wake(struct pworker *w, struct order *o)
{
	each_pod(pod, w)
		pod_wake(pod);
}

static void run_retire(struct pworker *w, struct order *o)
{
	struct tlsctx *now = identity_get(w->proxy->identity, tlsctx_identity(o->ctx));

	each_pod(pod, w) {
		hpool_retire(pod->pool, o->ctx, now);
		if (pod->l7)
			l7_retire(pod);
	}
	tlsctx_unref(now);
}

static void run_recheck(struct pworker *w, struct order *o)
{
	each_pod(pod, w) {
		inbound_recheck(pod);
		if (pod->l7)
			l7_recheck(pod);
	}
}

static void run_hand_over(struct pworker *w, struct order *o)
{
	each_pod(pod, w)
		pod_drain(pod, true);
}

static void run_drain(struct pworker *w, struct order *o)
{
	each_pod(pod, w)
		pod_drain(pod, false);
}

static void bury_resolver(struct deferred *d)
{
	resolver_free(container_of(d, struct pworker, grave)->resolver);
}

static void run_end(struct pworker *w, struct order *o)
{
	/* First in, so last out: after the connections, which may still ask it. */
	w->grave.run = bury_resolver;
	loop_bury(w->loop, &w->grave);
	each_pod(pod, w)
		pod_end(pod);
	timer_stop(&w->tick);
	worker_stop(w->worker);
}

static void run_pod_start(struct pworker *w, struct order *o)
{
	pod_start(&o->pod->parts[w->index]);
}

static void run_pod_open(struct pworker *w, struct order *o)
{
	pod_listen(&o->pod->parts[w->index]);
}

static void run_pod_end(struct pworker *w, struct order *o)
{
	pod_end(&o->pod->parts[w->index]);
}

void proxy_rejudge(struct proxy *p)
{
	send_all(p, run_rejudge, NULL);
}

void proxy_wake(struct proxy *p)
{
	for (int i = 0; i < p->n_workers; i++)
		if (atomic_exchange(&p->workers[i].waits, false))
			send_order(&p->workers[i], run_wake, NULL, NULL);
}

void proxy_retire(struct proxy *p, struct tlsctx *old)
{
	send_all(p, run_retire, old);
}

void proxy_recheck_certs(struct proxy *p)
{
	send_all(p, run_recheck, NULL);
}

void proxy_drain(struct proxy *p, bool handed_over)
{
	send_all(p, handed_over ? run_hand_over : run_drain, NULL);
}

int proxy_busy(const struct proxy *p)
{
	int n = 0;

	map_each(slot, &p->pods)
		n += atomic_load_explicit(&((struct pod_shared *)slot->value)->n_conns, memory_order_relaxed);
	return n;
}

int proxy_connections(const struct proxy *p)
{
	int n = 0;

	for (int i = 0; i < p->n_workers; i++)
		n += atomic_load_explicit(&p->workers[i].n_conns, memory_order_relaxed);
	return n;
}

/* ---- the list of live connections ---- */

static bool comes_to_waypoint(const struct conn *c)
{
	return c->flow.direction == FLOW_INBOUND && l7_is_waypoint(c->pod);
}

static void describe(struct conn *c, struct proxy_conn_info *i)
{
	const struct flow *f = &c->flow;
	const char *peer = f->direction == FLOW_INBOUND ? f->source_id : f->dest_id;
	const char *host = f->service && !f->service_guessed ? f->service->hostname : f->service_host;

	/* In one block, which uid owns. */
	i->uid = xasprintf("%s%c%s%c%s", c->local ? c->local->uid : "", 0, host ? host : "", 0, peer ? peer : "");
	i->host = i->uid + strlen(i->uid) + 1;
	i->peer = i->host + strlen(i->host) + 1;
	i->source = f->source;
	i->original = f->direction == FLOW_OUTBOUND ? c->meant : f->hbone.port ? f->hbone : f->dest;
	i->actual = f->direction == FLOW_INBOUND ? c->input.dest : f->dest;
	i->received = c->pump.bytes_up;
	i->sent = c->pump.bytes_down;
	i->age_ms = conn_age_ms(c);
	i->inbound = f->direction == FLOW_INBOUND;
	i->protocol = c->across ? "DOUBLEHBONE" : !f->mtls ? "TCP" : f->proxy && !comes_to_waypoint(c) ? "MTLS" : "HBONE";
}

static void describe_http(const struct hconn *h, uint64_t now_ms, struct proxy_conn_info *i)
{
	const struct exchange_client *c = &h->client;

	i->uid = xasprintf("%s%c%s%c%.*s", h->env->local->uid, 0, h->target ? h->target->hostname : "", 0, STR_FMT(c->peer_id));
	i->host = i->uid + strlen(i->uid) + 1;
	i->peer = i->host + strlen(i->host) + 1;
	i->source = c->peer;
	i->original = i->actual = c->local;
	i->age_ms = now_ms - h->opened_ms;
	i->inbound = c->inbound;
	i->protocol = h->place == HCONN_SERVED || h->place == HCONN_DIRECT ? "HTTP over HBONE" : c->mtls ? "HTTP over MTLS" : "HTTP";
}

static void run_answer(struct pworker *w, struct order *o)
{
	sem_post(o->answered);
}

static int count(struct pod *pod)
{
	int n = 0;

	list_each(at, &pod->conns)
		n++;
	if (pod->l7)
		list_each(at, &pod->l7->https)
			n++;
	return n;
}

static void run_list(struct pworker *w, struct order *o)
{
	int n = 0;

	each_pod(pod, w)
		n += count(pod);
	o->info = xcalloc((size_t)n, sizeof(*o->info));
	each_pod(pod, w)
		list_each(at, &pod->conns)
			describe(container_of(at, struct conn, link), &o->info[o->n_info++]);
	each_pod(pod, w)
		if (pod->l7)
			list_each(at, &pod->l7->https)
				describe_http(container_of(at, struct hconn, link), loop_now_ms(w->loop), &o->info[o->n_info++]);
	sem_post(o->answered);
}

void proxy_list(struct proxy *p, void (*fn)(const struct proxy_conn_info *info, void *arg), void *arg)
{
	sem_t answered;

	sem_init(&answered, 0, 0);
	for (int i = 0; i < p->n_workers; i++) {
		struct order o = { .mail.run = run_order, .to = &p->workers[i], .run = fn ? run_list : run_answer, .answered = &answered };

		worker_send(p->workers[i].worker, &o.mail);
		while (sem_wait(&answered) < 0 && errno == EINTR)
			;
		for (int k = 0; k < o.n_info; k++) {
			fn(&o.info[k], arg);
			free((char *)o.info[k].uid);
		}
		free(o.info);
	}
	sem_destroy(&answered);
}

/* ---- pods ---- */

struct pod_shared *proxy_pod(const struct proxy *p, struct str id)
{
	return map_get(&p->pods, id);
}

int proxy_pod_add(struct proxy *p, const struct pod_conf *conf, struct err *err)
{
	struct pod_shared *s;
	int r = proxy_pod(p, str_c(conf->id)) ? err_set(err, -EEXIST, "the pod %s is served already", conf->id) : pod_shared_new(p, conf, &s, err);

	if (r < 0)
		return r;
	map_put(&p->pods, str_c(s->id), s);
	for (int i = 0; i < p->n_workers; i++)
		send_order(&p->workers[i], run_pod_start, NULL, s);
	/* Only now: what one worker passes on arrives where the part is there already. */
	if (!conf->held)
		proxy_pod_open(p, str_c(s->id));
	return 0;
}

void proxy_pod_open(struct proxy *p, struct str id)
{
	struct pod_shared *s = proxy_pod(p, id);

	for (int i = 0; s && i < p->n_workers; i++)
		send_order(&p->workers[i], run_pod_open, NULL, s);
}

void proxy_pod_del(struct proxy *p, struct str id)
{
	struct pod_shared *s = map_del(&p->pods, id);

	for (int i = 0; s && i < p->n_workers; i++)
		send_order(&p->workers[i], run_pod_end, NULL, s);
	pod_unref(s);
}

/* ---- start and end ---- */

int proxy_start(const struct proxy_conf *conf, struct identity *identity, struct proxy **ret, struct err *err)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	int r = 0;

	p->conf = *conf;
	if (conf->mode != MODE_ZTUNNEL)
		l7_register();
	p->identity = identity;
	p->n_workers = conf->concurrency;
	list_init(&p->inherited);
	p->workers = xcalloc((size_t)p->n_workers, sizeof(*p->workers));
	for (int i = 0; r == 0 && i < p->n_workers; i++) {
		struct pworker *w = &p->workers[i];
		char name[24];

		snprintf(name, sizeof(name), "worker-%d", i);
		w->proxy = p;
		w->index = i;
		w->worker = worker_new(i, name);
		w->metrics = flow_metrics_new();
		list_init(&w->pods);
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
	/* A barrier: after it nobody hands accepted sockets to a worker that may be gone. */
	send_all(p, run_drain, NULL);
	proxy_list(p, NULL, NULL);
	send_all(p, run_end, NULL);
	for (int i = 0; i < p->n_workers; i++)
		worker_join(p->workers[i].worker);
	map_each(slot, &p->pods)
		pod_unref(slot->value);
	map_done(&p->pods);
	proxy_disinherit(p);
	free(p->workers);
	free(p);
}
