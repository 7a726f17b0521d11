/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "dns/dnsproxy_int.h"
#include "dns/nametable.h"
#include "net/sockopt.h"

#define FLOWS        256         /* captured client sockets whose destination is remembered */
#define FLOW_MS      5000        /* less than connection tracking remembers an unanswered datagram (30 s) */
#define ADDRESSES    4096        /* in one answer; more do not fit */
#define KEYS         16

static atomic_int n_all;         /* questions of all proxies that are handed on or wait */

struct dnsproxy_flow {
	struct addr peer, dest;
	uint16_t port;           /* ours */
	uint64_t until_ms;
};

/* A message of a client, where it lies just now. */
struct asked {
	const uint8_t *p;
	size_t n;
	enum dnsmsg_kind kind;
	struct dnsmsg m;
	struct dnsproxy_from from;
};

/* One that cannot be answered at once. */
struct question {
	struct list link;
	struct dnsproxy *proxy;
	struct asked asked;
	struct timer patience;           /* while it waits */
	struct upstream *up;             /* while it is handed on */
	struct workload *client;         /* reference held; NULL: not known yet */
	struct timespec since;
	bool wanted;                     /* the control plane was asked for the name */
	bool in_mesh;                    /* the name exists, whatever the server says */
	bool replied;
	uint8_t p[];
};

enum step { STEP_DONE, STEP_WAIT, STEP_WANT, STEP_FORWARD, STEP_FORWARD_IN_MESH };

/* ---- replies ---- */

