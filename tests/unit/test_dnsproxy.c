/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy on real sockets in a namespace of its own, with a fake server behind it on 127.0.0.1:53, UDP and TCP. */
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/epoch.h"
#include "dns/dnsproxy.h"
#include "dns/dnsmsg.h"
#include "net/netns.h"

#include "dnsbytes.h"
#include "dnsnet.h"
#include "suite.h"

static struct loop *l;
static struct dnsproxy *p;
static struct dnsproxy_conf conf;
static struct dnsbytes q;
static uint8_t reply[DNSMSG_MAX + 2];
static struct workload *client;

/* ---- the fake server ---- */

static ev_io udp, tcp, conns[256];
static ev_timer tick;
static uint8_t last[DNSMSG_MAX];         /* the last question it got */
static size_t last_n;
static int asked, connected;
static struct {
	bool silent, forge, wrong_id, wrong_name, slow, transfer;
	unsigned rcode;
	size_t pad;                      /* bytes of rubbish behind the question in the reply */
} serve;

static void on_tick(struct ev_loop *ev, ev_timer *w, int revents)
{
}

static size_t serve_reply(const uint8_t *b, size_t n, uint8_t *out)
{
	memcpy(out, b, n);
	out[2] |= 0x80;
	out[3] = (uint8_t)(0xa0 | serve.rcode);      /* RA, AD */
	if (serve.wrong_id)
		out[1]++;
	if (serve.wrong_name)
		out[13] ^= 1;
	for (size_t i = 0; i < serve.pad; i++)
		out[n + i] = (uint8_t)i;
	return n + serve.pad;
}

static void on_udp(struct ev_loop *ev, ev_io *w, int revents)
{
	static uint8_t out[DNSMSG_MAX];
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	ssize_t n = recvfrom(w->fd, last, sizeof(last), 0, (struct sockaddr *)&sa, &len);
	size_t m;

	if (n < 0)
		return;
	asked++;
	last_n = (size_t)n;
	if (serve.silent)
		return;
	m = serve_reply(last, last_n, out);
	if (serve.forge) {
		int fd = dnsnet_bind("127.0.0.1", 5353, SOCK_DGRAM);

		sendto(fd, out, m, 0, (struct sockaddr *)&sa, len);
		close(fd);
		return;
	}
	sendto(w->fd, out, m, 0, (struct sockaddr *)&sa, len);
}

static void on_tcp_data(struct ev_loop *ev, ev_io *w, int revents)
{
	static uint8_t b[DNSMSG_MAX + 2], out[DNSMSG_MAX + 2];
	ssize_t n = recv(w->fd, b, sizeof(b), MSG_PEEK);
	size_t m;

	if (n >= 2 && n < 2 + (b[0] << 8 | b[1]))
		return;
	if (n > 2 && !serve.silent) {
		recv(w->fd, b, (size_t)n, 0);
		asked++;
		last_n = (size_t)n - 2;
		memcpy(last, b + 2, last_n);
		m = serve_reply(last, last_n, out + 2);
		out[0] = (uint8_t)(m >> 8);
		out[1] = (uint8_t)m;
		for (int i = 0; i < (serve.transfer ? 3 : 1); i++)
			ck_assert_int_eq(send(w->fd, out, m + 2, 0), (ssize_t)m + 2);
		if (!serve.transfer)
			return;
	}
	ev_io_stop(ev, w);
	close(w->fd);
}

static void on_tcp(struct ev_loop *ev, ev_io *w, int revents)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ev_io *c = &conns[connected % (int)ARRAY_LEN(conns)];

	if (fd < 0)
		return;
	connected++;
	ev_io_init(c, on_tcp_data, fd, EV_READ);
	ev_io_start(ev, c);
}

/* ---- the mesh, and who asks ---- */

static struct buf told;
static bool unknown;
static bool wanting;

static struct workload *who(void *arg, const struct mesh *m, const struct ip *from)
{
	return unknown ? NULL : mesh_workload_named(m, str_c("shop"), str_c("web"));
}

