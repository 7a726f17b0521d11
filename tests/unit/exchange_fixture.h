/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange as it looks when it ended, for what formats and judges it. */
#ifndef TESTS_EXCHANGE_FIXTURE_H
#define TESTS_EXCHANGE_FIXTURE_H

#include "http/exchange.h"

static inline void field(struct http_fields *f, const char *name, const char *value)
{
	fields_add(f, name, str_c(value));
}

static inline struct addr addr_of(const char *text)
{
	struct addr a = { .port = 0 };

	addr_parse(str_c(text), &a);
	return a;
}

/* GET /path?q=1&r= of reviews, inbound with mutual TLS, answered with 200. */
static inline void exchange_fixture(struct exchange *x, struct exchange_client *c)
{
	*c = (struct exchange_client){
		.peer = addr_of("10.0.0.1:40000"), .local = addr_of("10.0.0.2:9080"), .mtls = true, .inbound = true,
		.peer_id = str_c("spiffe://cluster.local/ns/default/sa/productpage"),
		.local_id = str_c("spiffe://cluster.local/ns/default/sa/reviews"), .sni = str_c("outbound_.9080_._.reviews.default.svc.cluster.local"),
		.xfcc = str_c("By=spiffe://cluster.local/ns/default/sa/reviews;Hash=abc;Subject=\"CN=x\";URI=spiffe://cluster.local/ns/default/sa/productpage"),
	};
	*x = (struct exchange){ .client = c, .version = HTTP_1_1 };
	x->request_fields.arena = x->response_fields.arena = &x->arena;
	x->request.method = str_c("GET");
	x->request.path = str_c("/path?q=1&r=&flag");
	x->request.authority = str_c("reviews:9080");
	x->request.scheme = str_c("http");
	field(&x->request_fields, "User-Agent", "curl/8");
	field(&x->request_fields, "x-request-id", "11111111-2222-4333-8444-555555555555");
	x->response.status = 200;
	field(&x->response_fields, "x-envoy-upstream-service-time", "3");
	x->log = (struct exchange_log){
		.wall_us = UINT64_C(1700000000123456), .start_ns = 1000000000, .request_end_ns = 1001000000, .up_sent_ns = 1002000000,
		.up_head_ns = 1005000000, .up_end_ns = 1006000000, .end_ns = 1007900000, .bytes_received = 12, .bytes_sent = 345, .attempts = 1,
		.upstream = addr_of("10.0.0.2:9080"), .upstream_local = addr_of("127.0.0.6:51000"), .route_name = str_c("default"),
		.cluster_name = str_c("inbound|9080||"), .grpc_status = -1,
		.upstream_version = HTTP_2, .request_head_bytes = 77,
	};
}

#endif