static void send_datagram(const struct dnsproxy_from *from, const uint8_t *b, size_t n)
{
	struct sockaddr_storage sa, own;
	int family = ip_is_v4(&from->udp->local.ip) && !from->udp->any ? AF_INET : from->udp->any ? AF_INET6 : 0;
	struct iovec iov = { (void *)b, n };
	union { struct cmsghdr align; char b[CMSG_SPACE(sizeof(struct in6_pktinfo))]; } control = { .b = { 0 } };
	struct msghdr m = { .msg_name = &sa, .msg_iov = &iov, .msg_iovlen = 1 };

	m.msg_namelen = addr_to_sockaddr(&from->peer, family, &sa);
	if (from->udp->any) {
		struct cmsghdr *c = (struct cmsghdr *)&control;
		struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(c);

		addr_to_sockaddr(&from->local, AF_INET6, &own);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(*info));
		info->ipi6_addr = ((struct sockaddr_in6 *)&own)->sin6_addr;
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
	}
	sendmsg(from->udp->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reply(const struct dnsproxy_from *from, const uint8_t *b, size_t n)
{
	if (from->tcp)
		dnsproxy_tcp_reply(from->tcp, b, n);
	else
		send_datagram(from, b, n);
}

static size_t limit_of(const struct asked *a)
{
	if (a->from.tcp)
		return DNSMSG_MAX;
	return a->m.edns && a->m.edns_size > DNSMSG_UDP ? a->m.edns_size : DNSMSG_UDP;
}

static void refuse(const struct asked *a, enum dns_rcode rcode)
{
	struct dnsmsg m = a->m;
	uint8_t b[DNSMSG_UDP];

	if (a->kind == DNSMSG_QUESTION && dnsmsg_parse_edns(a->p, a->n, &m) < 0)
		m.edns = false;
	reply(&a->from, b, dnsmsg_refuse(a->p, a->n, &m, rcode, b, sizeof(b)));
}

/* ---- what is told about it ---- */

static struct str type_of(const struct asked *a, char text[16])
{
	return a->kind == DNSMSG_QUESTION ? dnsmsg_type_name(a->m.type, text) : str_c("");
}

/* For labels of metrics: a client must not be able to make 65536 of them. */
static struct str label_of(const struct asked *a, char text[16])
{
	struct str type = type_of(a, text);

	return str_starts(type, str_c("TYPE")) ? str_c("unknown") : type;
}

static void count_question(struct dnsproxy *p, const struct asked *a, const struct workload *client)
{
	char text[16];

	if (p->conf.ops->on_question)
		p->conf.ops->on_question(p->conf.arg, label_of(a, text), a->from.tcp != NULL, client);
}

static void say(const struct asked *a, const struct workload *client, const char *result, unsigned addresses)
{
	char text[16];
	struct log_field f[] = {
		{ .key = "src.workload", .value = str_c(client ? client->name : "unknown") },
		{ .key = "src.namespace", .value = str_c(client ? client->ns : "unknown") },
		{ .key = "query", .value = type_of(a, text) }, { .key = "domain", .value = str_c(a->m.name) },
		{ .key = "result", .value = str_c(result) }, { .key = "endpoints", .number = addresses },
	};

	if (log_on(LOG_DNS, LOG_DEBUG))
		log_fields(LOG_DNS, LOG_DEBUG, "", f, ARRAY_LEN(f));
}

/* ---- names of the mesh ---- */

static struct nametable_view view_of(const struct dnsproxy *p, const struct mesh *m, const struct workload *client)
{
	return (struct nametable_view){
		.mesh = m, .client = client, .preferred_ns = p->conf.preferred_ns,
		.search = p->conf.search_file ? (const char *const *)p->resolv.search : NULL, .n_search = p->resolv.n_search,
	};
}

/* The zone that a negative answer is about: the cluster's domain where the name lies in it. */
static int zone_labels(const struct mesh *mesh, const struct dnsmsg *m)
{
	const char *domain = mesh_settings(mesh)->cluster_domain;
	size_t n = strlen(m->name), d = strlen(domain);
	int labels = 1;

	if (n <= d || m->name[n - d - 1] != '.' || strcmp(m->name + n - d, domain) != 0)
		return m->labels;
	for (; *domain; domain++)
		labels += *domain == '.';
	return labels;
}

static unsigned put_addresses(struct dnsproxy *p, struct dnswriter *w, const struct asked *a, const struct nametable_view *v,
			      const struct nametable_match *match)
{
	struct ip *ips = (struct ip *)loop_borrow(p->loop);
	uint16_t owner = DNSMSG_HEAD;
	int n = 0;

	if (a->m.type == DNS_A || a->m.type == DNS_ANY)
		n = nametable_addresses(v, match, true, ips, ADDRESSES);
	if (p->conf.ipv6 && (a->m.type == DNS_AAAA || a->m.type == DNS_ANY))
		n += nametable_addresses(v, match, false, ips + n, ADDRESSES);
	if (n > 0 && match->stripped > 0)
		owner = dnswriter_cname(w, &a->m, LIMIT_DNS_TTL_S, match->stripped);
	for (int i = 0; i < n; i++)
		dnswriter_address(w, owner, LIMIT_DNS_TTL_S, &ips[i]);
	loop_return(p->loop);
	return (unsigned)n;
}

/* match NULL: the name exists, but we know nothing of this type. */
static void answer(struct dnsproxy *p, struct asked *a, const struct nametable_view *v, const struct nametable_match *match)
{
	struct dnsmsg *m = &a->m;
	struct dnswriter w;
	unsigned n = 0;
	uint8_t *b;

	if (!m->edns && dnsmsg_parse_edns(a->p, a->n, m) < 0) {
		m->edns = false;
		refuse(a, DNS_FORMERR);
		return;
	}
	b = loop_borrow(p->loop);
	dnswriter_init(&w, b, DNSMSG_MAX, a->p, a->n, m, DNS_NOERROR, true);
	if (m->edns_version == 0) {
		n = match ? put_addresses(p, &w, a, v, match) : 0;
		if (n == 0)
			dnswriter_soa(&w, m, LIMIT_DNS_TTL_S, zone_labels(v->mesh, m));
	}
	reply(&a->from, b, dnswriter_done(&w, m, limit_of(a)));
	loop_return(p->loop);
	say(a, v->client, n ? "success" : "no records", n);
}

/* An address, or where to find one: what only the mesh may say of a name that it has. */
static bool leads_there(uint16_t type)
{
	return type == DNS_A || type == DNS_AAAA || type == DNS_ANY || type == DNS_HTTPS || type == DNS_SVCB;
}

struct keys {
	struct str v[KEYS];
	char text[KEYS][2 * DNSMSG_NAME];
	int n;
};

static void add_key(void *arg, struct str key)
{
	struct keys *k = arg;

	if (k->n == KEYS || key.n >= sizeof(k->text[0]))
		return;
	for (int i = 0; i < k->n; i++)
		if (str_eq(k->v[i], key))
			return;
	memcpy(k->text[k->n], key.p, key.n);
	k->v[k->n] = (struct str){ k->text[k->n], key.n };
	k->n++;
}

/* True: the control plane may have the name, and has not answered yet. */
static bool wanted(struct dnsproxy *p, const struct nametable_view *v, const struct asked *a)
{
	struct keys k = { .n = 0 };

	if (!p->conf.ops->want || !leads_there(a->m.type))
		return false;
	nametable_keys(v, a->m.name, add_key, &k);
	return k.n > 0 && p->conf.ops->want(p->conf.arg, k.v, k.n);
}

/* Answers if it can. *client: who asks, borrowed from the mesh. */
static enum step judge(struct dnsproxy *p, struct asked *a, struct workload **client)
{
	const struct mesh *mesh = mesh_current();
	struct workload *w = p->conf.ops->client(p->conf.arg, mesh, &a->from.peer.ip);
	struct nametable_view v;
	struct nametable_match match;

	*client = w;
	if (!w)
		return STEP_WAIT;
	if (a->kind != DNSMSG_QUESTION || (a->m.class != DNS_IN && a->m.class != DNS_CLASS_ANY) || !a->m.plain)
		return STEP_FORWARD;
	if (p->conf.search_file)
		resolvconf_refresh(&p->resolv, loop_now_ms(p->loop));
	v = view_of(p, mesh, w);
	if (!nametable_find(&v, a->m.name, &match))
		return wanted(p, &v, a) ? STEP_WANT : STEP_FORWARD;
	if (!leads_there(a->m.type) && !match.cluster)
		return STEP_FORWARD_IN_MESH;
	answer(p, a, &v, &match);
	return STEP_DONE;
}

/* ---- where it was meant to go ---- */

static bool is_own(const struct dnsproxy *p, const struct addr *a)
{
	for (int i = 0; i < p->n_own; i++)
		if (a->port == p->own[i].port && (ip_eq(&a->ip, &p->own[i].ip) || (ip_is_any(&p->own[i].ip) && ip_is_loopback(&a->ip))))
			return true;
	return false;
}

static void conntrack_failed(int r)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&told))
		log_warn(LOG_DNS, "cannot see which server captured DNS questions were meant for: %s; they go to those of resolv.conf%s "
			 "(said once)", strerror(-r), r == -EPERM ? "; run with CAP_NET_ADMIN" : "");
}

