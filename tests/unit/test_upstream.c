/* SPDX-License-Identifier: Apache-2.0 */
/* How endpoints are reached, against a server that looks at what comes: the source, the PROXY protocol, the names and protocols in a
 * ClientHello, and whom the client believes. */
#include "modes/upstream.h"

#include <stdio.h>

#include "base/log.h"
#include "identity/localca.h"
#include "tests/unit/stages.h"
#include "tls/hello.h"
#include "tls/tls.h"

#define WEB "spiffe://cluster.local/ns/default/sa/web"
#define SHOP "spiffe://cluster.local/ns/default/sa/shop"
#define HOST "shop.default.svc.cluster.local"

static struct {
	char dir[32], roots[64];
	struct identity *identity;
	struct proxy proxy;
	struct pworker worker;
	struct pod_shared shared;
	struct pod pod;
	struct upstream up;
	int listener;
	struct addr at;
	/* what the server saw */
	uint8_t first[4096];
	size_t n_first;
	struct addr peer;
	struct stage *server;
	bool server_open;
	/* and the client */
	struct stage *client;
	bool open, closed;
	enum fail why;
} t;

static void on_identity(struct identity *i, struct str id, struct tlsctx *old, void *arg) {}

static void listen_here(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);

	t.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(t.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(t.listener, 4), 0);
	getsockname(t.listener, (struct sockaddr *)&at, &len);
	ip_parse(str_c("127.0.0.1"), &t.at.ip);
	t.at.port = ntohs(at.sin_port);
}

static void fill_mesh(void)
{
	struct mesh_edit *e = mesh_edit_begin();
	struct ip ip;

	ip_parse(str_c("10.0.0.1"), &ip);
	mesh_put_workload(e, workload_new(&(struct workload){ .uid = "web", .name = "web", .ns = "default", .identity = WEB, .ips = &ip, .n_ips = 1, .healthy = true }));
	mesh_edit_publish(e);
}

static void setup(void)
{
	static const struct keepalive none;
	struct err err;

	memset(&t, 0, sizeof(t));
	log_set_levels(str_c("off"), NULL);
	snprintf(t.dir, sizeof(t.dir), "/tmp/test_upstream.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t.dir));
	ck_assert_int_eq(localca_init(t.dir, NULL, &err), 0);
	snprintf(t.roots, sizeof(t.roots), "%s/root-cert.pem", t.dir);
	t.worker.loop = loop_new(-1);
	ck_assert_int_eq(identity_new(t.worker.loop, &(struct identity_conf){ .ca_dir = t.dir }, &(struct identity_ops){ .on_change = on_identity }, NULL, &t.identity, &err), 0);
	identity_want(t.identity, str_c(WEB), IDENTITY_NOW, &err);
	identity_want(t.identity, str_c(SHOP), IDENTITY_NOW, &err);
	turn(t.worker.loop);
	t.proxy.identity = t.identity;
	t.proxy.conf.mode = MODE_SIDECAR;
	t.worker.proxy = &t.proxy;
	t.shared = (struct pod_shared){ .proxy = &t.proxy, .ns = "default", .name = "web" };
	t.pod.shared = &t.shared;
	t.pod.worker = &t.worker;
	outsock_init(&t.pod.out, 0, &none, NETNS_OWN);
	outsock_init(&t.pod.app, 0, &none, NETNS_OWN);
	fill_mesh();
	listen_here();
	upstream_init(&t.up, &t.pod);
}

static void teardown(void)
{
	char cmd[64];

	stage_done(t.client, FAIL_NONE);
	stage_done(t.server, FAIL_DRAIN);
	turn(t.worker.loop);
	upstream_done(&t.up);
	close(t.listener);
	identity_free(t.identity);
	turn(t.worker.loop);
	loop_free(t.worker.loop);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", t.dir);
	ck_assert_int_eq(system(cmd), 0);
}

static void on_client(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	t.open |= ev == STAGE_OPEN;
	if (ev == STAGE_CLOSED) {
		t.closed = true;
		t.why = s->fail;
	}
}

static void on_server(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	t.server_open |= ev == STAGE_OPEN;
}

/* Takes the connection, looks at its first bytes, and answers as the shop's sidecar when it is TLS. */
static void serve(void)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct tlsctx *ctx;
	ssize_t n;
	int fd;

	for (int i = 0; i < 20 && t.n_first == 0 && !t.closed; i++) {
		turn(t.worker.loop);
		fd = accept4(t.listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK);
		if (fd < 0)
			continue;
		addr_from_sockaddr(&sa, &t.peer);
		turn(t.worker.loop);
		n = recv(fd, t.first, sizeof(t.first), MSG_PEEK);
		t.n_first = n > 0 ? (size_t)n : 0;
		if (t.n_first == 0 || t.first[0] != 0x16) {
			close(fd);
			return;
		}
		ctx = identity_get(t.identity, str_c(SHOP));
		t.server = tls_server(sock_accept(t.worker.loop, fd), ctx);
		tls_set_alpn(t.server, TLS_ALPN_ISTIO_HTTP1);
		tlsctx_unref(ctx);
		t.server->on_event = on_server;
	}
	for (int i = 0; i < 20 && !t.open && !t.closed; i++)
		turn(t.worker.loop);
}

