/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket between the versions: RFC 8441 has neither Sec-WebSocket-Key nor -Accept, RFC 6455 needs both. */
#include <sys/random.h>

#include "http/exchange_int.h"
#include "tls/digest.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static const char key_name[] = "sec-websocket-key", accept_name[] = "sec-websocket-accept";

void websocket_request(struct ex *e, struct http_head *head, bool h2)
{
	struct http_fields *f = &e->x.request_fields;
	char text[DIGEST_BASE64(16)];
	uint8_t key[16];

	if (!head->upgrade.n)
		return;
	if (!str_eq_nocase(head->upgrade, str_c("websocket"))) {
		if (h2)
			head->upgrade = (struct str){ 0 };     /* the server may go on without, RFC 9110 7.8 */
		return;
	}
	if (h2 || fields_get(f, key_name).p)
		return;
	if (getrandom(key, sizeof(key), GRND_NONBLOCK) < 0)
		memcpy(key, &e->x.log.start_ns, sizeof(e->x.log.start_ns));
	digest_base64(key, sizeof(key), text);
	fields_set(f, key_name, exchange_dup(&e->x, str_c(text)));
	e->made_key = true;
}

void websocket_response(struct ex *e)
{
	struct exchange *x = &e->x;
	struct str key = fields_get(&x->request_fields, key_name), joined;
	char text[DIGEST_BASE64(DIGEST_SHA1_BYTES)];
	uint8_t sha[DIGEST_SHA1_BYTES];

	if (x->response.status != 101)
		return;
	if (!x->response.upgrade.n)
		x->response.upgrade = x->request.upgrade;
	if (e->made_key) {
		fields_remove(&x->response_fields, str_c(accept_name));
	} else if (key.p && x->version != HTTP_2 && !fields_get(&x->response_fields, accept_name).p &&
		   str_eq_nocase(x->request.upgrade, str_c("websocket"))) {
		joined = exchange_printf(x, "%.*s" GUID, STR_FMT(key));
		digest_sha1(joined, sha);
		digest_base64(sha, sizeof(sha), text);
		fields_add(&x->response_fields, accept_name, exchange_dup(x, str_c(text)));
	}
}