static void on_question(void *arg, struct str type, bool by_tcp, const struct workload *w)
{
	buf_printf(&told, "%.*s/%s/%s ", STR_FMT(type), by_tcp ? "tcp" : "udp", w ? w->name : "?");
}

static void on_upstream(void *arg, struct str type, bool by_tcp, const struct workload *w, bool answered, uint64_t ns)
{
	buf_printf(&told, "up:%.*s/%s/%s/%s ", STR_FMT(type), by_tcp ? "tcp" : "udp", w ? w->name : "?", answered ? "yes" : "no");
}

static bool want(void *arg, const struct str *keys, int n)
{
	if (!wanting)
		return false;
	buf_printf(&told, "want:%.*s/%d ", STR_FMT(keys[0]), n);
	return true;
}

static void expect_told(const char *text)
{
	buf_append(&told, "", 1);
	ck_assert_str_eq((char *)buf_data(&told), text);
	buf_done(&told);
}

static void put_service(const char *key, const char *vip, int many)
{
	struct mesh_edit *e = mesh_edit_begin();
	struct vip *v = calloc((size_t)many, sizeof(*v));
	char host[200];

	snprintf(host, sizeof(host), "%s", strchr(key, '/') + 1);
	for (int i = 0; i < many; i++) {
		v[i].network = "";
		ck_assert_int_eq(cidr_parse(str_c(vip), &v[i].cidr), 0);
		v[i].cidr.ip.b[14] = (uint8_t)(i >> 8);
		v[i].cidr.ip.b[15] = (uint8_t)(i + 1);
	}
	mesh_put_service(e, service_new(&(struct service){ .key = key, .ns = "shop", .hostname = host, .vips = v, .n_vips = many }));
	mesh_edit_publish(e);
	free(v);
}

static const struct dnsproxy_ops ops = { who, on_question, on_upstream, want };

static void put_client(void)
{
	struct mesh_edit *e = mesh_edit_begin();

	client = workload_new(&(struct workload){ .uid = "Kubernetes//Pod/shop/web", .ns = "shop", .name = "web" });
	mesh_put_workload(e, client);
	mesh_edit_publish(e);
	put_service("shop/cart.shop.svc.cluster.local", "10.96.0.0", 1);
	put_service("shop/big.shop.svc.cluster.local", "10.97.0.0", 60);
	put_service("shop/api.example.com", "10.98.0.0", 1);
}

static void listen_here(void)
{
	static int u[2], t[2];
	struct addr at;

	ck_assert_int_eq(addr_parse(str_c("127.0.0.1:15053"), &at), 0);
	ck_assert_int_eq(dnsproxy_bind(&at, NULL, &u[0], &t[0]), 0);
	ck_assert_int_eq(addr_parse(str_c("[::1]:15053"), &at), 0);
	ck_assert_int_eq(dnsproxy_bind(&at, NULL, &u[1], &t[1]), 0);
	conf = (struct dnsproxy_conf){ .udp = u, .tcp = t, .n_udp = 2, .n_tcp = 2, .netns = NETNS_OWN, .wait_ms = 300, .ipv6 = true, .ops = &ops };
}

static bool begin(void)
{
	if (!dnsnet_enter())
		return false;
	dnsnet_file("/etc/resolv.conf", "nameserver 127.0.0.1\nsearch lan.test\n");
	l = loop_new(-1);
	ev_timer_init(&tick, on_tick, 0.005, 0.005);
	ev_timer_start(l->ev, &tick);
	ev_io_init(&udp, on_udp, dnsnet_bind("127.0.0.1", 53, SOCK_DGRAM), EV_READ);
	ev_io_init(&tcp, on_tcp, dnsnet_bind("127.0.0.1", 53, SOCK_STREAM), EV_READ);
	ev_io_start(l->ev, &udp);
	ev_io_start(l->ev, &tcp);
	put_client();
	listen_here();
	p = dnsproxy_new(l, &conf);
	return true;
}

static void end(void)
{
	dnsproxy_free(p);
	close(udp.fd);
	close(tcp.fd);
	loop_free(l);
	buf_done(&told);
}