static void reach(struct cluster *c, enum transport transport, struct connect_ask ask)
{
	struct pick p = { .addr = t.at, .transport = transport };

	if (!ask.identity.p)
		ask.identity = str_c(WEB);
	t.client = t.up.connector.connect(&t.up.connector, c, &p, &ask);
	ck_assert_ptr_nonnull(t.client);
	t.client->on_event = on_client;
	serve();
}

static struct cluster_conf conf(void)
{
	return (struct cluster_conf){ .name = "outbound|80|v1|" HOST, .kind = CLUSTER_STATIC, .service = "", .subset = "", .unix_path = "", .port = 80,
				      .pool = { .connect_ms = 5000 }, .tls = { .cert = "", .key = "", .ca = "", .crl = "", .sni = "" } };
}

static const char *const shop_alone[] = { SHOP }, *const others[] = { WEB, "spiffe://cluster.local/ns/default/sa/cart" };

static const struct {
	enum transport transport;
	bool http, h2;
	const char *conf_sni, *ask_sni;
	const char *sni, *alpn;              /* as on the wire */
} hellos[] = {
	{ TRANSPORT_ISTIO_MTLS, false, false, "", "", "outbound_.80_.v1_." HOST, "\23istio-peer-exchange\5istio" },
	{ TRANSPORT_ISTIO_MTLS, true, false, "", "ignored.example", "outbound_.80_.v1_." HOST, "\16istio-http/1.1\5istio\10http/1.1" },
	{ TRANSPORT_ISTIO_MTLS, true, true, "", "", "outbound_.80_.v1_." HOST, "\10istio-h2\5istio\2h2" },
	{ TRANSPORT_ISTIO_MTLS, true, true, "mine.example", "", "mine.example", "\10istio-h2\5istio\2h2" },
	{ TRANSPORT_TLS, true, false, "", "a.example", "a.example", "\10http/1.1" },
	{ TRANSPORT_TLS, true, true, "", "a.example", "a.example", "\2h2" },
	{ TRANSPORT_TLS, false, false, "mine.example", "a.example", "mine.example", NULL },
};

START_TEST(hello)
{
	struct cluster_conf cc = conf();
	struct cluster *c;
	struct hello h;

	cc.tls.sni = hellos[_i].conf_sni;
	cc.tls.mode = hellos[_i].transport == TRANSPORT_TLS ? TLS_SIMPLE : TLS_ISTIO_MUTUAL;
	cc.tls.ca = hellos[_i].transport == TRANSPORT_TLS ? t.roots : "";
	cc.tls.sans = shop_alone;
	cc.tls.n_sans = 1;
	c = cluster_new(&cc, NULL);
	reach(c, hellos[_i].transport, (struct connect_ask){ .http = hellos[_i].http, .h2 = hellos[_i].h2, .sni = str_c(hellos[_i].ask_sni) });
	ck_assert_int_eq(hello_parse(t.first, t.n_first, &h), HELLO_OK);
	ck_assert_str_eq(h.sni, hellos[_i].sni);
	if (hellos[_i].alpn) {
		uint8_t ext[64] = { 0, 16, 0, (uint8_t)(strlen(hellos[_i].alpn) + 2), 0, (uint8_t)strlen(hellos[_i].alpn) };

		memcpy(ext + 6, hellos[_i].alpn, strlen(hellos[_i].alpn));
		ck_assert_ptr_nonnull(memmem(t.first, t.n_first, ext, 6 + strlen(hellos[_i].alpn)));
	}
	if (hellos[_i].transport == TRANSPORT_ISTIO_MTLS) {
		struct addr local;

		ck_assert(t.open && t.server_open);
		ck_assert(str_is(t.up.connector.peer_id(&t.up.connector, t.client), SHOP));
		ck_assert(str_is(tls_peer_id(t.server), WEB));
		ck_assert_int_eq(t.up.connector.codec(&t.up.connector, t.client), !hellos[_i].http ? HTTP_CODEC_AUTO : hellos[_i].h2 ? HTTP_CODEC_H2 : HTTP_CODEC_H1);
		t.up.connector.local(&t.up.connector, t.client, &local);
		ck_assert(addr_eq(&local, &t.peer));
	}
	cluster_unref(c);
}
END_TEST

