/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "modes/conn.h"

#define SHED_TELL_MS  1000
#define LOOK_AGAIN_MS 100

static void accept_outbound(void *pod, int fd, const struct addr *peer);
static void accept_plain(void *pod, int fd, const struct addr *peer);
static void accept_hbone(void *pod, int fd, const struct addr *peer);

static const struct {
	const char *name;
	uint16_t port;
	void (*accept)(void *pod, int fd, const struct addr *peer);
	void (*handle)(struct pod *pod, int fd, const struct addr *peer);
} listens[LISTENERS] = {
	[LISTEN_OUTBOUND] = { "outbound", PORT_OUTBOUND, accept_outbound, outbound_accept },
	[LISTEN_INBOUND]  = { "inbound", PORT_INBOUND, accept_plain, inbound_accept_plain },
	[LISTEN_HBONE]    = { "hbone", PORT_HBONE, accept_hbone, inbound_accept_hbone },
};

bool proxy_own_port(uint16_t port)
{
	return port == PORT_OUTBOUND || port == PORT_INBOUND || port == PORT_HBONE;
}

/* ---- sockets of the process before us ---- */

struct inherited {
	struct list link;
	char *pod;                   /* owned */
	struct netns_id netns;
	enum pod_listener kind;
	int fd;                      /* owned */
};

const char *pod_listener_name(enum pod_listener kind)
{
	return listens[kind].name;
}

static void inherited_free(struct inherited *i)
{
	list_del(&i->link);
	free(i->pod);
	free(i);
}

bool proxy_inherit(struct proxy *p, struct str id, const struct netns_id *netns, struct str kind, int fd)
{
	for (int k = 0; k < LISTENERS; k++) {
		struct inherited *i;

		if (!str_is(kind, listens[k].name))
			continue;
		i = xcalloc(1, sizeof(*i));
		i->pod = str_dup(id);
		i->netns = *netns;
		i->kind = (enum pod_listener)k;
		i->fd = fd;
		list_add_tail(&p->inherited, &i->link);
		return true;
	}
	return false;
}

void proxy_disinherit(struct proxy *p)
{
	while (!list_empty(&p->inherited)) {
		struct inherited *i = container_of(p->inherited.next, struct inherited, link);

		close(i->fd);
		inherited_free(i);
	}
}

static bool is_for(const struct inherited *i, const struct pod_shared *s)
{
	return strcmp(i->pod, s->id) == 0 && i->netns.dev == s->netns_id.dev && i->netns.ino == s->netns_id.ino;
}

static void take_inherited(struct proxy *p, struct pod_shared *s)
{
	int n[LISTENERS] = { 0 }, room = LISTENERS * p->n_workers;

	list_each(at, &p->inherited)
		room += is_for(container_of(at, struct inherited, link), s);
	s->sockets = xcalloc((size_t)room, sizeof(*s->sockets));
	list_each_safe(at, next, &p->inherited) {
		struct inherited *i = container_of(at, struct inherited, link);

		if (!is_for(i, s))
			continue;
		s->sockets[s->n_sockets++] = (struct pod_socket){ i->kind, s->spread ? n[i->kind]++ % p->n_workers : s->home, i->fd };
		inherited_free(i);
	}
}

/* ---- what the parts share ---- */

struct opening {
	const struct proxy_conf *conf;
	const struct pod_conf *pod;
	struct pod_shared *shared;
	struct err *err;
	int n_workers;
};