/* ---- clients ---- */

static int udp_client(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(15053), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int tcp_client(void)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(15053), .sin6_addr = in6addr_loopback };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void turns(unsigned ms)
{
	uint64_t until = loop_now_ms(l) + ms;

	do
		ev_run(l->ev, EVRUN_ONCE);
	while (loop_now_ms(l) < until);
}

/* What fd has within ms; 0: nothing (or its end). */
static size_t wait_for(int fd, size_t max, unsigned ms)
{
	uint64_t until = loop_now_ms(l) + ms;
	ssize_t n;

	for (;;) {
		n = recv(fd, reply, max, MSG_DONTWAIT);
		if (n > 0)
			return (size_t)n;
		if (n == 0 || errno != EAGAIN || loop_now_ms(l) > until)
			return 0;
		ev_run(l->ev, EVRUN_ONCE);
	}
}

static size_t ask_udp(unsigned ms)
{
	int fd = udp_client();
	size_t n;

	ck_assert_int_eq(send(fd, q.p, q.n, 0), (ssize_t)q.n);
	n = wait_for(fd, sizeof(reply), ms);
	close(fd);
	return n;
}

static void send_framed(int fd, const uint8_t *b, size_t n)
{
	uint8_t head[2] = { (uint8_t)(n >> 8), (uint8_t)n };

	ck_assert_int_eq(send(fd, head, 2, MSG_MORE), 2);
	ck_assert_int_eq(send(fd, b, n, 0), (ssize_t)n);
}

/* One answer, without its length, into reply. */
static size_t read_framed(int fd, unsigned ms)
{
	size_t n = 0, want;

	if (!wait_for(fd, 1, ms))
		return 0;
	want = (size_t)reply[0] << 8;
	ck_assert_uint_eq(wait_for(fd, 1, ms), 1);
	want |= reply[0];
	while (n < want) {
		uint8_t *keep = malloc(n + 1);
		size_t got;

		memcpy(keep, reply, n);
		got = wait_for(fd, want - n, ms);
		ck_assert_uint_gt(got, 0);
		memmove(reply + n, reply, got);
		memcpy(reply, keep, n);
		free(keep);
		n += got;
	}
	return n;
}

static size_t ask_tcp(unsigned ms)
{
	int fd = tcp_client();
	size_t n;

	send_framed(fd, q.p, q.n);
	n = read_framed(fd, ms);
	close(fd);
	return n;
}

static int rcode(void) { return reply[3] & 15; }
static int count(int section) { return reply[4 + 2 * section] << 8 | reply[5 + 2 * section]; }

/* ---- names of the mesh ---- */

START_TEST(mesh_names)
{
	static const struct { const char *name; int type, answers, authorities; } rows[] = {
		{ "cart.shop.svc.cluster.local", DNS_A, 1, 0 }, { "CART.shop", DNS_A, 1, 0 }, { "cart.shop.svc.cluster.local", DNS_AAAA, 0, 1 },
		{ "cart.shop.svc.cluster.local.cluster.local", DNS_A, 2, 0 }, { "cart.shop.svc.cluster.local", DNS_ANY, 1, 0 },
		{ "cart.shop.svc.cluster.local", DNS_HTTPS, 0, 1 }, { "cart.shop.svc.cluster.local", DNS_SVCB, 0, 1 },
		{ "cart.shop.svc.cluster.local", DNS_MX, 0, 1 }, { "cart.shop.svc.cluster.local", DNS_TXT, 0, 1 },
		{ "cart.shop.svc.cluster.local", DNS_SRV, 0, 1 }, { "cart", DNS_TXT, 0, 1 },
		{ "api.example.com", DNS_A, 1, 0 }, { "api.example.com", DNS_AAAA, 0, 1 }, { "api.example.com", DNS_HTTPS, 0, 1 },
	};

	if (!begin())
		return;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int by_tcp = 0; by_tcp < 2; by_tcp++) {
			dnsbytes_question(&q, 1000 + (unsigned)i, rows[i].name, (unsigned)rows[i].type);
			ck_assert_uint_gt(by_tcp ? ask_tcp(1000) : ask_udp(1000), DNSMSG_HEAD);
			ck_assert_int_eq(dnsmsg_id(reply), 1000 + (int)i);
			ck_assert_msg(rcode() == 0 && count(1) == rows[i].answers && count(2) == rows[i].authorities, "%s %d: %d %d %d",
				      rows[i].name, rows[i].type, rcode(), count(1), count(2));
			ck_assert_int_eq(reply[2] & 0x85, 0x85);     /* QR AA RD */
			ck_assert_int_eq(reply[3] & 0x80, 0x80);     /* RA */
			ck_assert_int_eq(memcmp(reply + 12, q.p + 12, q.n - 12), 0);
		}
	}
	ck_assert_int_eq(asked, 0);
	buf_done(&told);
	dnsbytes_question(&q, 1, "cart", DNS_AAAA);
	ask_udp(1000);
	expect_told("AAAA/udp/web ");
	end();
}
END_TEST

