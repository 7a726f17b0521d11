/* SPDX-License-Identifier: Apache-2.0 */
/* A channel over TLS with a certificate of its own, and files that change. */
#include <sys/stat.h>

#include "http/grpc.h"
#include "http/h2.h"
#include "tests/unit/pki.h"
#include "tests/unit/stages.h"
#include "tls/tls.h"

static struct loop *l;
static char dir[64], root_file[96], cert_file[96], key_file[96];
static struct pki ca, other;
static char *ca_pem, *other_pem;
static struct tlsctx *server_ctx;
static ev_io listening;
static uint16_t port;
static int accepted, requests;
static char client_id[256];
static struct grpc *g;

/* ---- a server: mutual TLS by our own stages, every call ends with OK and nothing else ---- */

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_EOF || ev == STAGE_CLOSED)
		stage_done(s, s->fail);
}

static void on_request(struct h2 *h, struct http_stream *s, void *arg)
{
	struct http_field f[] = { { str_c("content-type"), str_c("application/grpc") }, { str_c("grpc-status"), str_c("0") } };

	requests++;
	s->stage.on_event = on_stream;
	stage_want(&s->stage, true);
	http_reply(s, &(struct http_head){ .status = 200, .fields = f, .n_fields = 2, .end = true });
}

static void on_closed(struct h2 *h, enum fail why, void *arg) {}

static const struct h2_ops server_ops = { .on_request = on_request, .on_closed = on_closed };

static void on_tls(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_CLOSED) {
		stage_done(s, s->fail);
	} else if (ev == STAGE_OPEN) {
		snprintf(client_id, sizeof(client_id), "%.*s", STR_FMT(tls_peer_id(s)));
		h2_new(s, true, &h2_conf_tunnels, &server_ops, NULL);
	}
}

static void on_accept(struct ev_loop *ev, ev_io *w, int revents)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK);
	struct stage *tls;

	if (fd < 0)
		return;
	accepted++;
	tls = tls_server(sock_accept(l, fd), server_ctx);
	tls->on_event = on_tls;
}

static void put_file(const char *name, const char *text)
{
	char tmp[128];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", name);
	f = fopen(tmp, "w");
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(rename(tmp, name), 0);
}

static void put_pair(const struct pki *p)
{
	char *cert = pki_pem(p->cert), *key = pki_key_pem(p->key);

	put_file(cert_file, cert);
	put_file(key_file, key);
	free(cert);
	free(key);
}

static void server_open(void)
{
	struct pki leaf = pki_issue(&ca, &(struct pki_spec){ .san = "URI:spiffe://td/ns/istio-system/sa/istiod,IP:127.0.0.1" });
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	char *cert = pki_pem(leaf.cert), *key = pki_key_pem(leaf.key);
	socklen_t len = sizeof(at);
	struct err err;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(tlsctx_new(&(struct tlsctx_conf){ .cert_chain_pem = str_c(cert), .key_pem = str_c(key), .roots_pem = str_c(ca_pem) },
				    &server_ctx, &err), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&at, &len);
	port = ntohs(at.sin_port);
	ev_io_init(&listening, on_accept, fd, EV_READ);
	ev_io_start(l->ev, &listening);
	pki_done(&leaf);
	free(cert);
	free(key);
}

static int private(void *arg, struct grpc_meta *m, struct err *err)
{
	ck_assert(grpc_meta_private(m));
	return 0;
}

static void channel_open(void)
{
	char target[64];
	struct err err;

	snprintf(target, sizeof(target), "https://127.0.0.1:%u", port);
	ck_assert_int_eq(grpc_new(l, &(struct grpc_conf){ .who = "istiod", .target = str_c(target), .roots = str_c(root_file), .cert_file = str_c(cert_file),
							   .key_file = str_c(key_file), .headers = private, .roots_hint = "XDS_ROOT_CA", .name_hint = "ALT_XDS_HOSTNAME" }, &g, &err), 0);
}