static const struct {
	const char *const *sans;
	int n;
	const char *identity;
	enum fail why;
} beliefs[] = {
	{ shop_alone, 1, WEB, FAIL_NONE }, { others, 2, WEB, FAIL_WRONG_IDENTITY }, { shop_alone, 1, "", FAIL_IDENTITY },
	{ shop_alone, 1, "spiffe://cluster.local/ns/default/sa/nobody", FAIL_IDENTITY },
};

START_TEST(whom_it_believes)
{
	struct cluster_conf cc = conf();
	struct cluster *c;

	cc.tls.mode = TLS_ISTIO_MUTUAL;
	cc.tls.sans = beliefs[_i].sans;
	cc.tls.n_sans = beliefs[_i].n;
	c = cluster_new(&cc, NULL);
	reach(c, TRANSPORT_ISTIO_MTLS, (struct connect_ask){ .http = true, .identity = str_c(beliefs[_i].identity) });
	ck_assert_int_eq(t.open, beliefs[_i].why == FAIL_NONE);
	ck_assert_int_eq(t.closed, beliefs[_i].why != FAIL_NONE);
	ck_assert_int_eq(t.why, beliefs[_i].why);
	cluster_unref(c);
}
END_TEST

/* A file of roots that is not there is no licence to believe anybody. */
START_TEST(origination_without_its_roots)
{
	struct cluster_conf cc = conf();
	struct cluster *c;

	cc.tls.mode = TLS_SIMPLE;
	cc.tls.ca = "/nonexistent/roots.pem";
	c = cluster_new(&cc, NULL);
	reach(c, TRANSPORT_TLS, (struct connect_ask){ .http = true, .sni = str_c("a.example") });
	ck_assert(t.closed && t.why == FAIL_TLS && t.n_first == 0);
	cluster_unref(c);
}
END_TEST

static const struct {
	const char *source, *want;           /* source: "": not kept */
} sources[] = {
	{ "", "127.0.0.6" }, { "127.0.0.1:4000", "127.0.0.6" }, { "[fd00::1]:4000", "127.0.0.6" },
	{ "127.0.0.9:4000", "127.0.0.6" },   /* this host's, too: it would look like a call of the workload's own; foreign ones are for scenarios */
};

START_TEST(the_applications_client)
{
	struct connect_ask ask = { .http = true };
	struct cluster_conf cc = conf();
	char text[ADDR_TEXT];
	struct cluster *c;

	cc.inbound = true;
	c = cluster_new(&cc, NULL);
	if (*sources[_i].source)
		ck_assert_int_eq(addr_parse(str_c(sources[_i].source), &ask.source), 0);
	reach(c, TRANSPORT_PLAIN, ask);
	ck_assert(t.open);
	ck_assert_str_eq(ip_format(&t.peer.ip, text), sources[_i].want);
	cluster_unref(c);
}
END_TEST

START_TEST(proxy_protocol)
{
	static const char v1[] = "PROXY TCP4 10.0.0.1 10.96.0.7 4000 80\r\n";
	struct connect_ask ask = { .http = true };
	struct cluster_conf cc = conf();
	struct cluster *c;

	cc.pool.proxy_protocol = 1;
	c = cluster_new(&cc, NULL);
	addr_parse(str_c("10.0.0.1:4000"), &ask.client);
	addr_parse(str_c("10.96.0.7:80"), &ask.original);
	reach(c, TRANSPORT_PLAIN, ask);
	ck_assert_uint_eq(t.n_first, strlen(v1));
	ck_assert_mem_eq(t.first, v1, strlen(v1));
	cluster_unref(c);
}
END_TEST

/* A tunnel towards one of our own ports would come back to us, and one to nobody in particular would be believed by nobody. */
START_TEST(tunnels_that_cannot_be)
{
	struct cluster_conf cc = conf();
	struct cluster *c = cluster_new(&cc, NULL);
	uint16_t port = t.at.port;

	t.at.port = PORT_INBOUND;
	reach(c, TRANSPORT_HBONE, (struct connect_ask){ .http = true });
	ck_assert(t.closed && t.why == FAIL_LOOP);
	stage_done(t.client, FAIL_NONE);
	t.closed = false;
	t.at.port = port;
	reach(c, TRANSPORT_HBONE, (struct connect_ask){ .http = true });
	ck_assert(t.closed && t.why == FAIL_IDENTITY && t.n_first == 0);
	cluster_unref(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("upstream");
	TCase *c = tcase_create("upstream");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, hello, 0, (int)ARRAY_LEN(hellos));
	tcase_add_loop_test(c, whom_it_believes, 0, (int)ARRAY_LEN(beliefs));
	tcase_add_test(c, origination_without_its_roots);
	tcase_add_loop_test(c, the_applications_client, 0, (int)ARRAY_LEN(sources));
	tcase_add_test(c, proxy_protocol);
	tcase_add_test(c, tunnels_that_cannot_be);
	suite_add_tcase(s, c);
	return suite_run(s);
}
