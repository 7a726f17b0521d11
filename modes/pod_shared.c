/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers' parts of a pod have in common, first of all its listening sockets. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "modes/pod_dns.h"

static const struct {
	const char *name;
	uint16_t port;
} ports[LISTENERS] = {
	[LISTEN_SOCKS]    = { "socks", PORT_SOCKS },
	[LISTEN_OUTBOUND] = { "outbound", PORT_OUTBOUND },
	[LISTEN_INBOUND]  = { "inbound", PORT_INBOUND },
	[LISTEN_HBONE]    = { "hbone", PORT_HBONE },
	[LISTEN_DNS_UDP]  = { "dns-udp", DNSPROXY_PORT },
	[LISTEN_DNS_TCP]  = { "dns-tcp", DNSPROXY_PORT },
};

static atomic_bool has_socks;        /* set before there are connections */

bool proxy_own_port(uint16_t port)
{
	return port == PORT_OUTBOUND || port == PORT_INBOUND || port == PORT_HBONE || (port == PORT_SOCKS && has_socks);
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
	return ports[kind].name;
}

static void inherited_free(struct inherited *i)
{
	list_del(&i->link);
	free(i->pod);
	free(i);
}

/* Another version may call something else by this name. */
static bool fits(enum pod_listener kind, int fd)
{
	int type = 0, listens = 0;
	socklen_t n = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0)
		return false;
	return kind == LISTEN_DNS_UDP ? type == SOCK_DGRAM : type == SOCK_STREAM && listens;
}

bool proxy_inherit(struct proxy *p, struct str id, const struct netns_id *netns, struct str kind, int fd)
{
	for (int k = 0; k < LISTENERS; k++) {
		struct inherited *i;

		if (!str_is(kind, ports[k].name) || !fits((enum pod_listener)k, fd))
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

/* What this pod listens for, whatever the process before us did. */
static bool is_wanted(const struct proxy_conf *conf, bool hbone_only, enum pod_listener kind)
{
	bool waypoint = conf->mode == MODE_WAYPOINT;

	switch (kind) {
	case LISTEN_DNS_UDP:
	case LISTEN_DNS_TCP:
		return conf->dns.n && !hbone_only && !waypoint;
	case LISTEN_HBONE:
		return !conf->dns_only;
	default:
		return !conf->dns_only && !hbone_only && !waypoint && (kind != LISTEN_SOCKS || conf->socks);
	}
}

static void take_inherited(struct proxy *p, struct pod_shared *s)
{
	int n[LISTENERS] = { 0 }, room = LISTENERS * p->n_workers + 2 * PROXY_DNS_MAX;

	list_each(at, &p->inherited)
		room += is_for(container_of(at, struct inherited, link), s);
	s->sockets = xcalloc((size_t)room, sizeof(*s->sockets));
	list_each_safe(at, next, &p->inherited) {
		struct inherited *i = container_of(at, struct inherited, link);

		if (!is_for(i, s) || !is_wanted(&p->conf, s->hbone_only, i->kind))
			continue;
		s->sockets[s->n_sockets++] = (struct pod_socket){ i->kind, s->spread && i->kind <= LISTEN_HBONE ? n[i->kind]++ % p->n_workers : s->home, i->fd };
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

/* Every address, but for SOCKS, which asks nobody who he is. */
static int listen_any(const struct opening *o, uint16_t port)
{
	struct insock in;
	struct addr at = { .port = port };
	int fd = -EAFNOSUPPORT;

	insock_init(&in, o->pod->netns == NETNS_OWN ? 0 : o->conf->mark, o->conf->spoof && !o->pod->hbone_only, o->pod->share_ports || o->pod->spread);
	if (o->conf->ipv6 && port != PORT_SOCKS)
		fd = sock_listen(&at, &in.ops);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	ip_parse(str_c(port == PORT_SOCKS ? "127.0.0.1" : "0.0.0.0"), &at.ip);
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

static void add_socket(struct pod_shared *s, enum pod_listener kind, int worker, int fd)
{
	s->sockets[s->n_sockets++] = (struct pod_socket){ kind, worker, fd };
}

static int open_kind(struct opening *o, enum pod_listener kind)
{
	struct pod_shared *s = o->shared;
	int have = 0, r = 0;

	for (int i = 0; i < s->n_sockets; i++)
		have += s->sockets[i].kind == kind;
	if (!have && s->spread && !o->pod->share_ports)
		r = port_is_free(ports[kind].port);
	for (int k = have; r >= 0 && k < (s->spread ? o->n_workers : 1); k++) {
		r = listen_any(o, ports[kind].port);
		if (r >= 0)
			add_socket(s, kind, s->spread ? k : s->home, r);
	}
	if (r >= 0)
		return 0;
	return err_set(o->err, r, "cannot listen on port %u: %s%s", ports[kind].port, strerror(-r),
		       r == -EADDRINUSE ? "; is another meshd, ztunnel or sidecar running here?" : "");
}

static int open_dns(struct opening *o)
{
	struct pod_shared *s = o->shared;
	int fds[2 * PROXY_DNS_MAX], n;
	struct insock in;

	for (int i = 0; i < s->n_sockets; i++)
		if (s->sockets[i].kind == LISTEN_DNS_UDP)
			return 0;
	insock_init(&in, o->conf->mark, false, o->pod->share_ports);    /* the mark also tells capture rules that we live */
	n = pod_dns_bind(o->conf, &in.ops, fds);
	for (int i = 0; i < n; i++)
		add_socket(s, i % 2 ? LISTEN_DNS_TCP : LISTEN_DNS_UDP, s->home, fds[i]);
	return n >= 0 ? 0 : err_set(o->err, n, "cannot listen for DNS on port %u: %s; ISTIO_META_DNS_PROXY_ADDR names another place, "
						   "ISTIO_META_DNS_CAPTURE=false does without", o->conf->dns.at[0].port, strerror(-n));
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

	for (int kind = 0; r == 0 && kind <= LISTEN_HBONE; kind++)
		r = is_wanted(o->conf, o->pod->hbone_only, kind) ? open_kind(o, kind) : 0;
	return r == 0 && is_wanted(o->conf, o->pod->hbone_only, LISTEN_DNS_UDP) ? open_dns(o) : r;
}

static struct pod_shared *shared_new(struct proxy *p, const struct pod_conf *conf)
{
	struct pod_shared *s = xcalloc(1, sizeof(*s));

	has_socks = p->conf.socks;
	atomic_init(&s->refs, 1);
	s->proxy = p;
	s->id = xstrdup(conf->id);
	s->ns = conf->ns ? xstrdup(conf->ns) : NULL;
	s->name = conf->name ? xstrdup(conf->name) : NULL;
	s->service_account = conf->service_account ? xstrdup(conf->service_account) : NULL;
	s->netns = NETNS_OWN;
	s->spread = conf->spread;
	s->hbone_only = conf->hbone_only;
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