static void start(void)
{
	struct pki own;

	l = loop_new(-1);
	snprintf(dir, sizeof(dir), "/tmp/grpc-conn-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(root_file, sizeof(root_file), "%s/root-cert.pem", dir);
	snprintf(cert_file, sizeof(cert_file), "%s/cert-chain.pem", dir);
	snprintf(key_file, sizeof(key_file), "%s/key.pem", dir);
	ca = pki_ca(NULL, "the root");
	other = pki_ca(NULL, "another");
	ca_pem = pki_pem(ca.cert);
	other_pem = pki_pem(other.cert);
	own = pki_issue(&ca, &(struct pki_spec){ .san = "URI:spiffe://td/ns/a/sa/b" });
	put_pair(&own);
	pki_done(&own);
	put_file(root_file, ca_pem);
	accepted = requests = 0;
	client_id[0] = '\0';
	server_open();
	channel_open();
}

static void stop(void)
{
	grpc_free(g);
	turn(l);
	ev_io_stop(l->ev, &listening);
	close(listening.fd);
	loop_free(l);
	tlsctx_unref(server_ctx);
	unlink(root_file);
	unlink(cert_file);
	unlink(key_file);
	rmdir(dir);
	free(ca_pem);
	free(other_pem);
	pki_done(&ca);
	pki_done(&other);
}

static int ends;
static struct grpc_end last;
static char text[1024];

static void on_end(struct grpc_call *c, const struct grpc_end *end, void *arg)
{
	ends++;
	last = *end;
	snprintf(text, sizeof(text), "%.*s", STR_FMT(end->message));
}

static void on_message(struct grpc_call *c, struct str msg, void *arg) {}

static enum grpc_code call(void)
{
	static const struct grpc_call_ops ops = { .on_message = on_message, .on_end = on_end };
	int before = ends;

	ck_assert_ptr_nonnull(grpc_start(g, "/a/b", &ops, NULL, 0));
	for (int i = 0; i < 250 && ends == before; i++)
		turn(l);
	ck_assert_int_eq(ends, before + 1);
	return last.code;
}

/* Until the watch has seen what changed. */
static void wait_for(bool connected)
{
	for (int i = 0; i < 300 && grpc_connected(g) != connected; i++)
		turn(l);
	ck_assert(grpc_connected(g) == connected);
}

START_TEST(own_certificate)
{
	ck_assert_int_eq(call(), GRPC_OK);
	ck_assert_str_eq(client_id, "spiffe://td/ns/a/sa/b");
	ck_assert_int_eq(call(), GRPC_OK);
	ck_assert_int_eq(accepted, 1);
}
END_TEST

/* New roots are for new connections, and only when they can be read. */
START_TEST(roots_change)
{
	ck_assert_int_eq(call(), GRPC_OK);
	put_file(root_file, other_pem);
	wait_for(false);
	ck_assert_int_eq(call(), GRPC_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(text, "not trusted"));
	ck_assert_ptr_nonnull(strstr(text, "XDS_ROOT_CA"));
	put_file(root_file, ca_pem);
	ck_assert_int_eq(call(), GRPC_OK);
	put_file(root_file, "half a fi");
	for (int i = 0; i < 150; i++)
		turn(l);
	ck_assert(grpc_connected(g));
	ck_assert_int_eq(call(), GRPC_OK);
	ck_assert_int_eq(requests, 3);
}
END_TEST

START_TEST(certificate_changes)
{
	struct pki own = pki_issue(&ca, &(struct pki_spec){ .san = "URI:spiffe://td/ns/a/sa/renewed" });

	ck_assert_int_eq(call(), GRPC_OK);
	put_pair(&own);
	wait_for(false);
	ck_assert_int_eq(call(), GRPC_OK);
	ck_assert_str_eq(client_id, "spiffe://td/ns/a/sa/renewed");
	ck_assert_int_eq(accepted, 2);
	pki_done(&own);
}
END_TEST

/* In TLS 1.3 the server refuses only after the client has finished. */
START_TEST(certificate_that_the_server_refuses)
{
	struct pki own = pki_issue(&other, &(struct pki_spec){ .san = "URI:spiffe://td/ns/a/sa/b" });

	put_pair(&own);
	ck_assert_int_eq(call(), GRPC_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(text, "alert"));
	pki_done(&own);
}
END_TEST

START_TEST(files_that_come_late)
{
	unlink(root_file);
	ck_assert_int_eq(call(), GRPC_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(text, root_file));
	put_file(root_file, ca_pem);
	ck_assert_int_eq(call(), GRPC_OK);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("grpc_conn");
	TCase *t = tcase_create("grpc_conn");

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, own_certificate);
	tcase_add_test(t, roots_change);
	tcase_add_test(t, certificate_changes);
	tcase_add_test(t, certificate_that_the_server_refuses);
	tcase_add_test(t, files_that_come_late);
	suite_add_tcase(s, t);
	return suite_run(s);
}