START_TEST(truncated)
{
	if (!begin())
		return;
	dnsbytes_question(&q, 1, "big", DNS_A);
	ck_assert_uint_eq(ask_udp(1000), q.n);
	ck_assert_int_eq(reply[2] & 2, 2);
	ck_assert_int_eq(count(1), 0);
	ck_assert_uint_eq(ask_tcp(1000), q.n + 60 * 16);
	ck_assert_int_eq(reply[2] & 2, 0);
	ck_assert_int_eq(count(1), 60);
	dnsbytes_edns(&q, 1232, 0);
	ck_assert_uint_eq(ask_udp(1000), q.n - 7 + 60 * 16);
	ck_assert_int_eq(count(1), 60);
	ck_assert_int_eq(count(3), 1);
	dnsbytes_question(&q, 1, "big", DNS_A);
	dnsbytes_edns(&q, 100, 0);       /* less than 512 counts as 512 */
	ck_assert_uint_eq(ask_udp(1000), q.n - 7);
	ck_assert_int_eq(reply[2] & 2, 2);
	dnsbytes_question(&q, 1, "cart", DNS_A);
	dnsbytes_edns(&q, 1232, 1);
	ck_assert_uint_eq(ask_udp(1000), q.n - 7);
	ck_assert_int_eq(reply[q.n - 7 - 6], 1);
	end();
}
END_TEST

/* ---- handed on ---- */

static void same_bytes(size_t n)
{
	ck_assert_uint_eq(n, q.n + serve.pad);
	ck_assert_int_eq(dnsmsg_id(reply), dnsmsg_id(q.p));
	ck_assert_int_eq(reply[3], 0xa0 | (int)serve.rcode);
	ck_assert_int_eq(memcmp(reply + 4, q.p + 4, q.n - 4), 0);
	ck_assert_uint_eq(last_n, q.n);
	ck_assert_int_eq(memcmp(last + 2, q.p + 2, q.n - 2), 0);
}

START_TEST(others_pass_unchanged)
{
	int different = 0;

	if (!begin())
		return;
	for (int i = 0; i < 20; i++) {
		dnsbytes_question(&q, 7, "wWw.example.org", 64000u + (unsigned)i);
		q.p[3] |= 0x30;                              /* AD CD */
		dnsbytes_edns(&q, 4096, 0);
		serve.pad = i == 5 ? 60000 : i == 6 ? 4000 : 0;
		serve.rcode = i == 7 ? DNS_NXDOMAIN : i == 8 ? DNS_SERVFAIL : i == 9 ? DNS_REFUSED : 0;
		same_bytes(i % 2 ? ask_tcp(2000) : ask_udp(2000));
		different += dnsmsg_id(last) != 7;
		ck_assert_int_eq(asked, i + 1);
	}
	ck_assert_int_ge(different, 18);                     /* the id is our own */
	buf_done(&told);
	serve.pad = serve.rcode = 0;
	dnsbytes_question(&q, 7, "a.example.org", DNS_A);
	ask_tcp(1000);
	expect_told("A/tcp/web up:A/tcp/web/yes ");
	/* trailing bytes, another class, UPDATE with two zones: none of our business */
	memcpy(q.p + q.n, "junk", 4);
	q.n += 4;
	same_bytes(ask_udp(1000));
	dnsbytes_question(&q, 7, "cart.shop.svc.cluster.local", DNS_TXT);
	q.p[q.n - 1] = 3;
	same_bytes(ask_udp(1000));
	dnsbytes_question(&q, 7, "cart.shop.svc.cluster.local", DNS_SOA);
	q.p[2] = DNS_UPDATE << 3;
	q.p[5] = 2;
	same_bytes(ask_udp(1000));
	end();
}
END_TEST