/* Of a datagram: false when nobody redirected it. */
static bool captured_datagram(struct dnsproxy *p, const struct dnsproxy_from *from, struct addr *ret)
{
	uint64_t now = loop_now_ms(p->loop);
	struct dnsproxy_flow *f;
	int r;

	if (!p->flows)
		p->flows = xcalloc(FLOWS, sizeof(*p->flows));
	f = &p->flows[hash_bytes(&from->peer, sizeof(from->peer)) % FLOWS];
	if (f->until_ms <= now || !addr_eq(&f->peer, &from->peer) || f->port != from->local.port) {
		r = conntrack_original(&p->conntrack, IPPROTO_UDP, &from->peer, &from->local, ret);
		if (r < 0 && r != -ENOENT)
			conntrack_failed(r);
		if (r < 0)
			return false;
		*f = (struct dnsproxy_flow){ .peer = from->peer, .dest = *ret, .port = from->local.port };
	}
	f->until_ms = now + FLOW_MS;
	*ret = f->dest;
	return true;
}

static void no_servers(struct dnsproxy *p)
{
	static atomic_ullong told_ms;
	uint64_t now = loop_now_ms(p->loop), last = atomic_load(&told_ms);

	if (last && now - last < 60000)
		return;
	atomic_store(&told_ms, now);
	log_warn(LOG_DNS, "%s names no server that could be asked: names outside the mesh are not found", p->resolv.path);
}

static int servers_for(struct dnsproxy *p, const struct dnsproxy_from *from, struct addr ret[UPSTREAM_SERVERS])
{
	int n = 0;

	if (from->tcp ? from->tcp->captured : captured_datagram(p, from, &ret[0])) {
		if (from->tcp)
			ret[0] = from->tcp->dest;
		return !is_own(p, &ret[0]);
	}
	resolvconf_refresh(&p->resolv, loop_now_ms(p->loop));
	for (int i = 0; i < p->resolv.n_servers; i++)
		if (!is_own(p, &p->resolv.servers[i]))
			ret[n++] = p->resolv.servers[i];
	if (n == 0)
		no_servers(p);
	return n;
}

/* ---- questions that take time ---- */

