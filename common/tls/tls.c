/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/buf.h"
#include "tls/certtext_int.h"
#include "tls/resume_int.h"
#include "tls/tlsctx_int.h"

#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH

struct tls {
	struct stage stage;
	struct stage *below;          /* owned until done */
	struct tlsctx *ctx;           /* reference */
	SSL *ssl;                     /* owned */
	struct tls_verify verify;
	struct str *expect;           /* owned, with the texts; what verify borrows */
	struct timer deadline;        /* of the handshake */
	struct deferred flush;
	struct deferred grave;
	const uint8_t *in;            /* ciphertext lent by below, unread part */
	size_t in_len;
	uint8_t *out;                 /* ciphertext gathered for one write; borrowed from the loop */
	size_t out_len;
	uint8_t *record;              /* plaintext that waits to fill a record or for the end of the turn; owned */
	size_t record_len;
	struct buf early;             /* written before OPEN */
	bool server, open, eof, shut, shut_sent, done, dead, told;
};

static struct tls *tls_of(const struct stage *s)
{
	return container_of(s, struct tls, stage);
}

/* ---- the BIO: OpenSSL's view of the stage below ---- */

static void send_out(struct tls *t)
{
	struct iovec iov = { t->out, t->out_len };

	if (!t->out_len)
		return;
	t->out_len = 0;
	stage_write(t->below, &iov, 1);
}

static int bio_write(BIO *b, const char *data, int len)
{
	struct tls *t = BIO_get_data(b);

	if (!t->out) {
		struct iovec iov = { (void *)data, (size_t)len };

		stage_write(t->below, &iov, 1);
		return len;
	}
	if (t->out_len + (size_t)len > LOOP_BUF_BYTES)
		send_out(t);
	memcpy(t->out + t->out_len, data, (size_t)len);
	t->out_len += (size_t)len;
	return len;
}