START_TEST(other_types_of_outside_names)
{
	if (!begin())
		return;
	dnsbytes_question(&q, 7, "api.example.com", DNS_MX);
	same_bytes(ask_udp(1000));
	serve.rcode = DNS_NXDOMAIN;                          /* but it exists */
	ck_assert_uint_gt(ask_udp(1000), q.n);
	ck_assert_int_eq(rcode(), 0);
	ck_assert_int_eq(count(1), 0);
	ck_assert_int_eq(count(2), 1);
	end();
}
END_TEST

START_TEST(wrong_replies_do_not_count)
{
	if (!begin())
		return;
	dnsbytes_question(&q, 7, "www.example.org", DNS_A);
	serve.forge = true;
	ck_assert_uint_eq(ask_udp(300), 0);
	serve.forge = false;
	serve.wrong_id = true;
	ck_assert_uint_eq(ask_udp(300), 0);
	serve.wrong_id = false;
	serve.wrong_name = true;
	ck_assert_uint_eq(ask_udp(300), 0);
	ck_assert_uint_eq(ask_tcp(300), 0);
	serve.wrong_name = false;
	same_bytes(ask_udp(300));
	end();
}
END_TEST

START_TEST(servers_that_fail)
{
	uint64_t from;

	if (!begin())
		return;
	dnsbytes_question(&q, 7, "www.example.org", DNS_A);
	dnsbytes_edns(&q, 4096, 0);
	serve.silent = true;
	from = loop_now_ms(l);
	ck_assert_uint_eq(ask_udp(LIMIT_DNS_UPSTREAM_MS + 1000), q.n - 7);
	ck_assert_int_eq(rcode(), DNS_SERVFAIL);
	ck_assert_uint_ge(loop_now_ms(l) - from, LIMIT_DNS_UPSTREAM_MS - 100);
	expect_told("A/udp/web up:A/udp/web/no ");
	/* The first does not listen, the second refuses, the third answers. */
	dnsnet_write("/etc/resolv.conf", "nameserver 127.0.0.9\nnameserver 127.0.0.8\nnameserver 127.0.0.1\n");
	turns(1100);
	serve.silent = false;
	same_bytes(ask_udp(1000));
	same_bytes(ask_tcp(1000));
	serve.rcode = DNS_REFUSED;
	same_bytes(ask_udp(1000));                           /* the last one's word passes */
	serve.rcode = 0;
	dnsnet_write("/etc/resolv.conf", "# none\nnameserver nonsense\n");
	turns(1100);
	ck_assert_uint_eq(ask_udp(1000), q.n - 7);
	ck_assert_int_eq(rcode(), DNS_SERVFAIL);
	end();
}
END_TEST

START_TEST(transfer_by_tcp)
{
	int fd;

	if (!begin())
		return;
	serve.transfer = true;
	serve.pad = 10000;
	dnsbytes_question(&q, 7, "example.org", DNS_AXFR);
	fd = tcp_client();
	send_framed(fd, q.p, q.n);
	for (int i = 0; i < 3; i++)
		same_bytes(read_framed(fd, 2000));
	close(fd);
	end();
}
END_TEST

/* ---- bad input ---- */

