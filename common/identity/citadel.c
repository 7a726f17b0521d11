/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/citadel.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "proto/citadel.pb-c.h"

#define PATH         "/istio.v1.auth.IstioCertificateService/CreateCertificate"
#define DEADLINE_MS  (LIMIT_CA_REPLY_MS - 1000)   /* so that the channel says what it waited for */

struct citadel {
	struct grpc *channel;
	char *name;
	bool impersonate;
};

struct ca_call {
	struct citadel *owner;
	struct grpc_call *grpc;
	struct buf request;             /* for a second try */
	bool again;
	void (*on_reply)(void *arg, const struct ca_reply *reply);
	void *arg;
};

static void call_free(struct ca_call *c)
{
	buf_done(&c->request);
	free(c);
}

/* Takes c over. */
static void answer(struct ca_call *c, const struct ca_reply *reply)
{
	void (*on_reply)(void *arg, const struct ca_reply *reply) = c->on_reply;
	void *arg = c->arg;

	call_free(c);
	on_reply(arg, reply);
}

static const char *hint(const struct citadel *c, enum grpc_code code)
{
	switch (code) {
	case GRPC_UNAUTHENTICATED:
	case GRPC_PERMISSION_DENIED:
		return c->impersonate ?
			"; the token must be for the CA's audience (istio-ca) and bound to our Pod, the CA must list our service account in "
			"CA_TRUSTED_NODE_ACCOUNTS, and a Pod of the wanted identity must be on our node" :
			"; the token must be valid and for the CA's audience (istio-ca)";
	case GRPC_UNIMPLEMENTED:
		return "; is CA_ADDRESS an Istio CA?";
	case GRPC_INVALID_ARGUMENT:
		return "; see the CA's log, and compare SECRET_TTL with its MAX_WORKLOAD_CERT_TTL";
	case GRPC_UNAVAILABLE:
	case GRPC_DEADLINE_EXCEEDED:
		return "; check that the CA is reachable and well (CA_ADDRESS, CA_ROOT_CA, network policies)";
	default:
		return "; see the CA's log";
	}
}

static void refuse(struct ca_call *c, const struct grpc_end *end)
{
	char text[900];

	if (end->from_server)
		snprintf(text, sizeof(text), "%s refused: %.*s (%s)%s", c->owner->name, (int)(end->message.n < 400 ? end->message.n : 400),
			 end->message.p, grpc_code_name(end->code), hint(c->owner, end->code));
	else
		snprintf(text, sizeof(text), "%s gave no certificate: %.*s%s", c->owner->name,
			 (int)(end->message.n < 500 ? end->message.n : 500), end->message.p,
			 end->code == GRPC_UNAUTHENTICATED ? "" : hint(c->owner, end->code));
	answer(c, &(struct ca_reply){ .error = text });
}

static void take(struct ca_call *c, struct str message)
{
	Ca__CertificateResponse *r = ca__certificate_response__unpack(NULL, message.n, (const uint8_t *)message.p);
	struct ca_reply reply = { 0 };
	struct str *certs;
	char text[256];

	if (!r) {
		snprintf(text, sizeof(text), "%s sent an answer that is no CertificateResponse; is CA_ADDRESS an Istio CA?", c->owner->name);
		answer(c, &(struct ca_reply){ .error = text });
		return;
	}
	certs = xcalloc(r->n_cert_chain + 1, sizeof(*certs));
	for (size_t i = 0; i < r->n_cert_chain; i++)
		certs[i] = str_c(r->cert_chain[i]);
	reply.certs = certs;
	reply.n_certs = r->n_cert_chain;
	answer(c, &reply);
	free(certs);
	ca__certificate_response__free_unpacked(r, NULL);
}

static void on_end(const struct grpc_end *end, struct str message, void *arg);

static bool start(struct ca_call *c)
{
	c->grpc = grpc_unary(c->owner->channel, PATH, buf_data(&c->request), buf_len(&c->request), DEADLINE_MS, on_end, c);
	return c->grpc != NULL;
}

static void on_end(const struct grpc_end *end, struct str message, void *arg)
{
	struct ca_call *c = arg;
	bool again = (end->unprocessed || end->goaway) && !c->again;

	c->grpc = NULL;
	if (end->code == GRPC_OK) {
		take(c, message);
		return;
	}
	/* A retired connection is no failure: istiod closes each of them now and then. */
	c->again = true;
	if (!again || !start(c))
		refuse(c, end);
}

/* {"ImpersonatedIdentity": id}, as istiod wants it from a node's proxy. */
static void pack(struct citadel *c, struct str csr, struct str id, int64_t ttl_s, struct buf *out)
{
	Ca__CertificateRequest r = CA__CERTIFICATE_REQUEST__INIT;
	Pb__Struct metadata = PB__STRUCT__INIT;
	Pb__Struct__Field field = PB__STRUCT__FIELD__INIT, *fields = &field;
	Pb__Value value = PB__VALUE__INIT;
	char *csr_text = str_dup(csr), *id_text = str_dup(id);
	uint8_t *p;

	r.csr = csr_text;
	r.validity_duration = ttl_s;
	value.kind_case = PB__VALUE__KIND_STRING_VALUE;
	value.string_value = id_text;
	field.key = (char *)"ImpersonatedIdentity";
	field.value = &value;
	metadata.n_fields = 1;
	metadata.fields = &fields;
	r.metadata = c->impersonate ? &metadata : NULL;
	p = buf_reserve(out, ca__certificate_request__get_packed_size(&r));
	if (p)
		buf_added(out, ca__certificate_request__pack(&r, p));
	free(csr_text);
	free(id_text);
}

static struct ca_call *sign(void *ca, struct str csr, struct str id, int64_t ttl_s,
			    void (*on_reply)(void *arg, const struct ca_reply *reply), void *arg)
{
	struct ca_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->owner = ca;
	c->on_reply = on_reply;
	c->arg = arg;
	pack(ca, csr, id, ttl_s, &c->request);
	if (buf_len(&c->request) && start(c))
		return c;
	call_free(c);
	return NULL;
}

static void cancel(void *ca, struct ca_call *c)
{
	grpc_cancel(c->grpc);
	call_free(c);
}

static const char *name(void *ca)
{
	return ((struct citadel *)ca)->name;
}

const struct ca_ops citadel_ops = { .sign = sign, .cancel = cancel, .name = name };

struct citadel *citadel_new(const struct citadel_conf *conf)
{
	struct citadel *c = xcalloc(1, sizeof(*c));

	c->channel = conf->channel;
	c->name = xasprintf("the CA at %s", conf->address);
	c->impersonate = conf->impersonate;
	return c;
}

void citadel_free(struct citadel *c)
{
	if (!c)
		return;
	free(c->name);
	free(c);
}