static int bio_read(BIO *b, char *data, int len)
{
	struct tls *t = BIO_get_data(b);
	size_t n = (size_t)len < t->in_len ? (size_t)len : t->in_len;

	BIO_clear_retry_flags(b);
	if (n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(data, t->in, n);
	t->in += n;
	t->in_len -= n;
	return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP ? 1 : 0;
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

static BIO_METHOD *bio_method;

__attribute__((constructor)) static void bio_make(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stage");
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
	BIO_meth_set_create(bio_method, bio_create);
}

/* Between these two, ciphertext is gathered and leaves in one write. */
static void burst_begin(struct tls *t)
{
	t->out = loop_borrow(t->stage.loop);
	t->out_len = 0;
}

static void burst_end(struct tls *t)
{
	send_out(t);
	t->out = NULL;
	loop_return(t->stage.loop);
}

/* ---- closing ---- */

static void tls_free(struct deferred *d)
{
	struct tls *t = container_of(d, struct tls, grave);

	SSL_free(t->ssl);
	free((char *)t->verify.session_key.p);
	free(t->expect);
	tlsctx_unref(t->ctx);
	buf_done(&t->early);
	free(t->record);
	free(t);
}

static void tls_fail(struct tls *t, enum fail why)
{
	if (t->dead || t->done)
		return;
	t->dead = t->told = true;
	t->stage.fail = why;
	timer_stop(&t->deadline);
	stage_emit(&t->stage, STAGE_CLOSED, NULL, 0);
}

/* A write never calls back: the failure is told at the end of the turn. */
static void tls_fail_later(struct tls *t, enum fail why)
{
	t->dead = true;
	t->stage.fail = why;
	loop_flush(t->stage.loop, &t->flush);
}

static void note_error(struct tls *t, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (!t->verify.error[0])
		snprintf(t->verify.error, sizeof(t->verify.error), "%s: %s", what, reason ? reason : "protocol error");
	ERR_clear_error();
}

/* ---- writing ---- */

static void encrypt(struct tls *t, const uint8_t *p, size_t n)
{
	if (n && !t->dead && SSL_write(t->ssl, p, (int)n) <= 0) {
		note_error(t, "cannot encrypt");
		tls_fail_later(t, FAIL_TLS);
	}
}

static void update_queued(struct tls *t)
{
	stage_set_queued(&t->stage, t->below->queued + buf_len(&t->early));
}

static void encrypt_record(struct tls *t)
{
	encrypt(t, t->record, t->record_len);
	t->record_len = 0;
}

static void send_close_notify(struct tls *t)
{
	if (!t->shut || t->shut_sent || !t->open || t->dead)
		return;
	t->shut_sent = true;
	burst_begin(t);
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	burst_end(t);
	stage_shut(t->below);
}

static void flush(struct tls *t)
{
	if (t->record_len && !t->dead) {
		burst_begin(t);
		encrypt_record(t);
		burst_end(t);
		free(t->record);
		t->record = NULL;
	}
	send_close_notify(t);
	if (!t->done)
		update_queued(t);
}

static void on_flush(struct deferred *d)
{
	struct tls *t = container_of(d, struct tls, flush);

	if (t->dead && !t->told) {
		t->told = true;
		timer_stop(&t->deadline);
		stage_emit(&t->stage, STAGE_CLOSED, NULL, 0);
	} else if (!t->dead && !t->done) {
		flush(t);
	}
}

/* Whole records straight from the caller's memory, the rest into the record that the end of the turn sends. */
static void gather(struct tls *t, const uint8_t *p, size_t n)
{
	while (n) {
		size_t take = RECORD_BYTES - t->record_len;

		if (!t->record_len && n >= RECORD_BYTES) {
			take = n - n % RECORD_BYTES;
			encrypt(t, p, take);
		} else {
			if (!t->record)
				t->record = xmalloc(RECORD_BYTES);
			take = take < n ? take : n;
			memcpy(t->record + t->record_len, p, take);
			t->record_len += take;
			if (t->record_len == RECORD_BYTES)
				encrypt_record(t);
		}
		p += take;
		n -= take;
	}
}

static void tls_write(struct stage *s, const struct iovec *iov, int n)
{
	struct tls *t = tls_of(s);
	bool burst;

	if (t->dead || t->shut || t->done)
		return;
	if (!t->open) {
		if (buf_append_iov(&t->early, iov, n, 0) < 0)
			tls_fail_later(t, FAIL_MEMORY);
		else
			update_queued(t);
		return;
	}
	burst = t->record_len + iov_len(iov, n) >= RECORD_BYTES;
	if (burst)
		burst_begin(t);
	for (int i = 0; i < n; i++)
		gather(t, iov[i].iov_base, iov[i].iov_len);
	if (burst) {
		burst_end(t);
		update_queued(t);
	}
	if (t->record_len)
		loop_flush(s->loop, &t->flush);
}

/* ---- reading ---- */

/* Decrypts what is there into one large buffer, so that the layer above sees few, large events. False: it ended. */
static bool decrypt(struct tls *t)
{
	uint8_t *plain = loop_borrow(t->stage.loop);
	size_t n = 0;
	int r, error;
	bool more;

	ERR_clear_error();
	do {
		r = SSL_read(t->ssl, plain + n, (int)(LOOP_BUF_BYTES - n));
		n += r > 0 ? (size_t)r : 0;
	} while (r > 0 && LOOP_BUF_BYTES - n >= RECORD_BYTES);
	more = r > 0;
	error = more ? SSL_ERROR_NONE : SSL_get_error(t->ssl, r);   /* before a write in the callback changes it */
	if (n) {
		struct iovec iov = { plain, n };

		stage_emit(&t->stage, STAGE_DATA, &iov, 1);
	}
	loop_return(t->stage.loop);
	if (more || t->dead || t->done)
		return more && !t->dead && !t->done;
	switch (error) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		break;
	case SSL_ERROR_ZERO_RETURN:
		if (!t->eof) {
			t->eof = true;
			stage_emit(&t->stage, STAGE_EOF, NULL, 0);
		}
		break;
	default:
		note_error(t, "the peer broke TLS");
		tls_fail(t, FAIL_TLS);
	}
	return false;
}

static void handshake_failed(struct tls *t)
{
	tlsctx_explain(&t->verify);
	tls_fail(t, t->verify.fail != FAIL_NONE ? t->verify.fail : FAIL_TLS);
}

static void handshake_done(struct tls *t)
{
	t->open = true;
	timer_stop(&t->deadline);
	if (buf_len(&t->early)) {
		struct iovec iov = { buf_data(&t->early), buf_len(&t->early) };

		stage_write(&t->stage, &iov, 1);
		buf_done(&t->early);
	}
	stage_emit(&t->stage, STAGE_OPEN, NULL, 0);
	if (t->shut && !t->done)
		loop_flush(t->stage.loop, &t->flush);
}

static void handshake(struct tls *t)
{
	int r;

	ERR_clear_error();
	burst_begin(t);
	r = SSL_do_handshake(t->ssl);
	burst_end(t);
	if (t->dead || t->done)
		return;
	if (r == 1 && !tlsctx_resumed(t->ctx, t->ssl, &t->verify))
		tls_fail(t, t->verify.fail);
	else if (r == 1)
		handshake_done(t);
	else if (SSL_get_error(t->ssl, r) != SSL_ERROR_WANT_READ)
		handshake_failed(t);
}

static void take_input(struct tls *t, const struct iovec *iov)
{
	t->in = iov->iov_base;
	t->in_len = iov->iov_len;
	if (!t->open)
		handshake(t);
	while (t->open && !t->dead && !t->done && decrypt(t))
		;
	t->in = NULL;
	t->in_len = 0;
}

static void on_below(struct stage *below, enum stage_event ev, const struct iovec *iov, int n)
{
	struct tls *t = below->arg;

	switch (ev) {
	case STAGE_OPEN:
		handshake(t);
		break;
	case STAGE_DATA:
		for (int i = 0; i < n && !t->dead && !t->done; i++)
			take_input(t, &iov[i]);
		break;
	case STAGE_EOF:
		/* Without close_notify this is a truncation, not an end. */
		if (!t->eof && !t->done) {
			if (!t->open)
				snprintf(t->verify.error, sizeof(t->verify.error), "the peer closed the connection during the TLS handshake");
			tls_fail(t, t->open ? FAIL_PEER_CLOSED : FAIL_TLS);
		}
		break;
	case STAGE_DRAINED:
		if (!t->done)
			update_queued(t);
		break;
	case STAGE_CLOSED:
		if (!t->open && below->fail == FAIL_SERVER_RESET)
			snprintf(t->verify.error, sizeof(t->verify.error), "the peer reset the connection during the TLS handshake");
		tls_fail(t, below->fail == FAIL_SERVER_RESET && !t->open ? FAIL_TLS : below->fail);
		break;
	}
}

/* ---- the other verbs ---- */

static void tls_want(struct stage *s, bool read)
{
	struct tls *t = tls_of(s);

	/* The handshake reads whatever the layer above wants. */
	if (t->open && !t->done && !t->dead)
		stage_want(t->below, read);
}

static void tls_shut(struct stage *s)
{
	struct tls *t = tls_of(s);

	t->shut = true;
	if (t->open)
		loop_flush(s->loop, &t->flush);
}

static void tls_done(struct stage *s, enum fail why)
{
	struct tls *t = tls_of(s);
	bool polite = why == FAIL_NONE || (t->dead && !t->open);   /* a failed handshake still sends its alert */

	if (t->done)
		return;
	if (polite && t->open && !t->dead) {
		t->shut = true;
		flush(t);
	}
	t->done = true;
	timer_stop(&t->deadline);
	stage_done(t->below, polite ? FAIL_NONE : why);
	t->grave.run = tls_free;
	loop_bury(s->loop, &t->grave);
}

static void on_deadline(struct timer *timer)
{
	struct tls *t = container_of(timer, struct tls, deadline);

	snprintf(t->verify.error, sizeof(t->verify.error), "no TLS handshake within %d s", LIMIT_HANDSHAKE_MS / 1000);
	tls_fail(t, FAIL_TLS_TIMEOUT);
}

static const struct stage_ops tls_stage = {
	.name = "tls", .write = tls_write, .want = tls_want, .shut = tls_shut, .done = tls_done,
};

static struct tls *tls_new(struct stage *below, struct tlsctx *ctx, bool server)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio = t ? BIO_new(bio_method) : NULL;

	if (bio)
		t->ssl = SSL_new(tlsctx_ssl(ctx, server));
	if (!t || !bio || !t->ssl) {
		BIO_free(bio);
		free(t);
		stage_done(below, FAIL_MEMORY);
		return NULL;
	}
	t->stage = (struct stage){ .ops = &tls_stage, .loop = below->loop };
	t->below = below;
	t->ctx = tlsctx_ref(ctx);
	t->server = server;
	t->flush.run = on_flush;
	BIO_set_data(bio, t);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_set_app_data(t->ssl, &t->verify);
	timer_init(&t->deadline, below->loop, on_deadline);
	timer_start(&t->deadline, LIMIT_HANDSHAKE_MS);
	below->on_event = on_below;
	below->arg = t;
	stage_want(below, true);
	return t;
}