START_TEST(nonsense)
{
	static const uint8_t loop[] = "\0\7\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1";

	if (!begin())
		return;
	memcpy(q.p, loop, sizeof(loop) - 1);
	q.n = sizeof(loop) - 1;
	ck_assert_uint_eq(ask_udp(1000), DNSMSG_HEAD);
	ck_assert_int_eq(rcode(), DNS_FORMERR);
	ck_assert_uint_eq(ask_tcp(1000), DNSMSG_HEAD);
	expect_told("/udp/? /tcp/? ");
	q.p[2] = 0x31;                                       /* opcode 6 */
	ck_assert_uint_eq(ask_udp(1000), DNSMSG_HEAD);
	ck_assert_int_eq(memcmp(reply, "\0\7\xb1\x84\0\0\0\0\0\0\0\0", 12), 0);
	q.p[2] = 0x81;                                       /* an answer: gets nothing */
	ck_assert_uint_eq(ask_udp(100), 0);
	q.n = 5;
	ck_assert_uint_eq(ask_udp(100), 0);
	q.n = 0;
	ck_assert_uint_eq(ask_udp(100), 0);
	dnsbytes_question(&q, 1, "cart", DNS_A);
	q.p[11] = 200;                                       /* records that are not there */
	ck_assert_uint_gt(ask_udp(1000), 0);
	ck_assert_int_eq(rcode(), DNS_FORMERR);
	ck_assert_int_eq(asked, 0);
	end();
}
END_TEST

START_TEST(largest_by_tcp)
{
	int fd;

	if (!begin())
		return;
	dnsbytes_question(&q, 7, "www.example.org", DNS_TXT);
	memset(q.p + q.n, 0xff, DNSMSG_MAX - q.n);
	q.n = DNSMSG_MAX;
	same_bytes(ask_tcp(2000));
	q.n = 65000;
	memset(q.p, 0xff, q.n);                              /* an answer of sorts: no reply, the connection goes on */
	fd = tcp_client();
	send_framed(fd, q.p, q.n);
	dnsbytes_question(&q, 7, "cart", DNS_A);
	send_framed(fd, q.p, q.n);
	ck_assert_uint_eq(read_framed(fd, 1000), q.n + 16);
	send_framed(fd, q.p, 5);                             /* cannot be a message */
	ck_assert_uint_eq(read_framed(fd, 1000), 0);
	close(fd);
	end();
}
END_TEST

START_TEST(slow_by_tcp)
{
	uint64_t from;
	int fd, half;

	if (!begin())
		return;
	fd = tcp_client();
	half = tcp_client();
	dnsbytes_question(&q, 7, "cart", DNS_A);
	send_framed(half, q.p, q.n);
	shutdown(half, SHUT_WR);                             /* still gets its answer */
	ck_assert_uint_eq(read_framed(half, 1000), q.n + 16);
	ck_assert_uint_eq(read_framed(half, 1000), 0);
	close(half);
	from = loop_now_ms(l);
	for (size_t i = 0; i < 100 && loop_now_ms(l) - from < LIMIT_DNS_TCP_IDLE_MS + 1000; i++) {
		if (send(fd, &q.p[i % q.n], 1, MSG_NOSIGNAL) < 0)
			break;
		turns(100);
	}
	ck_assert_uint_eq(wait_for(fd, 1, 100), 0);
	ck_assert_uint_lt(loop_now_ms(l) - from, LIMIT_DNS_TCP_IDLE_MS + 500);
	close(fd);
	end();
}
END_TEST

START_TEST(many_by_tcp)
{
	enum { N = LIMIT_DNS_TCP_CLIENTS + 20 };
	static int fds[N];
	int closed = 0;

	if (!begin())
		return;
	for (int i = 0; i < N; i++) {
		fds[i] = tcp_client();
		turns(1);
	}
	dnsbytes_question(&q, 7, "cart", DNS_A);
	turns(20);
	for (int i = 0; i < N; i++)
		closed += recv(fds[i], reply, 1, MSG_DONTWAIT) == 0;
	ck_assert_int_eq(closed, 20);                        /* the idle ones that came first */
	send_framed(fds[N - 1], q.p, q.n);
	ck_assert_uint_eq(read_framed(fds[N - 1], 1000), q.n + 16);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	end();
}
END_TEST

