/* SPDX-License-Identifier: Apache-2.0 */
#include "src/probes.h"

#include <errno.h>
#include <stdlib.h>

#include "http/grpc.h"
#include "http/h1post.h"
#include "net/netns.h"
#include "net/sockopt.h"
#include "source/yaml.h"
#include "tls/webctx.h"

#define TIMEOUT_S      1             /* the kubelet's */
#define TIMEOUT_MAX_S  3600
#define SERVICE_MAX    127           /* of a name that is asked for by gRPC */
#define HEADERS_MAX    16
#define FIELDS_MAX     48

enum probe_kind { PROBE_HTTP, PROBE_TCP, PROBE_GRPC };

struct probe {
	const char *path;                /* "/app-health/NAME/livez"; all texts are the arena's */
	enum probe_kind kind;
	const char *url, *host;          /* HTTP: its path; the Host header, "" */
	const char *service;             /* GRPC; "" */
	struct http_field header[HEADERS_MAX];
	int n_headers;
	uint16_t port;
	unsigned timeout_ms;
	bool tls;
};

struct probes {
	struct loop *loop;
	struct arena mem, parsed;
	struct probe *v;                 /* the arena's */
	int n;
	struct outsock out;
	struct sock_ops ops;             /* those, from 127.0.0.6 or ::6 */
	struct tlsctx *ctx;              /* of HTTPS: believes anybody, as the kubelet does */
	struct list asking;              /* struct asking */
	struct err err;                  /* while they are read */
};

/* One that is under way. */
struct asking {
	struct list link;
	struct h1server_request *rq;
	struct h1post *http;
	struct dial *tcp;
	struct grpc *grpc;
	char *host;                      /* owned */
	struct str name;                 /* what TLS asks for */
	struct deferred grave;
	struct timer deadline;
	struct loop *loop;
};

/* ---- the configuration ---- */

static const char *text_of(struct probes *p, const struct yaml_node *map, const char *key, const char *otherwise)
{
	const struct yaml_node *n = yaml_get(map, key);

	return n && n->kind == YAML_SCALAR && !yaml_is_null(n) ? arena_dup(&p->mem, n->text) : otherwise;
}

static uint64_t number_of(const struct yaml_node *map, const char *key, uint64_t otherwise)
{
	const struct yaml_node *n = yaml_get(map, key);
	uint64_t v;

	return n && n->kind == YAML_SCALAR && str_to_u64(n->text, &v) ? v : otherwise;
}

static void read_headers(struct probes *p, const struct yaml_node *list, struct probe *b)
{
	for (const struct yaml_node *n = list ? list->child : NULL; n; n = n->next) {
		const char *name = text_of(p, n, "name", ""), *value = text_of(p, n, "value", "");

		if (str_eq_nocase(str_c(name), str_c("host")))
			b->host = value;
		else if (*name && b->n_headers < HEADERS_MAX)
			b->header[b->n_headers++] = (struct http_field){ str_c(name), str_c(value) };
	}
}

static int read_probe(struct probes *p, const struct yaml_node *n, struct err *err)
{
	const struct yaml_node *http = yaml_get(n, "httpGet"), *tcp = yaml_get(n, "tcpSocket"), *grpc = yaml_get(n, "grpc");
	const struct yaml_node *of = http ? http : tcp ? tcp : grpc;
	struct probe b = { .path = arena_dup(&p->mem, n->key), .kind = http ? PROBE_HTTP : tcp ? PROBE_TCP : PROBE_GRPC, .host = "" };
	uint64_t port = number_of(of, "port", 0), timeout_s;

	if (!of || port == 0 || port > 65535)
		return err_set(err, -EINVAL, "ISTIO_KUBE_APP_PROBERS: %s: want httpGet, tcpSocket or grpc with a port by number", b.path);
	b.port = (uint16_t)port;
	timeout_s = number_of(n, "timeoutSeconds", TIMEOUT_S);
	b.timeout_ms = (unsigned)(timeout_s == 0 ? TIMEOUT_S : timeout_s < TIMEOUT_MAX_S ? timeout_s : TIMEOUT_MAX_S) * 1000;
	b.service = text_of(p, grpc, "service", "");
	if (strlen(b.service) > SERVICE_MAX)
		return err_set(err, -EINVAL, "ISTIO_KUBE_APP_PROBERS: %s: the service's name has more than %d bytes", b.path, SERVICE_MAX);
	b.url = text_of(p, http, "path", "/");
	if (*b.url != '/') {
		char *slash = xasprintf("/%s", b.url);

		b.url = arena_dup(&p->mem, str_c(slash));
		free(slash);
	}
	b.tls = http && str_eq_nocase(str_c(text_of(p, http, "scheme", "HTTP")), str_c("HTTPS"));
	read_headers(p, yaml_get(http, "httpHeaders"), &b);
	p->v[p->n++] = b;
	return 0;
}

