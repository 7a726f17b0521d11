/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/pod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "modes/binds.h"
#include "modes/conn.h"
#include "modes/pod_dns.h"
#include "modes/l7.h"

#define SHED_TELL_MS  1000
#define LOOK_AGAIN_MS 100

static void accept_socks(void *pod, int fd, const struct addr *peer);
static void accept_outbound(void *pod, int fd, const struct addr *peer);
static void accept_plain(void *pod, int fd, const struct addr *peer);
static void accept_hbone(void *pod, int fd, const struct addr *peer);

static const struct {
	void (*accept)(void *pod, int fd, const struct addr *peer);   /* NULL: its sockets are not this file's */
	void (*handle)(struct pod *pod, int fd, const struct addr *peer);
	void (*l7)(struct pod *pod, int fd, const struct addr *peer);    /* where requests are seen, instead */
} listens[LISTENERS] = {
	[LISTEN_SOCKS]    = { accept_socks, socks_accept, socks_accept },
	[LISTEN_OUTBOUND] = { accept_outbound, outbound_accept, side_accept_out },
	[LISTEN_INBOUND]  = { accept_plain, inbound_accept_plain, side_accept_in },
	[LISTEN_HBONE]    = { accept_hbone, inbound_accept_hbone, inbound_accept_hbone },
};

static void handle(struct pod *pod, enum pod_listener kind, int fd, const struct addr *peer)
{
	if (pod->l7)
		listens[kind].l7(pod, fd, peer);
	else
		listens[kind].handle(pod, fd, peer);
}

/* ---- a part's life ---- */

static void on_patience(struct timer *t);
static void on_dns_end(struct timer *t);

void pod_start(struct pod *pod)
{
	static const struct keepalive none;
	struct pod_shared *s = pod->shared;
	struct loop *l = pod->worker->loop;

	pod_ref(s);
	outsock_init(&pod->out, s->proxy->conf.mark, NULL, s->netns);
	outsock_init(&pod->app, pod->out.mark, &none, s->netns);
	ownaddr_init(&pod->own, s->netns);
	pod->share = s->spread ? NULL : share_new(l);
	pod->out.ops.share = pod->app.ops.share = pod->share;
	pod->pool = hpool_new(l, &pod->out.ops);
	if (s->proxy->conf.mode != MODE_ZTUNNEL)
		pod->l7 = l7_new(pod);
	list_init(&pod->conns);
	list_init(&pod->tunnels);
	list_init(&pod->waiting);
	timer_init(&pod->patience, l, on_patience);
	timer_init(&pod->dns_end, l, on_dns_end);
	list_add_tail(&pod->worker->pods, &pod->link);
}

void pod_listen(struct pod *pod)
{
	struct pod_shared *s = pod->shared;

	if (pod->gone || pod->draining || pod->listeners)
		return;
	pod->listeners = xcalloc((size_t)s->n_sockets, sizeof(struct listener *));
	for (int i = 0; i < s->n_sockets; i++)
		if (s->sockets[i].worker == pod->worker->index && listens[s->sockets[i].kind].accept)
			pod->listeners[i] = listener_new(pod->worker->loop, s->sockets[i].fd, pod->share, listens[s->sockets[i].kind].accept, pod);
	if (pod->worker->index == s->home)
		pod_dns_start(pod);
	if (pod->l7)
		binds_renew(pod);
}

static void end_dns(struct pod *pod)
{
	timer_stop(&pod->dns_end);
	dnsproxy_free(pod->dns);
	pod->dns = NULL;
}

static void on_dns_end(struct timer *t)
{
	end_dns(container_of(t, struct pod, dns_end));
}

static void close_listener(struct pod *pod, int i)
{
	listener_free(pod->listeners[i]);
	pod->listeners[i] = NULL;
}

static void close_listeners(struct pod *pod)
{
	for (int i = 0; pod->listeners && i < pod->shared->n_sockets; i++)
		close_listener(pod, i);
	free(pod->listeners);
	pod->listeners = NULL;
}

/* A sidecar's application may still call others while its last requests are answered. */
static void drain_sidecar(struct pod *pod)
{
	for (int i = 0; pod->listeners && i < pod->shared->n_sockets; i++)
		if (pod->shared->sockets[i].kind == LISTEN_INBOUND || pod->shared->sockets[i].kind == LISTEN_HBONE)
			close_listener(pod, i);
	l7_drain(pod);
	inbound_drain(pod);
}

void pod_drain(struct pod *pod, bool handed_over)
{
	pod->draining = true;
	if (pod->l7 && !handed_over) {
		drain_sidecar(pod);
		return;
	}
	if (pod->l7)
		l7_hand_over(pod);
	close_listeners(pod);
	if (pod->dns && !timer_armed(&pod->dns_end))
		timer_start(&pod->dns_end, LIMIT_DRAIN_MS);
	inbound_drain(pod);
	hpool_drain(pod->pool);
}

static void pod_bury(struct deferred *d)
{
	struct pod *pod = container_of(d, struct pod, grave);

	pod_unref(pod->shared);
}

