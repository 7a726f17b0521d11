/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/collector.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "model/meshconfig.h"
#include "telemetry/otlp.h"
#include "telemetry/peer.h"
#include "telemetry/span.h"

#define TIMEOUT_MS 10000

struct collector {
	struct loop *loop;
	const struct sock_ops *sock_ops;
	struct resolver *resolver;
	struct otlp *otlp;
	char *has;                       /* what it was made from; NULL: nothing */
	char *told;                      /* the last complaint */
};

struct collector *collector_new(struct loop *l, const struct sock_ops *sock_ops, struct resolver *resolver)
{
	struct collector *c = xcalloc(1, sizeof(*c));

	*c = (struct collector){ .loop = l, .sock_ops = sock_ops, .resolver = resolver };
	return c;
}

static void complain(struct collector *c, const char *text)
{
	if (c->told && strcmp(c->told, text) == 0)
		return;
	log_warn(LOG_MAIN, "tracing: %s", text);
	free(c->told);
	c->told = xstrdup(text);
}

/* An endpoint of the service, which every host can reach; else its name. */
static void put_address(struct buf *out, const struct mesh *m, const struct tele_provider *p, const struct workload *w)
{
	struct str host, ns = str_cut(str_c(p->service), '/', &host);
	struct service *s;
	char text[ADDR_TEXT];

	if (!host.p) {
		host = ns;
		ns = str_c(w->ns);
	}
	s = mesh_service_by_host(m, host, ns);
	for (int i = 0; s && s->endpoints && i < s->endpoints->n; i++) {
		const struct endpoint *e = endpoints_at(s->endpoints, i);
		struct addr a = { .port = endpoint_target(e, p->port) };

		if (!e->workload->healthy || !e->workload->n_ips)
			continue;
		for (int k = 0; !a.port && k < s->n_ports; k++)
			if (s->ports[k].port == p->port)
				a.port = s->ports[k].target ? s->ports[k].target : p->port;
		if (!a.port)
			continue;
		a.ip = e->workload->ips[0];
		buf_puts(out, addr_format(&a, text));
		return;
	}
	buf_printf(out, "%.*s:%u", STR_FMT(host), p->port);
}

/* ProxyConfig.tracingServiceName. */
static void put_service(struct buf *out, const struct mesh *m, const struct workload *w)
{
	int how = mesh_config(m)->proxy.tracing_service_name;
	struct peer p;

	peer_of_workload(w, &p);
	if (how == PROXY_APP_LABEL_AND_NAMESPACE)
		buf_printf(out, "%.*s.%.*s", STR_FMT(p.app.n ? p.app : str_c("istio-proxy")), STR_FMT(p.ns));
	else if (how == PROXY_CANONICAL_NAME_ONLY)
		buf_append(out, p.service.p, p.service.n);
	else
		buf_printf(out, "%.*s.%.*s", STR_FMT(p.service), STR_FMT(p.ns));
}

static struct str label(const struct workload *w, const char *key)
{
	for (int i = 0; i < w->n_labels; i++)
		if (strcmp(w->labels[i].key, key) == 0)
			return str_c(w->labels[i].value);
	return (struct str){ 0 };
}

/* serviceAttributeEnrichment OTEL_SEMANTIC_CONVENTIONS (opentelemetry.io: non-normative/k8s-attributes): the labels that Kubernetes
 * recommends, else what the workload is called. */
static void put_semantic(struct buf *out, const struct workload *w)
{
	struct str name = label(w, "app.kubernetes.io/instance");

	name = name.n ? name : label(w, "app.kubernetes.io/name");
	name = name.n ? name : str_c(w->workload_name[0] ? w->workload_name : w->name);
	buf_append(out, name.p, name.n);
}

static int semantic_resource(const struct workload *w, struct otlp_pair *to)
{
	struct str version = label(w, "app.kubernetes.io/version");
	int n = 0;

	to[n++] = (struct otlp_pair){ "service.namespace", w->ns };
	to[n++] = (struct otlp_pair){ "service.instance.id", w->uid };
	if (version.n)
		to[n++] = (struct otlp_pair){ "service.version", version.p };
	return n;
}

static char *text_of(struct buf *b)
{
	buf_append(b, "", 1);
	return (char *)buf_data(b);
}

static void start(struct collector *c, const struct tele_provider *p, const char *endpoint, const char *service, const struct workload *w)
{
	struct otlp_pair *headers = xcalloc((size_t)p->headers.n + 1, sizeof(*headers)), resource[64];
	char *env = p->environment && getenv("OTEL_RESOURCE_ATTRIBUTES") ? xstrdup(getenv("OTEL_RESOURCE_ATTRIBUTES")) : NULL, *rest = env;
	struct otlp_conf conf = {
		.endpoint = endpoint, .http = p->http, .headers = headers, .n_headers = p->headers.n, .resource = resource, .service = service,
		.timeout_ms = p->timeout.set && p->timeout.ms ? p->timeout.ms : TIMEOUT_MS, .sock_ops = c->sock_ops, .resolver = c->resolver,
	};
	struct err err;

	for (int i = 0; i < p->headers.n; i++)
		headers[i] = (struct otlp_pair){ p->headers.v[i].key, p->headers.v[i].value };
	if (p->otel_semantic)
		conf.n_resource = semantic_resource(w, resource);
	while (rest && conf.n_resource < (int)ARRAY_LEN(resource)) {
		char *one = strsep(&rest, ","), *value = strchr(one, '=');

		if (!value)
			continue;
		*value = '\0';
		resource[conf.n_resource++] = (struct otlp_pair){ one, value + 1 };
	}
	if (otlp_new(c->loop, &conf, &c->otlp, &err) != 0)
		complain(c, err.msg);
	else
		log_info(LOG_MAIN, "spans of requests go to %s (provider '%s')", endpoint, p->name);
	free(env);
	free(headers);
}

static void stop(struct collector *c)
{
	otlp_free(c->otlp);
	c->otlp = NULL;
	free(c->has);
	c->has = NULL;
}

void collector_update(struct collector *c, const struct mesh *m, const struct teleconf *t, const struct workload *w)
{
	const struct tele_provider *p = t ? teleconf_collector(t) : NULL;
	struct buf endpoint = { 0 }, service = { 0 }, all = { 0 };

	if (!p) {
		stop(c);
		return;
	}
	if (!c->otlp && span_exporting()) {
		complain(c, "OTEL_EXPORTER_OTLP_ENDPOINT says where spans go; the provider of the mesh's configuration is not used");
		return;
	}
	buf_puts(&endpoint, "http://");
	put_address(&endpoint, m, p, w);
	if (p->http)
		buf_puts(&endpoint, p->http_path && p->http_path[0] ? p->http_path : "/v1/traces");
	if (p->otel_semantic)
		put_semantic(&service, w);
	else
		put_service(&service, m, w);
	buf_printf(&all, "%.*s %.*s %d %u %d %d", STR_FMT(buf_str(&endpoint)), STR_FMT(buf_str(&service)), p->http, p->timeout.ms,
		   p->environment, p->otel_semantic);
	for (int i = 0; i < p->headers.n; i++)
		buf_printf(&all, " %s=%s", p->headers.v[i].key, p->headers.v[i].value);
	if (!c->has || strcmp(c->has, text_of(&all)) != 0) {
		stop(c);
		c->has = xstrdup(text_of(&all));
		start(c, p, text_of(&endpoint), text_of(&service), w);
	}
	buf_done(&endpoint);
	buf_done(&service);
	buf_done(&all);
}

void collector_free(struct collector *c)
{
	if (!c)
		return;
	stop(c);
	free(c->told);
	free(c);
}