static int read_all(const struct yaml_node *root, void *arg)
{
	struct probes *p = arg;
	int r = 0;

	if (root->kind != YAML_MAP || p->v)
		return err_set(&p->err, -EINVAL, "ISTIO_KUBE_APP_PROBERS: want one object of probes");
	p->v = arena_alloc(&p->mem, root->n * sizeof(*p->v));
	for (const struct yaml_node *n = root->child; n && r == 0; n = n->next)
		r = read_probe(p, n, &p->err);
	return r;
}

/* Between socket and connect: from where capture takes nothing. */
static int prepare(int fd, int family, const struct sock_ops *ops, const struct addr *source)
{
	const struct probes *p = container_of(ops, const struct probes, ops);
	struct addr from = { .port = 0 };

	ip_parse(str_c(family == AF_INET ? "127.0.0.6" : "::6"), &from.ip);
	return p->out.ops.prepare(fd, family, &p->out.ops, &from);
}

int probes_new(struct loop *l, const char *json, unsigned mark, struct probes **ret, struct err *err)
{
	static const struct keepalive none;
	struct probes *p = xcalloc(1, sizeof(*p));
	int r = webctx_new(&(struct webctx_conf){ .roots = str_c("SYSTEM"), .http1 = true, .insecure = true }, &p->ctx, err);

	p->loop = l;
	list_init(&p->asking);
	outsock_init(&p->out, mark, &none, NETNS_OWN);
	p->out.own_source = true;
	p->ops = (struct sock_ops){ .prepare = prepare };
	if (r == 0)
		r = yaml_read_text("ISTIO_KUBE_APP_PROBERS", str_c(json), &p->parsed, read_all, p, err);
	arena_done(&p->parsed);
	if (r == 0) {
		*ret = p;
		return 0;
	}
	if (p->err.msg[0])
		err_set(err, r, "%s", p->err.msg);
	probes_free(p);
	return r;
}

/* ---- asking ---- */

static void bury(struct deferred *d)
{
	struct asking *a = container_of(d, struct asking, grave);

	free(a->host);
	free(a);
}

static void end(struct asking *a)
{
	list_del(&a->link);
	timer_stop(&a->deadline);
	h1post_cancel(a->http);
	dial_cancel(a->tcp);
	grpc_free(a->grpc);
	a->grave.run = bury;
	loop_bury(a->loop, &a->grave);
}

static void on_gone(void *arg)
{
	end(arg);
}

static void fail(struct asking *a, const char *why)
{
	struct h1server_request *rq = a->rq;

	end(a);
	h1server_reply_text(rq, 500, "%s\n", why);
}

static void on_deadline(struct timer *t)
{
	fail(container_of(t, struct asking, deadline), "the application did not answer in time");
}

static void on_http(void *arg, const struct h1post_reply *reply)
{
	struct asking *a = arg;
	struct h1server_request *rq = a->rq;
	struct buf body = { 0 };

	a->http = NULL;
	if (!reply->status) {
		fail(a, reply->error);
		return;
	}
	buf_append(&body, reply->body.p, reply->body.n);
	end(a);
	h1server_reply(rq, reply->status, "text/plain; charset=utf-8", &body);
}

static void on_tcp(void *arg, struct stage *top, const struct addr *at, const char *error)
{
	struct asking *a = arg;
	struct h1server_request *rq = a->rq;

	a->tcp = NULL;
	if (!top) {
		fail(a, error);
		return;
	}
	stage_done(top, FAIL_NONE);
	end(a);
	h1server_reply_text(rq, 200, "open\n");
}