static void question_drop(struct question *q)
{
	struct dnsproxy_tcp *tcp = q->asked.from.tcp;

	upstream_cancel(q->up);
	timer_stop(&q->patience);
	list_del(&q->link);
	q->proxy->n_questions--;
	atomic_fetch_sub_explicit(&n_all, 1, memory_order_relaxed);
	workload_unref(q->client);
	free(q);
	if (tcp)
		dnsproxy_tcp_done(tcp);
}

void dnsproxy_drop_of(struct dnsproxy *p, const struct dnsproxy_tcp *c)
{
	list_each_safe(at, next, &p->questions) {
		struct question *q = container_of(at, struct question, link);

		if (q->asked.from.tcp == c)
			question_drop(q);
	}
}

static uint64_t elapsed_ns(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)(now.tv_sec - since->tv_sec) * 1000000000u + (uint64_t)now.tv_nsec - (uint64_t)since->tv_nsec;
}

static void count_upstream(const struct question *q, bool answered)
{
	const struct dnsproxy_conf *c = &q->proxy->conf;
	char text[16];

	if (c->ops->on_upstream)
		c->ops->on_upstream(c->arg, label_of(&q->asked, text), q->asked.from.tcp != NULL, q->client, answered, elapsed_ns(&q->since));
}

/* The name is the mesh's: that nobody else knows it does not mean that it does not exist. */
static bool denies_existence(const struct question *q, const uint8_t *b, size_t n)
{
	return q->in_mesh && !q->replied && (n < DNSMSG_HEAD || (b[3] & 15) != DNS_NOERROR);
}

static void on_reply(void *arg, const uint8_t *b, size_t n, bool last)
{
	struct question *q = arg;
	struct nametable_view v = view_of(q->proxy, mesh_current(), q->client);

	if (last)
		q->up = NULL;
	if (!q->replied || n == 0)
		count_upstream(q, n > 0);
	if (denies_existence(q, b, n)) {
		answer(q->proxy, &q->asked, &v, NULL);
	} else if (n > 0) {
		reply(&q->asked.from, b, n);
		if (!q->replied)
			say(&q->asked, q->client, "forwarded", (unsigned)b[6] << 8 | b[7]);
	} else if (!q->replied) {
		refuse(&q->asked, DNS_SERVFAIL);
		say(&q->asked, q->client, "forwarding failed (no server answered)", 0);
	}
	q->replied = true;
	if (last)
		question_drop(q);
}

static void forward(struct question *q)
{
	struct dnsproxy *p = q->proxy;
	struct addr servers[UPSTREAM_SERVERS];
	int n = servers_for(p, &q->asked.from, servers);

	timer_stop(&q->patience);
	clock_gettime(CLOCK_MONOTONIC, &q->since);
	if (n > 0)
		q->up = upstream_ask(&p->up, q->asked.p, q->asked.n, q->asked.from.tcp != NULL, servers, n, on_reply, q);
	if (!q->up)
		on_reply(q, NULL, 0, true);
}

static void consider(struct question *q, bool late);

static void on_patience(struct timer *t)
{
	consider(container_of(t, struct question, patience), true);
}

static struct question *question_keep(struct dnsproxy *p, const struct asked *a)
{
	struct question *q;

	if (p->n_questions >= LIMIT_DNS_PENDING || atomic_load_explicit(&n_all, memory_order_relaxed) >= LIMIT_DNS_PENDING_ALL)
		return NULL;
	q = malloc(sizeof(*q) + a->n);
	if (!q)
		return NULL;
	*q = (struct question){ .proxy = p, .asked = *a };
	memcpy(q->p, a->p, a->n);
	q->asked.p = q->p;
	timer_init(&q->patience, p->loop, on_patience);
	list_add_tail(&p->questions, &q->link);
	p->n_questions++;
	atomic_fetch_add_explicit(&n_all, 1, memory_order_relaxed);
	return q;
}

static void await_name(struct question *q)
{
	if (!q->wanted)
		timer_start(&q->patience, LIMIT_DNS_DEMAND_MS);
	q->wanted = true;
}