static int listen_any(const struct opening *o, uint16_t port)
{
	struct insock in;
	struct addr at = { .port = port };
	int fd = -EAFNOSUPPORT;

	insock_init(&in, o->pod->netns == NETNS_OWN ? 0 : o->conf->mark, o->conf->spoof && !o->pod->hbone_only, o->pod->share_ports || o->pod->spread);
	if (o->conf->ipv6)
		fd = sock_listen(&at, &in.ops);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	ip_parse(str_c("0.0.0.0"), &at.ip);
	return sock_listen(&at, &in.ops);
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

static int open_kind(struct opening *o, enum pod_listener kind)
{
	struct pod_shared *s = o->shared;
	int have = 0, r = 0;

	for (int i = 0; i < s->n_sockets; i++)
		have += s->sockets[i].kind == kind;
	if (!have && s->spread && !o->pod->share_ports)
		r = port_is_free(listens[kind].port);
	for (int k = have; r >= 0 && k < (s->spread ? o->n_workers : 1); k++) {
		r = listen_any(o, listens[kind].port);
		if (r >= 0)
			s->sockets[s->n_sockets++] = (struct pod_socket){ kind, s->spread ? k : s->home, r };
	}
	if (r >= 0)
		return 0;
	return err_set(o->err, r, "cannot listen on port %u: %s%s", listens[kind].port, strerror(-r),
		       r == -EADDRINUSE ? "; is another meshd, ztunnel or sidecar running here?" : "");
}

/* A listener of a group that closes loses what waits in its queue, unless the kernel may move that to another one. */
static void share_queues(const struct opening *o)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;
	int fd = open("/proc/sys/net/ipv4/tcp_migrate_req", O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, "1", 1) == 1;

	if (fd >= 0)
		close(fd);
	if (done || port_is_free(PORT_HBONE) != -EADDRINUSE || atomic_flag_test_and_set(&told))
		return;
	log_warn(LOG_INPOD, "pod %s shares its ports with another proxy, and net.ipv4.tcp_migrate_req cannot be set there: when one of the two ends, "
		 "connections that it has not accepted yet are reset (said once; set the sysctl to 1 in pods to avoid that)", o->shared->id);
}

/* Inside the namespace. */
static int open_sockets(void *arg)
{
	struct opening *o = arg;
	int r = 0;

	if (o->pod->share_ports && o->pod->netns != NETNS_OWN && !o->shared->n_sockets)
		share_queues(o);

	for (int kind = o->pod->hbone_only ? LISTEN_HBONE : 0; r == 0 && kind < LISTENERS; kind++)
		r = open_kind(o, kind);
	return r;
}

static struct pod_shared *shared_new(struct proxy *p, const struct pod_conf *conf)
{
	struct pod_shared *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	s->proxy = p;
	s->id = xstrdup(conf->id);
	s->ns = conf->ns ? xstrdup(conf->ns) : NULL;
	s->name = conf->name ? xstrdup(conf->name) : NULL;
	s->service_account = conf->service_account ? xstrdup(conf->service_account) : NULL;
	s->netns = NETNS_OWN;
	s->spread = conf->spread;
	s->hbone_only = conf->hbone_only;
	s->held = conf->held;
	s->home = proxy_emptiest(p);
	s->parts = xcalloc((size_t)p->n_workers, sizeof(*s->parts));
	for (int i = 0; i < p->n_workers; i++) {
		s->parts[i].shared = s;
		s->parts[i].worker = &p->workers[i];
	}
	return s;
}

int pod_shared_new(struct proxy *p, const struct pod_conf *conf, struct pod_shared **ret, struct err *err)
{
	struct pod_shared *s = shared_new(p, conf);
	struct opening o = { .conf = &p->conf, .pod = conf, .shared = s, .err = err, .n_workers = p->n_workers };
	int r;

	if (err)
		err->msg[0] = '\0';
	r = netns_identify(conf->netns, &s->netns_id);
	take_inherited(p, s);
	if (r == 0)
		r = netns_run(conf->netns, open_sockets, &o);
	if (r < 0) {
		if (err && !err->msg[0])
			err_set(err, r, "cannot enter the network namespace: %s", strerror(-r));
		for (int i = 0; i < s->n_sockets; i++)
			close(s->sockets[i].fd);
		pod_unref(s);
		return r;
	}
	s->netns = conf->netns;
	*ret = s;
	return 0;
}

