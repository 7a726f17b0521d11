/* SPDX-License-Identifier: Apache-2.0 */
/* A handshake of two contexts over memory BIOs. */
#ifndef TEST_SHAKE_H
#define TEST_SHAKE_H

#include <check.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/tlsctx_int.h"

struct shake {
	SSL *client, *server;
	const struct tlsctx *client_ctx, *server_ctx;
	struct tls_verify cv, sv;
	bool client_ok, server_ok;
};

static inline void shake_step(SSL *ssl, const struct tlsctx *ctx, struct tls_verify *v, bool *ok)
{
	char byte;
	int r;

	if (v->fail != FAIL_NONE)
		return;
	if (!*ok) {
		r = SSL_do_handshake(ssl);
		*ok = r == 1 && tlsctx_resumed(ctx, ssl, v);
	} else {
		r = SSL_read(ssl, &byte, 1);   /* a refusal by the server comes after the client is done */
	}
	if (r <= 0 && SSL_get_error(ssl, r) == SSL_ERROR_SSL)
		tlsctx_explain(v);
}

static inline void shake_run(struct shake *s)
{
	BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());

	BIO_set_mem_eof_return(a, -1);
	BIO_set_mem_eof_return(b, -1);
	BIO_up_ref(a);
	BIO_up_ref(b);
	SSL_set_bio(s->client, a, b);
	SSL_set_bio(s->server, b, a);
	SSL_set_connect_state(s->client);
	SSL_set_accept_state(s->server);
	for (int i = 0; i < 6; i++) {
		shake_step(s->client, s->client_ctx, &s->cv, &s->client_ok);
		shake_step(s->server, s->server_ctx, &s->sv, &s->server_ok);
	}
}

static inline void shake_init(struct shake *s, const struct tlsctx *client, const struct tlsctx *server)
{
	memset(s, 0, sizeof(*s));
	s->client = SSL_new(tlsctx_ssl(client, false));
	s->server = SSL_new(tlsctx_ssl(server, true));
	s->client_ctx = client;
	s->server_ctx = server;
	SSL_set_app_data(s->client, &s->cv);
	SSL_set_app_data(s->server, &s->sv);
}

static inline void shake_done(struct shake *s)
{
	SSL_free(s->client);
	SSL_free(s->server);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

#endif