/* late: it has waited long enough. */
static void consider(struct question *q, bool late)
{
	struct dnsproxy *p = q->proxy;
	struct workload *client;
	enum step step = judge(p, &q->asked, &client);

	if (!q->client && client) {
		q->client = workload_ref(client);
		count_question(p, &q->asked, client);
	}
	switch (step) {
	case STEP_DONE:
		question_drop(q);
		return;
	case STEP_WAIT:
		if (!late) {
			if (!timer_armed(&q->patience))
				timer_start(&q->patience, p->conf.wait_ms);
			return;
		}
		count_question(p, &q->asked, NULL);
		say(&q->asked, NULL, "unknown source", 0);
		refuse(&q->asked, DNS_SERVFAIL);
		question_drop(q);
		return;
	case STEP_WANT:
		if (late && q->wanted)
			break;
		await_name(q);
		return;
	case STEP_FORWARD_IN_MESH:
		q->in_mesh = true;
		break;
	case STEP_FORWARD:
		break;
	}
	forward(q);
}

/* ---- arrivals ---- */

/* A question of ours that came back to us: capture does not know our mark, or a server sends it here. */
static bool is_ours(const struct dnsproxy *p, const struct addr *peer)
{
	list_each(at, &p->questions) {
		const struct question *q = container_of(at, struct question, link);

		if (q->up && upstream_is_at(q->up, peer))
			return true;
	}
	return false;
}

static void loops(void)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&told))
		log_warn(LOG_DNS, "our own DNS questions come back to us: the capture rules do not exempt packets with the mark 0x539, or "
			 "we may not set it (CAP_NET_ADMIN); they are refused (said once)");
}

void dnsproxy_take(struct dnsproxy *p, const struct dnsproxy_from *from, const uint8_t *b, size_t n)
{
	struct asked a = { .p = b, .n = n, .from = *from };
	struct workload *client = NULL;
	enum step step;
	struct question *q;

	a.kind = dnsmsg_parse(b, n, &a.m);
	if (a.kind == DNSMSG_MALFORMED || a.kind == DNSMSG_UNKNOWN) {
		count_question(p, &a, NULL);
		refuse(&a, a.kind == DNSMSG_UNKNOWN ? DNS_NOTIMP : DNS_FORMERR);
	} else if (a.kind != DNSMSG_NONE && p->n_questions && is_ours(p, &from->peer)) {
		loops();
		refuse(&a, DNS_SERVFAIL);
	} else if (a.kind != DNSMSG_NONE) {
		step = judge(p, &a, &client);
		if (client)
			count_question(p, &a, client);
		q = step == STEP_DONE ? NULL : question_keep(p, &a);
		if (q) {
			q->client = client ? workload_ref(client) : NULL;
			q->in_mesh = step == STEP_FORWARD_IN_MESH;
			if (step == STEP_WAIT && p->conf.wait_ms)
				timer_start(&q->patience, p->conf.wait_ms);
			else if (step == STEP_WAIT)
				consider(q, true);
			else if (step == STEP_WANT)
				await_name(q);
			else
				forward(q);
			return;                  /* dnsproxy_tcp_done comes with its end */
		}
		if (step != STEP_DONE) {
			say(&a, client, "too many questions at once", 0);
			refuse(&a, DNS_SERVFAIL);
		}
	}
	if (from->tcp)
		dnsproxy_tcp_done(from->tcp);
}

