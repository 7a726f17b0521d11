/* SPDX-License-Identifier: Apache-2.0 */
#include "hbone/hserve.h"

#include <stdlib.h>

#include "http/xfcc.h"
#include "tls/tls.h"

struct hserve {
	struct stage *tls;       /* owned until h2 has it */
	struct h2 *h2;
	const struct hserve_ops *ops;
	void *arg;
	struct deferred grave;
	bool closed;
};

static void hserve_free(struct deferred *d)
{
	free(container_of(d, struct hserve, grave));
}

static void hserve_end(struct hserve *h, enum fail why, bool tell)
{
	if (h->closed)
		return;
	h->closed = true;
	if (tell)
		h->ops->on_closed(h, why, h->arg);
	if (!h->h2)
		stage_done(h->tls, why);
	h->grave.run = hserve_free;
	loop_bury(h->tls->loop, &h->grave);
}

static void refuse(struct hserve *h, struct http_stream *tunnel, enum fail why, struct str detail)
{
	h->ops->on_bad_request(h, why, detail, h->arg);
	hserve_refuse(tunnel, fail_info(why)->status);
}

/* What stands twice is not believed of whom it is said. */
static void read_fields(const struct hserve *h, const struct http_head *head, struct hserve_request *req)
{
	int n_forwarded = 0, n_xfcc = 0;

	for (int i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if (str_is(f->name, "baggage")) {
			baggage_parse(f->value, &req->baggage);
		} else if (str_is(f->name, "forwarded")) {
			if (!req->forwarded_host.n)
				req->forwarded_host = forwarded_host(f->value);
			req->forwarded_for = n_forwarded++ ? (struct addr){ .port = 0 } : forwarded_for(f->value);
		} else if (str_is(f->name, "x-forwarded-client-cert")) {
			req->caller = n_xfcc++ ? (struct str){ 0 } : xfcc_caller(f->value, tls_peer_id(h->tls));
		} else if (str_is(f->name, "x-forwarded-network")) {
			req->forwarded_network = f->value;
		} else if (str_is(f->name, "traceparent") && traceparent_valid(f->value)) {
			req->traceparent = f->value;
		}
	}
}

static void on_request(struct h2 *h2, struct http_stream *s, void *arg)
{
	struct hserve *h = arg;
	const struct http_head *head = s->head;
	struct hserve_request req = { 0 };

	if (!str_is(head->method, "CONNECT")) {
		refuse(h, s, FAIL_BAD_REQUEST, head->method);
		return;
	}
	if (authority_parse(head->authority, &req.addr, &req.host) < 0) {
		refuse(h, s, FAIL_BAD_REQUEST, head->authority);
		return;
	}
	read_fields(h, head, &req);
	h->ops->on_connect(h, s, &req, h->arg);
}

static void on_h2_closed(struct h2 *h2, enum fail why, void *arg)
{
	hserve_end(arg, why, true);
}

static void on_refused(struct h2 *h2, const struct http_head *head, int status, const char *why, void *arg)
{
	struct hserve *h = arg;

	h->ops->on_bad_request(h, FAIL_BAD_REQUEST, str_is(head->method, "CONNECT") ? head->authority : head->method, h->arg);
}

static const struct h2_ops h2_ops = { .on_request = on_request, .on_refused = on_refused, .on_closed = on_h2_closed };

static void on_tls(struct stage *tls, enum stage_event ev, const struct iovec *iov, int n)
{
	struct hserve *h = tls->arg;

	if (ev == STAGE_OPEN) {
		h->h2 = h2_new(tls, true, &h2_conf_tunnels, &h2_ops, h);
		if (!h->h2)
			hserve_end(h, FAIL_MEMORY, true);
		else if (h->ops->on_open)
			h->ops->on_open(h, h->arg);
	} else if (ev == STAGE_CLOSED) {
		hserve_end(h, tls->fail, true);
	}
}

struct hserve *hserve_new(struct stage *tls, const struct hserve_ops *ops, void *arg)
{
	struct hserve *h = calloc(1, sizeof(*h));

	if (!h) {
		stage_done(tls, FAIL_MEMORY);
		return NULL;
	}
	h->tls = tls;
	h->ops = ops;
	h->arg = arg;
	tls->on_event = on_tls;
	tls->arg = h;
	return h;
}

void hserve_accept(struct http_stream *tunnel, struct str baggage)
{
	struct http_field f = { str_c("baggage"), baggage };

	http_reply(tunnel, &(struct http_head){ .status = 200, .fields = &f, .n_fields = baggage.n ? 1 : 0 });
}

void hserve_refuse(struct http_stream *tunnel, int status)
{
	http_reply(tunnel, &(struct http_head){ .status = status, .end = true });
	stage_done(&tunnel->stage, FAIL_NONE);
}

void hserve_drain(struct hserve *h)
{
	if (h->h2)
		h2_drain(h->h2);
	else
		hserve_end(h, FAIL_DRAIN, true);
}

void hserve_close(struct hserve *h, enum fail why)
{
	if (h->closed)
		return;
	if (h->h2)
		h2_close(h->h2, why);
	hserve_end(h, why, true);
}

struct stage *hserve_tls(const struct hserve *h)
{
	return h->tls;
}

bool hserve_open(const struct hserve *h)
{
	return h->h2 && !h->closed;
}