void tls_set_sni(struct stage *s, struct str name)
{
	SSL *ssl = tls_of(s)->ssl;
	char text[256];
	struct ip ip;
	bool send = name.n && name.n < sizeof(text) && ip_parse(name, &ip) != 0;

	snprintf(text, sizeof(text), "%.*s", send ? (int)name.n : 0, name.p);
	SSL_set_tlsext_host_name(ssl, send ? text : NULL);
}

void tls_set_alpn(struct stage *s, enum tls_alpn a)
{
	static const char *const offers[] = {
		[TLS_ALPN_HBONE]       = "\2h2",
		[TLS_ALPN_ISTIO_TCP]   = "\23istio-peer-exchange" "\5istio",
		[TLS_ALPN_ISTIO_HTTP1] = "\16istio-http/1.1" "\5istio" "\10http/1.1",
		[TLS_ALPN_ISTIO_HTTP2] = "\10istio-h2" "\5istio" "\2h2",
		[TLS_ALPN_HTTP1]       = "\10http/1.1",
		[TLS_ALPN_HTTP2]       = "\2h2",
		[TLS_ALPN_NONE]        = "",
	};
	struct tls *t = tls_of(s);

	t->verify.alpn = a;
	if (a != TLS_ALPN_HBONE)
		SSL_set_min_proto_version(t->ssl, TLS1_2_VERSION);
	if (!t->server)
		SSL_set_alpn_protos(t->ssl, (const unsigned char *)offers[a], (unsigned)strlen(offers[a]));
}