/* grpc.health.v1: HealthCheckResponse.status is field 1; 1 is SERVING. */
static void on_grpc(const struct grpc_end *e, struct str reply, void *arg)
{
	struct asking *a = arg;
	struct h1server_request *rq = a->rq;

	if (e->code != GRPC_OK || !str_eq(reply, (struct str){ "\x08\x01", 2 })) {
		fail(a, e->code != GRPC_OK ? "the health check failed" : "the application says that it is not serving");
		return;
	}
	end(a);
	h1server_reply_text(rq, 200, "serving\n");
}

static bool is_hop(struct str name)
{
	static const char *const hops[] = { "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect",
					    "proxy-connection", "accept-encoding" };

	for (size_t i = 0; i < ARRAY_LEN(hops); i++)
		if (str_eq_nocase(name, str_c(hops[i])))
			return true;
	return false;
}

static void ask_http(struct probes *p, struct asking *a, const struct probe *b, struct dial_conf *dial)
{
	struct http_field f[FIELDS_MAX];
	const struct http_field *sent;
	int n = 0, n_sent = h1server_headers(a->rq, &sent);
	struct str host = str_c(*b->host ? b->host : a->host);

	for (int i = 0; i < b->n_headers; i++)
		f[n++] = b->header[i];
	for (int i = 0; i < n_sent && n < FIELDS_MAX; i++)
		if (!is_hop(sent[i].name) && !str_eq_nocase(sent[i].name, str_c("host")))
			f[n++] = sent[i];
	a->name = host;
	if (b->tls) {
		dial->ctx = p->ctx;
		dial->names = &a->name;
		dial->n_names = 1;
	}
	a->http = h1post_start(p->loop, &(struct h1post_conf){ .dial = dial, .authority = host, .path = str_c(b->url), .fields = f, .n_fields = n,
							       .deadline_ms = b->timeout_ms, .get = true }, on_http, a);
	if (!a->http)
		fail(a, "out of memory");
}

static void ask_grpc(struct probes *p, struct asking *a, const struct probe *b)
{
	char *target = xasprintf("http://%s%s%s:%u", strchr(a->host, ':') ? "[" : "", a->host, strchr(a->host, ':') ? "]" : "", b->port);
	struct grpc_conf conf = { .who = "the application", .target = str_c(target), .sock_ops = &p->ops };
	struct buf request = { 0 };
	uint8_t head[2] = { 0x0a, (uint8_t)strlen(b->service) };
	struct err err;
	bool sent;

	if (*b->service) {
		buf_append(&request, head, sizeof(head));
		buf_puts(&request, b->service);
	}
	sent = grpc_new(p->loop, &conf, &a->grpc, &err) == 0 &&
	       grpc_unary(a->grpc, "/grpc.health.v1.Health/Check", buf_data(&request), buf_len(&request), b->timeout_ms, on_grpc, a);
	buf_done(&request);
	free(target);
	if (!sent)
		fail(a, "the health check could not be sent");
}

static const struct probe *find(const struct probes *p, struct str path)
{
	for (int i = 0; i < p->n; i++)
		if (str_is(path, p->v[i].path))
			return &p->v[i];
	return NULL;
}

void probes_answer(struct probes *p, struct h1server_request *rq, const struct ip *ip)
{
	const struct probe *b = find(p, h1server_path(rq));
	struct dial_conf dial = { .sock_ops = &p->ops };
	char text[ADDR_TEXT];
	struct asking *a;

	if (!b) {
		h1server_reply_text(rq, 404, "there is no such probe\n");
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->rq = rq;
	a->loop = p->loop;
	a->host = xstrdup(ip_format(ip, text));
	timer_init(&a->deadline, p->loop, on_deadline);
	timer_start(&a->deadline, b->timeout_ms);
	list_add_tail(&p->asking, &a->link);
	h1server_later(rq, on_gone, a);
	dial.host = str_c(a->host);
	dial.port = b->port;
	if (b->kind == PROBE_HTTP) {
		ask_http(p, a, b, &dial);
	} else if (b->kind == PROBE_GRPC) {
		ask_grpc(p, a, b);
	} else {
		a->tcp = dial_start(p->loop, &dial, on_tcp, a);
		if (!a->tcp)
			fail(a, "out of memory");
	}
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	list_each_safe(at, next, &p->asking)
		fail(container_of(at, struct asking, link), "meshd is ending");
	tlsctx_unref(p->ctx);
	arena_done(&p->mem);
	free(p);
}