static void end_waiting(struct pod *pod, bool late)
{
	struct list all;

	list_take(&all, &pod->waiting);
	while (!list_empty(&all)) {
		struct waiter *w = container_of(all.next, struct waiter, link);

		list_del(&w->link);
		w->wake(w, late);
	}
}

void pod_end(struct pod *pod)
{
	if (pod->gone)
		return;
	pod->gone = true;
	if (pod->l7)
		l7_end(pod);
	close_listeners(pod);
	end_dns(pod);
	end_waiting(pod, true);
	list_each_safe(at, next, &pod->conns)
		conn_end(container_of(at, struct conn, link), FAIL_DRAIN, "connection closed due to connection drain");
	inbound_close_all(pod);
	hpool_free(pod->pool);
	timer_stop(&pod->patience);
	ownaddr_done(&pod->own);
	share_unref(pod->share);
	pod->share = NULL;
	list_del(&pod->link);
	pod->grave.run = pod_bury;
	loop_bury(pod->worker->loop, &pod->grave);
}

void pod_tick(struct pod *pod)
{
	uint64_t now = loop_now_ms(pod->worker->loop);

	list_each_safe(at, next, &pod->conns) {
		conn_account(container_of(at, struct conn, link));
		conn_expire(container_of(at, struct conn, link), now);
	}
}

/* ---- waiting ---- */

/* Mail wakes who waits as soon as something changed; a change that slips between a look and the wait is seen here. */
static void on_patience(struct timer *t)
{
	struct pod *pod = container_of(t, struct pod, patience);
	uint64_t now = loop_now_ms(pod->worker->loop);

	while (!list_empty(&pod->waiting)) {
		struct waiter *w = container_of(pod->waiting.next, struct waiter, link);

		if (w->until_ms > now)
			break;
		list_del(&w->link);
		w->wake(w, true);
	}
	pod_wake(pod);
}

bool pod_wait(struct pod *pod, struct waiter *w)
{
	uint64_t now = loop_now_ms(pod->worker->loop);
	unsigned wait_ms = pod->shared->proxy->conf.wait_ms;

	if (!w->until_ms)
		w->until_ms = now + wait_ms;
	if (!wait_ms || pod->gone || w->until_ms <= now)
		return false;
	list_add_tail(&pod->waiting, &w->link);
	atomic_store(&pod->worker->waits, true);
	if (!timer_armed(&pod->patience))
		timer_start(&pod->patience, w->until_ms - now < LOOK_AGAIN_MS ? w->until_ms - now : LOOK_AGAIN_MS);
	return true;
}

void pod_wake(struct pod *pod)
{
	end_waiting(pod, false);
	if (pod->dns)
		dnsproxy_wake(pod->dns);
}

/* ---- arrivals ---- */

bool pod_count(struct pod *pod)
{
	return atomic_fetch_add_explicit(&pod->shared->n_conns, 1, memory_order_relaxed) < pod->shared->proxy->conf.pod_conns;
}

void pod_uncount(struct pod *pod)
{
	atomic_fetch_sub_explicit(&pod->shared->n_conns, 1, memory_order_relaxed);
}

struct stage *pod_sock(struct pod *pod, int fd)
{
	struct stage *s = sock_accept(pod->worker->loop, fd);

	if (s)
		sock_share(s, pod->share);
	return s;
}

/* Without a word in the access log for each. */
void pod_shed(struct pod *pod, enum flow_shed why)
{
	struct pod_shared *s = pod->shared;
	uint64_t now = loop_now_ms(pod->worker->loop), told = atomic_load(&s->told_ms);

	flow_shed(pod->worker->metrics, why);
	atomic_fetch_add(&s->shed, 1);
	if (now - told < SHED_TELL_MS || !atomic_compare_exchange_strong(&s->told_ms, &told, now))
		return;
	log_warn(LOG_INPOD, "pod %s/%s: refused %u new connections: it has %d %s (MESHD_POD_%s)", s->ns ? s->ns : "", s->name ? s->name : "",
		 atomic_exchange(&s->shed, 0), why == SHED_POD_CONNECTIONS ? s->proxy->conf.pod_conns : s->proxy->conf.pod_handshakes,
		 why == SHED_POD_CONNECTIONS ? "connections" : "TLS handshakes of peers that do not go on",
		 why == SHED_POD_CONNECTIONS ? "CONNECTIONS" : "HANDSHAKES");
}

static void shed(struct pod *pod, int fd, enum flow_shed why)
{
	static const struct linger reset = { .l_onoff = 1 };

	pod_uncount(pod);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	pod_shed(pod, why);
}

bool pod_admit(struct pod *pod, int fd)
{
	if (pod_count(pod))
		return true;
	shed(pod, fd, SHED_POD_CONNECTIONS);
	return false;
}

/* An accepted connection on its way to its worker, or waiting there. */
struct arrival {
	struct mail mail;
	struct waiter waiter;
	struct pod *to;
	enum pod_listener kind;
	int fd;
	struct addr peer;
};

struct workload *pod_workload(const struct pod_shared *s, const struct mesh *m)
{
	struct workload *w = NULL;
	char uid[640];