START_TEST(pipelined)
{
	enum { N = 3 * LIMIT_DNS_TCP_PENDING };
	bool seen[N] = { false };
	int fd;

	if (!begin())
		return;
	fd = tcp_client();
	for (unsigned i = 0; i < N; i++) {
		dnsbytes_question(&q, i, i % 3 ? "www.example.org" : "cart", DNS_A);
		send_framed(fd, q.p, q.n);
	}
	for (int i = 0; i < N; i++) {
		ck_assert_uint_gt(read_framed(fd, 2000), DNSMSG_HEAD);
		ck_assert(!seen[dnsmsg_id(reply)]);
		seen[dnsmsg_id(reply)] = true;
	}
	ck_assert_int_eq(asked, N - N / 3);
	close(fd);
	end();
}
END_TEST

/* The client goes while its questions are under way. */
START_TEST(gone_by_tcp)
{
	if (!begin())
		return;
	serve.silent = true;
	for (int i = 0; i < 10; i++) {
		int fd = tcp_client();

		dnsbytes_question(&q, 7, "www.example.org", DNS_A);
		send_framed(fd, q.p, q.n);
		send_framed(fd, q.p, q.n);
		turns(20);
		if (i % 2) {
			struct linger reset = { .l_onoff = 1 };

			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		}
		close(fd);
		turns(20);
	}
	serve.silent = false;
	same_bytes(ask_udp(1000));
	end();
}
END_TEST

START_TEST(too_many_questions)
{
	int fd, refused = 0;

	if (!begin())
		return;
	serve.silent = true;
	fd = udp_client();
	dnsbytes_question(&q, 7, "www.example.org", DNS_A);
	for (int i = 0; i < LIMIT_DNS_PENDING + 50; i++) {
		send(fd, q.p, q.n, 0);
		turns(1);
		if (wait_for(fd, sizeof(reply), 0)) {
			ck_assert_int_eq(rcode(), DNS_SERVFAIL);
			refused++;
		}
	}
	while (wait_for(fd, sizeof(reply), 100))
		refused++;
	ck_assert_int_ge(refused, 40);
	close(fd);
	dnsbytes_question(&q, 7, "cart", DNS_A);
	ck_assert_uint_eq(ask_udp(100), q.n + 16);           /* the mesh's names still work */
	end();
}
END_TEST

/* ---- waiting ---- */

START_TEST(client_not_known)
{
	uint64_t from;
	int fd;

	if (!begin())
		return;
	unknown = true;
	dnsbytes_question(&q, 7, "cart", DNS_A);
	from = loop_now_ms(l);
	ck_assert_uint_eq(ask_udp(2000), q.n);
	ck_assert_int_eq(rcode(), DNS_SERVFAIL);
	ck_assert_uint_ge(loop_now_ms(l) - from, 250);
	expect_told("A/udp/? ");
	fd = udp_client();
	send(fd, q.p, q.n, 0);
	turns(50);
	unknown = false;
	dnsproxy_wake(p);
	ck_assert_uint_eq(wait_for(fd, sizeof(reply), 100), q.n + 16);
	expect_told("A/udp/web ");
	close(fd);
	end();
}
END_TEST

START_TEST(asked_for_on_demand)
{
	int fd;

	if (!begin())
		return;
	wanting = true;
	fd = udp_client();
	dnsbytes_question(&q, 7, "late.shop", DNS_A);
	send(fd, q.p, q.n, 0);
	turns(30);
	expect_told("want:shop/late.shop/3 A/udp/web ");
	dnsproxy_wake(p);
	ck_assert_uint_eq(wait_for(fd, sizeof(reply), 50), 0);
	put_service("shop/late.shop.svc.cluster.local", "10.99.0.0", 1);
	dnsproxy_wake(p);
	ck_assert_uint_eq(wait_for(fd, sizeof(reply), 100), q.n + 16);
	ck_assert_int_eq(asked, 0);
	/* It has none: handed on. */
	dnsbytes_question(&q, 8, "none.shop", DNS_A);
	send(fd, q.p, q.n, 0);
	turns(30);
	wanting = false;
	dnsproxy_wake(p);
	same_bytes(wait_for(fd, sizeof(reply), 500));
	wanting = true;
	/* It does not answer. */
	dnsbytes_question(&q, 8, "mute.shop", DNS_A);
	same_bytes(ask_udp(LIMIT_DNS_DEMAND_MS + 500));
	close(fd);
	end();
}
END_TEST