struct pod_shared *pod_ref(struct pod_shared *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void pod_unref(struct pod_shared *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (s->netns != NETNS_OWN)
		close(s->netns);
	free(s->id);
	free(s->ns);
	free(s->name);
	free(s->service_account);
	free(s->sockets);
	free(s->parts);
	free(s);
}

/* ---- a part's life ---- */

static void on_patience(struct timer *t);

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
	list_init(&pod->conns);
	list_init(&pod->tunnels);
	list_init(&pod->waiting);
	timer_init(&pod->patience, l, on_patience);
	list_add_tail(&pod->worker->pods, &pod->link);
	if (!s->held)
		pod_listen(pod);
}

void pod_listen(struct pod *pod)
{
	struct pod_shared *s = pod->shared;

	if (pod->gone || pod->draining || pod->listeners)
		return;
	pod->listeners = xcalloc((size_t)s->n_sockets, sizeof(struct listener *));
	for (int i = 0; i < s->n_sockets; i++)
		if (s->sockets[i].worker == pod->worker->index)
			pod->listeners[i] = listener_new(pod->worker->loop, s->sockets[i].fd, pod->share, listens[s->sockets[i].kind].accept, pod);
}

static void close_listeners(struct pod *pod)
{
	for (int i = 0; pod->listeners && i < pod->shared->n_sockets; i++)
		listener_free(pod->listeners[i]);
	free(pod->listeners);
	pod->listeners = NULL;
}

void pod_drain(struct pod *pod)
{
	pod->draining = true;
	close_listeners(pod);
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
	close_listeners(pod);
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
	list_each(at, &pod->conns)
		conn_account(container_of(at, struct conn, link));
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

/* Refuses a connection that was counted, without a word in the access log for each. */
static void shed(struct pod *pod, int fd, enum flow_shed why)
{
	static const struct linger reset = { .l_onoff = 1 };
	struct pod_shared *s = pod->shared;
	uint64_t now = loop_now_ms(pod->worker->loop), told = atomic_load(&s->told_ms);

	pod_uncount(pod);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	flow_shed(pod->worker->metrics, why);
	atomic_fetch_add(&s->shed, 1);
	if (now - told < SHED_TELL_MS || !atomic_compare_exchange_strong(&s->told_ms, &told, now))
		return;
	log_warn(LOG_INPOD, "pod %s/%s: refused %u new connections: it has %d %s (MESHD_POD_%s)", s->ns ? s->ns : "", s->name ? s->name : "",
		 atomic_exchange(&s->shed, 0), why == SHED_POD_CONNECTIONS ? s->proxy->conf.pod_conns : s->proxy->conf.pod_handshakes,
		 why == SHED_POD_CONNECTIONS ? "connections" : "TLS handshakes of peers that do not go on",
		 why == SHED_POD_CONNECTIONS ? "CONNECTIONS" : "HANDSHAKES");
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
	struct workload *only = NULL;

	if (s->name)
		return pod_workload(s, m);
	for (int i = 0; i < conf->n_workloads; i++) {
		struct str name, ns = str_cut(str_c(conf->workloads[i]), '/', &name);
		struct workload *w = mesh_workload_named(m, ns, name);

		for (int k = 0; w && k < w->n_ips; k++)
			if (ip_eq(&w->ips[k], local))
				return w;
		only = w;
	}
	/* A single workload may be reached on any address of its host. */
	return conf->n_workloads == 1 ? only : NULL;
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
		listens[a->kind].handle(a->to, a->fd, &a->peer);   /* refuses it, with the reason */
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

	if (!pod_count(pod)) {
		shed(pod, fd, SHED_POD_CONNECTIONS);
		return;
	}
	if (kind == LISTEN_HBONE && atomic_fetch_add_explicit(&s->n_handshakes, 1, memory_order_relaxed) >= s->proxy->conf.pod_handshakes) {
		atomic_fetch_sub_explicit(&s->n_handshakes, 1, memory_order_relaxed);
		shed(pod, fd, SHED_POD_HANDSHAKES);
		return;
	}
	here.to = &pod->shared->parts[proxy_place(pod->worker, kind == LISTEN_HBONE, pod->shared->spread)];
	if (here.to == pod && is_ready(&here)) {
		listens[kind].handle(pod, fd, peer);
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