	/* The same name may exist in other clusters. */
	if (snprintf(uid, sizeof(uid), "%s//Pod/%s/%s", mesh_settings(m)->cluster, s->ns, s->name) < (int)sizeof(uid))
		w = mesh_workload(m, str_c(uid));
	if (!w)
		w = mesh_workload_named(m, str_c(s->ns), str_c(s->name));
	return w && (!s->service_account || strcmp(w->service_account, s->service_account) == 0) ? w : NULL;
}

struct workload *pod_local(const struct pod *pod, const struct mesh *m, const struct ip *local)
{
	const struct pod_shared *s = pod->shared;
	const struct proxy_conf *conf = &s->proxy->conf;
	struct workload *first = NULL;

	if (s->name)
		return pod_workload(s, m);
	for (int i = 0; i < conf->n_workloads; i++) {
		struct str name, ns = str_cut(str_c(conf->workloads[i]), '/', &name);
		struct workload *w = mesh_workload_named(m, ns, name);

		for (int k = 0; w && k < w->n_ips; k++)
			if (ip_eq(&w->ips[k], local))
				return w;
		first = first ? first : w;
	}
	/* A single workload may be reached on any address of its host; loopback (SOCKS) says nothing of which is meant. A sidecar is
	 * one application's: whatever address it uses. */
	return conf->n_workloads == 1 || conf->mode != MODE_ZTUNNEL || ip_is_loopback(local) ? first : NULL;
}

/* Else it would be refused, though what is missing may be on its way. */
static bool is_ready(const struct arrival *a)
{
	const struct pod_shared *s = a->to->shared;
	struct workload *local;
	enum identity_state state;

	if (!s->proxy->conf.wait_ms || !s->name)
		return true;
	local = pod_workload(s, mesh_current());
	if (!local || a->kind != LISTEN_HBONE)
		return local != NULL;
	state = identity_state(s->proxy->identity, str_c(local->identity), NULL);
	return state == IDENTITY_READY || state == IDENTITY_FAILED;
}

static void arrive(struct arrival *a);

static void turn_away(struct arrival *a)
{
	pod_uncount(a->to);
	if (a->kind == LISTEN_HBONE) {
		atomic_fetch_sub_explicit(&a->to->shared->n_handshakes, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&a->to->worker->n_tunnels, 1, memory_order_relaxed);
	}
	close(a->fd);
}

static void on_woken(struct waiter *w, bool late)
{
	struct arrival *a = container_of(w, struct arrival, waiter);

	if (!late) {
		arrive(a);
		return;
	}
	if (a->to->gone)
		turn_away(a);
	else
		handle(a->to, a->kind, a->fd, &a->peer);   /* refuses it, with the reason */
	free(a);
}

/* On the connection's worker; a is on the heap. */
static void arrive(struct arrival *a)
{
	a->waiter.wake = on_woken;
	if (!is_ready(a) && pod_wait(a->to, &a->waiter))
		return;
	on_woken(&a->waiter, true);
}

static void run_arrival(struct mail *m, struct worker *worker)
{
	struct arrival *a = container_of(m, struct arrival, mail);

	if (a->to->gone) {
		turn_away(a);
		pod_unref(a->to->shared);
		free(a);
		return;
	}
	pod_unref(a->to->shared);   /* the part has its own */
	arrive(a);
}

static void on_accept(struct pod *pod, enum pod_listener kind, int fd, const struct addr *peer)
{
	struct arrival here = { .to = pod, .kind = kind, .fd = fd, .peer = *peer }, *a;
	struct pod_shared *s = pod->shared;

	if (!pod_admit(pod, fd))
		return;
	if (kind == LISTEN_HBONE && atomic_fetch_add_explicit(&s->n_handshakes, 1, memory_order_relaxed) >= s->proxy->conf.pod_handshakes) {
		atomic_fetch_sub_explicit(&s->n_handshakes, 1, memory_order_relaxed);
		shed(pod, fd, SHED_POD_HANDSHAKES);
		return;
	}
	here.to = &pod->shared->parts[proxy_place(pod->worker, kind == LISTEN_HBONE, pod->shared->spread)];
	if (here.to == pod && is_ready(&here)) {
		handle(pod, kind, fd, peer);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	*a = here;
	list_init(&a->waiter.link);
	if (a->to == pod) {
		arrive(a);
		return;
	}
	a->mail.run = run_arrival;
	pod_ref(pod->shared);
	worker_send(a->to->worker->worker, &a->mail);
}

static void accept_socks(void *pod, int fd, const struct addr *peer)
{
	on_accept(pod, LISTEN_SOCKS, fd, peer);
}

static void accept_outbound(void *pod, int fd, const struct addr *peer)
{
	on_accept(pod, LISTEN_OUTBOUND, fd, peer);
}

static void accept_plain(void *pod, int fd, const struct addr *peer)
{
	on_accept(pod, LISTEN_INBOUND, fd, peer);
}

static void accept_hbone(void *pod, int fd, const struct addr *peer)
{
	on_accept(pod, LISTEN_HBONE, fd, peer);
}