/* A resolv.conf that names us, and one whose server sends the questions back. */
START_TEST(no_loop)
{
	if (!begin())
		return;
	dnsproxy_free(p);
	close(udp.fd);
	close(tcp.fd);
	ev_io_stop(l->ev, &udp);
	ev_io_stop(l->ev, &tcp);
	udp.fd = tcp.fd = -1;
	for (int redirected = 0; redirected < 2; redirected++) {
		struct addr at;
		static int u, t;

		ck_assert_int_eq(addr_parse(str_c(redirected ? "127.0.0.1:15053" : "127.0.0.1:53"), &at), 0);
		ck_assert_int_eq(dnsproxy_bind(&at, NULL, &u, &t), 0);
		conf.udp = &u;
		conf.tcp = &t;
		conf.n_udp = conf.n_tcp = 1;
		p = dnsproxy_new(l, &conf);
		if (redirected)
			ck_assert_int_eq(shell("nft add table ip t && nft 'add chain ip t o { type nat hook output priority -100; }' && "
					       "nft add rule ip t o udp dport 53 redirect to :15053"), 0);
		dnsbytes_question(&q, 7, "www.example.org", DNS_A);
		if (!redirected) {
			int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
			struct sockaddr_storage sa;
			socklen_t n = addr_to_sockaddr(&at, AF_INET, &sa);

			connect(fd, (struct sockaddr *)&sa, n);
			send(fd, q.p, q.n, 0);
			ck_assert_uint_eq(wait_for(fd, sizeof(reply), 1000), q.n);
			close(fd);
		} else {
			ck_assert_uint_eq(ask_udp(1000), q.n);
		}
		ck_assert_int_eq(rcode(), DNS_SERVFAIL);
		dnsproxy_free(p);
	}
	p = NULL;
	end();
}
END_TEST

/* Bound to [::]: answers come from the address that was asked. */
START_TEST(any_address)
{
	static int u, t;
	struct addr at = { .port = 1053 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1053) };
	int fd;

	if (!begin())
		return;
	ck_assert_int_eq(dnsproxy_bind(&at, NULL, &u, &t), 0);
	conf.udp = &u;
	conf.tcp = &t;
	conf.n_udp = conf.n_tcp = 1;
	dnsproxy_free(p);
	p = dnsproxy_new(l, &conf);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(inet_pton(AF_INET, "127.0.3.3", &to.sin_addr), 1);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	dnsbytes_question(&q, 7, "cart", DNS_A);
	send(fd, q.p, q.n, 0);
	ck_assert_uint_eq(wait_for(fd, sizeof(reply), 500), q.n + 16);
	close(fd);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dnsproxy");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, mesh_names);
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, others_pass_unchanged);
	tcase_add_test(tc, other_types_of_outside_names);
	tcase_add_test(tc, wrong_replies_do_not_count);
	tcase_add_test(tc, servers_that_fail);
	tcase_add_test(tc, transfer_by_tcp);
	tcase_add_test(tc, nonsense);
	tcase_add_test(tc, largest_by_tcp);
	tcase_add_test(tc, slow_by_tcp);
	tcase_add_test(tc, many_by_tcp);
	tcase_add_test(tc, pipelined);
	tcase_add_test(tc, gone_by_tcp);
	tcase_add_test(tc, too_many_questions);
	tcase_add_test(tc, client_not_known);
	tcase_add_test(tc, asked_for_on_demand);
	tcase_add_test(tc, no_loop);
	tcase_add_test(tc, any_address);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