/* The address of ours that was asked. */
static void take_local(struct msghdr *m, struct addr *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
		struct sockaddr_storage s = { 0 };
		struct addr a;

		if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
			continue;
		sa.sin6_addr = ((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr;
		memcpy(&s, &sa, sizeof(sa));
		addr_from_sockaddr(&s, &a);
		ret->ip = a.ip;
	}
}

static void on_datagram(struct ev_loop *ev, ev_io *w, int revents)
{
	struct dnsproxy_udp *u = container_of(w, struct dnsproxy_udp, io);
	struct loop *l = u->proxy->loop;
	uint8_t *b;

	if (!share_begin(u->proxy->conf.share))
		return;
	b = loop_borrow(l);
	for (int i = 0; i < LIMIT_DNS_TURN; i++) {
		union { struct cmsghdr align; char b[256]; } control;
		struct sockaddr_storage sa;
		struct iovec iov = { b, DNSMSG_MAX };
		struct msghdr m = { .msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = &iov, .msg_iovlen = 1,
				    .msg_control = &control, .msg_controllen = sizeof(control) };
		struct dnsproxy_from from = { .udp = u, .local = u->local };
		ssize_t n = recvmsg(u->fd, &m, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			continue;                /* an ICMP error of an earlier answer */
		addr_from_sockaddr(&sa, &from.peer);
		if (u->any)
			take_local(&m, &from.local);
		dnsproxy_take(u->proxy, &from, b, (size_t)n);
	}
	loop_return(l);
	share_end(u->proxy->conf.share);
}

/* A message to ourselves that is no question. */
static void on_pulse(struct timer *t)
{
	static const uint8_t nothing[DNSMSG_HEAD] = { [2] = 0x80 };
	struct dnsproxy *p = container_of(t, struct dnsproxy, pulse);

	for (int i = 0; i < p->conf.n_udp && i < DNSPROXY_SOCKETS; i++)
		send_datagram(&(struct dnsproxy_from){ .udp = &p->udp[i], .peer = p->udp[i].local, .local = p->udp[i].local }, nothing,
			      sizeof(nothing));
	timer_start(t, NET_PULSE_MS);
}

/* ---- life ---- */

int dnsproxy_bind(const struct addr *at, const struct sock_ops *ops, int *udp, int *tcp)
{
	struct sockaddr_storage sa;
	socklen_t n = addr_to_sockaddr(at, 0, &sa);
	int off = 0, on = 1, r = 0, t, u = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (u < 0)
		return -errno;
	if (ops && ops->prepare)
		r = ops->prepare(u, sa.ss_family, ops, NULL);
	if (r == 0 && sa.ss_family == AF_INET6 && ip_is_any(&at->ip) &&
	    (setsockopt(u, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 || setsockopt(u, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0))
		r = -errno;
	if (r == 0 && bind(u, (struct sockaddr *)&sa, n) < 0)
		r = -errno;
	t = r == 0 ? sock_listen(at, ops) : r;
	if (t < 0) {
		close(u);
		return t;
	}
	*udp = u;
	*tcp = t;
	return 0;
}

static struct addr local_of(int fd)
{
	struct sockaddr_storage sa = { 0 };
	struct addr a = { .port = 0 };
	socklen_t n = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &n) == 0)
		addr_from_sockaddr(&sa, &a);
	return a;
}

struct dnsproxy *dnsproxy_new(struct loop *l, const struct dnsproxy_conf *conf)
{
	struct dnsproxy *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->conf = *conf;
	p->up = (struct upstream_conf){ .loop = l, .ops = conf->out, .netns = conf->netns };
	list_init(&p->questions);
	list_init(&p->clients);
	resolvconf_init(&p->resolv, conf->resolv_conf);
	conntrack_init(&p->conntrack, conf->netns);
	for (int i = 0; i < conf->n_udp && i < DNSPROXY_SOCKETS; i++) {
		struct dnsproxy_udp *u = &p->udp[i];

		*u = (struct dnsproxy_udp){ .proxy = p, .fd = conf->udp[i], .local = local_of(conf->udp[i]) };
		u->any = ip_is_any(&u->local.ip) && !ip_is_v4(&u->local.ip);
		p->own[p->n_own++] = u->local;
		ev_io_init(&u->io, on_datagram, u->fd, EV_READ);
		ev_io_start(l->ev, &u->io);
	}
	for (int i = 0; i < conf->n_tcp && i < DNSPROXY_SOCKETS; i++) {
		p->own[p->n_own++] = local_of(conf->tcp[i]);
		p->tcp[i] = listener_new(l, conf->tcp[i], conf->share, dnsproxy_tcp_accept, p);
	}
	timer_init(&p->pulse, l, on_pulse);
	if (conf->pulse)
		on_pulse(&p->pulse);
	return p;
}

void dnsproxy_free(struct dnsproxy *p)
{
	if (!p)
		return;
	while (!list_empty(&p->clients))
		dnsproxy_tcp_close(container_of(p->clients.next, struct dnsproxy_tcp, link));
	while (!list_empty(&p->questions))
		question_drop(container_of(p->questions.next, struct question, link));
	for (int i = 0; i < p->conf.n_udp && i < DNSPROXY_SOCKETS; i++) {
		ev_io_stop(p->loop->ev, &p->udp[i].io);
		close(p->udp[i].fd);
	}
	timer_stop(&p->pulse);
	for (int i = 0; i < DNSPROXY_SOCKETS; i++)
		listener_free(p->tcp[i]);
	resolvconf_done(&p->resolv);
	conntrack_done(&p->conntrack);
	free(p->flows);
	free(p);
}

void dnsproxy_wake(struct dnsproxy *p)
{
	list_each_safe(at, next, &p->questions) {
		struct question *q = container_of(at, struct question, link);

		if (!q->up)
			consider(q, false);
	}
}