/* In one block. NULL: no memory. */
static struct str *copy_names(const struct str *v, int n)
{
	size_t bytes = (size_t)n * sizeof(*v);
	struct str *copy;
	char *at;

	for (int i = 0; i < n; i++)
		bytes += v[i].n;
	copy = malloc(bytes ? bytes : 1);
	at = copy ? (char *)(copy + n) : NULL;
	for (int i = 0; copy && i < n; i++) {
		memcpy(at, v[i].p, v[i].n);
		copy[i] = (struct str){ at, v[i].n };
		at += v[i].n;
	}
	return copy;
}

bool tls_set_expect(struct stage *s, const struct str *expect, int n_expect)
{
	struct tls *t = tls_of(s);

	t->expect = copy_names(expect, n_expect);
	t->verify.expect = t->expect;
	t->verify.n_expect = t->expect ? n_expect : 0;
	return t->expect != NULL;
}

struct stage *tls_client(struct stage *below, struct tlsctx *ctx, const struct str *expect, int n_expect)
{
	struct tls *t = tls_new(below, ctx, false);

	if (!t)
		return NULL;
	t->expect = copy_names(expect, n_expect);
	if (!t->expect) {
		stage_done(&t->stage, FAIL_MEMORY);
		return NULL;
	}
	t->verify.expect = t->expect;
	t->verify.n_expect = n_expect;
	if (ctx->web && n_expect > 0)
		tls_set_sni(&t->stage, expect[0]);
	SSL_set_connect_state(t->ssl);
	return &t->stage;
}

void tls_resume(struct stage *s, struct str key)
{
	struct tls *t = tls_of(s);
	char *copy = malloc(key.n + 1);

	if (!copy)
		return;
	memcpy(copy, key.p, key.n);
	t->verify.session_key = (struct str){ copy, key.n };
	resume_offer(t->ctx, t->ssl, &t->verify);
}

struct stage *tls_server(struct stage *below, struct tlsctx *ctx)
{
	struct tls *t = tls_new(below, ctx, true);

	if (!t)
		return NULL;
	SSL_set_accept_state(t->ssl);
	return &t->stage;
}

struct str tls_peer_id(const struct stage *s)
{
	return str_c(tls_of(s)->verify.peer_id);
}

struct str tls_alpn(const struct stage *s)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(tls_of(s)->ssl, &p, &n);
	return (struct str){ (const char *)p, n };
}

struct str tls_sni(const struct stage *s)
{
	return str_c(SSL_get_servername(tls_of(s)->ssl, TLSEXT_NAMETYPE_host_name));
}

void tls_xfcc(const struct stage *s, struct buf *out)
{
	X509 *cert = SSL_get0_peer_certificate(tls_of(s)->ssl);

	if (!cert)
		return;
	if (tls_of(s)->ctx->id[0])
		buf_printf(out, "By=%s;", tls_of(s)->ctx->id);
	certtext_xfcc(cert, out);
}

struct stage *tls_below(const struct stage *s)
{
	return tls_of(s)->below;
}

bool tls_was_resumed(const struct stage *s)
{
	return SSL_session_reused(tls_of(s)->ssl) == 1;
}

const char *tls_error(const struct stage *s)
{
	return tls_of(s)->verify.error;
}

bool tls_still_valid(const struct stage *s, struct tlsctx *now)
{
	return tlsctx_peer_still_valid(now, tls_of(s)->ssl);
}

bool tls_expired(const struct stage *s)
{
	return tlsctx_peer_expired(tls_of(s)->ssl);
}
