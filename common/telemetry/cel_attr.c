/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's attributes, from an exchange. */
#include <stdio.h>

#include "http/grpc.h"
#include "telemetry/cel_int.h"
#include "telemetry/format_int.h"
#include "telemetry/peer.h"
#include "telemetry/remote.h"

static const struct cel_value error = { .kind = CEL_ERROR };

static struct cel_value text(struct str s)
{
	return s.p ? (struct cel_value){ .kind = CEL_STRING, .s = s } : error;
}

/* What is empty when it is not known. */
static struct cel_value known(struct str s)
{
	return s.n ? text(s) : error;
}

static struct cel_value number(uint64_t n)
{
	return (struct cel_value){ .kind = CEL_INT, .i = (int64_t)n };
}

static struct cel_value span(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns >= from_ns ? (struct cel_value){ .kind = CEL_DURATION, .i = (int64_t)(to_ns - from_ns) } : error;
}

static struct cel_value address(const struct addr *a, char *scratch, size_t size)
{
	static const struct ip no;

	if (size < ADDR_TEXT || (ip_eq(&a->ip, &no) && !a->port))
		return error;
	return text(str_c(addr_format(a, scratch)));
}

static struct cel_value port(const struct addr *a)
{
	return a->port ? number(a->port) : error;
}

static struct cel_value of_peer(const struct workload *w, const char *key)
{
	struct peer p;
	const struct { const char *name; const struct str *value; } fields[] = {
		{ "name", &p.name }, { "namespace", &p.ns }, { "workload", &p.workload }, { "service", &p.service }, { "canonical_name", &p.service },
		{ "revision", &p.revision }, { "app", &p.app }, { "version", &p.version }, { "cluster", &p.cluster }, { "type", &p.type },
	};

	if (!w || !key)
		return error;
	peer_of_workload(w, &p);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strcmp(fields[i].name, key) == 0)
			return known(*fields[i].value);
	return error;
}

static struct cel_value header(const struct exchange *x, bool request, const char *key, char *scratch, size_t size)
{
	if (!key || size < 16)
		return error;
	return text(request ? format_request_field(x, key) : format_response_field(x, key, scratch));
}

static struct cel_value of_request(const struct exchange *x, enum cel_attr attr, const char *key, char *scratch, size_t size)
{
	static const char *const protocols[] = { [HTTP_1_0] = "HTTP/1.0", [HTTP_1_1] = "HTTP/1.1", [HTTP_2] = "HTTP/2" };
	struct str query, path;

	if (!x->request.method.n)
		return error;
	path = str_cut(x->request.path, '?', &query);
	switch (attr) {
	case ATTR_REQUEST_PATH:
		return text(x->request.path);
	case ATTR_REQUEST_URL_PATH:
		return text(path);
	case ATTR_REQUEST_QUERY:
		return text(query.p ? query : (struct str){ "", 0 });
	case ATTR_REQUEST_HOST:
		return text(x->request.authority);
	case ATTR_REQUEST_SCHEME:
		return known(x->request.scheme);
	case ATTR_REQUEST_METHOD:
		return text(x->request.method);
	case ATTR_REQUEST_HEADERS:
		return header(x, true, key, scratch, size);
	case ATTR_REQUEST_REFERER:
		return header(x, true, "referer", scratch, size);
	case ATTR_REQUEST_USERAGENT:
		return header(x, true, "user-agent", scratch, size);
	case ATTR_REQUEST_ID:
		return header(x, true, "x-request-id", scratch, size);
	case ATTR_REQUEST_PROTOCOL:
		return text(str_c(protocols[x->version]));
	default:
		return error;
	}
}

/* As Envoy does where a server said none (grpc: doc/http-grpc-status-mapping). */
static uint64_t grpc_of_http(int status)
{
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

static struct cel_value of_response(const struct exchange *x, enum cel_attr attr, const char *key, char *scratch, size_t size)
{
	const struct exchange_log *l = &x->log;

	switch (attr) {
	case ATTR_RESPONSE_CODE:
		return x->response.status ? number((uint64_t)x->response.status) : error;
	case ATTR_RESPONSE_CODE_DETAILS:
		return l->details ? text(str_c(l->details)) : x->response.status && !l->why ? text(str_c("via_upstream")) : error;
	case ATTR_RESPONSE_HEADERS:
		return header(x, false, key, scratch, size);
	case ATTR_RESPONSE_GRPC_STATUS:
		return l->grpc_status >= 0 ? number((uint64_t)l->grpc_status) : x->response.status ? number(grpc_of_http(x->response.status)) : error;
	case ATTR_RESPONSE_SIZE:
		return number(l->bytes_sent);
	case ATTR_RESPONSE_BACKEND_LATENCY:
		return span(l->up_sent_ns, l->up_end_ns ? l->up_end_ns : l->end_ns);
	default:
		return error;
	}
}

static struct cel_value of_connection(const struct exchange *x, enum cel_attr attr, char *scratch, size_t size)
{
	const struct exchange_client *c = x->client;
	struct addr remote;

	switch (attr) {
	case ATTR_SOURCE_ADDRESS:
	case ATTR_SOURCE_PORT:
		remote = remote_addr(x, 0);
		return attr == ATTR_SOURCE_PORT ? number(remote.port) : address(&remote, scratch, size);
	case ATTR_DESTINATION_ADDRESS:
		return address(&c->local, scratch, size);
	case ATTR_DESTINATION_PORT:
		return number(c->local.port);
	case ATTR_CONNECTION_MTLS:
		return (struct cel_value){ .kind = CEL_BOOL, .b = c->mtls };
	case ATTR_CONNECTION_SNI:
		return known(c->sni);
	case ATTR_CONNECTION_PEER_SAN:
		return known(c->peer_id);
	case ATTR_CONNECTION_LOCAL_SAN:
		return known(c->local_id);
	case ATTR_CONNECTION_TERMINATION:
		return !x->request.method.n && x->log.details ? text(str_c(x->log.details)) : error;
	default:
		return error;
	}
}

struct cel_value cel_attribute(const struct exchange *x, enum cel_attr attr, const char *key, char *scratch, size_t size)
{
	const struct exchange_log *l = &x->log;

	switch (attr) {
	case ATTR_REQUEST_DURATION:
		return span(l->start_ns, l->end_ns);
	case ATTR_REQUEST_SIZE:
		return number(l->bytes_received);
	case ATTR_UPSTREAM_ADDRESS:
		return address(&l->upstream, scratch, size);
	case ATTR_UPSTREAM_PORT:
		return port(&l->upstream);
	case ATTR_UPSTREAM_LOCAL:
		return address(&l->upstream_local, scratch, size);
	case ATTR_UPSTREAM_FAILURE:
		return known(str_c(l->upstream_failure));
	case ATTR_CLUSTER_NAME:
		return known(l->cluster_name);
	case ATTR_ROUTE_NAME:
		return known(l->route_name);
	case ATTR_UPSTREAM_PEER:
		return of_peer(l->upstream_workload, key);
	case ATTR_DOWNSTREAM_PEER:
		return of_peer(x->client->peer_workload, key);
	default:
		break;
	}
	if (attr <= ATTR_REQUEST_SIZE)
		return of_request(x, attr, key, scratch, size);
	if (attr <= ATTR_RESPONSE_BACKEND_LATENCY)
		return of_response(x, attr, key, scratch, size);
	return of_connection(x, attr, scratch, size);
}
