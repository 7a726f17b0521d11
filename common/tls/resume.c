/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/resume_int.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/list.h"

#define NAME         "meshd\0\0\1"    /* our tickets' names begin with it: others' are not kept */
#define NAME_BYTES   8
#define KEYS_BYTES   80              /* OpenSSL: name 16, HMAC key 32, AES key 32 */
#define ISSUERS      16              /* different chains above the leaf; in a mesh there are one or two */

/* In a ticket, besides OpenSSL's own. */
struct label {
	uint8_t issuers;             /* index */
	int64_t until;               /* Unix seconds: the first end of all certificates of both sides */
};

struct session {
	struct list link;            /* newest last */
	struct str key;              /* owned */
	SSL_SESSION *ssl;            /* owned */
	STACK_OF(X509) *chain;       /* owned */
};

struct resume {
	pthread_mutex_t lock;
	STACK_OF(X509) *issuers[ISSUERS];    /* only added to, under the lock */
	_Atomic int n_issuers;
	struct list sessions;
	int n_sessions;
};

static _Atomic int all_sessions;     /* of this process */
static int chain_index;              /* of a STACK_OF(X509) in an SSL: the resumed session's */

static void chain_free(void *ssl, void *chain, CRYPTO_EX_DATA *data, int index, long n, void *p)
{
	sk_X509_pop_free(chain, X509_free);
}

__attribute__((constructor)) static void make_index(void)
{
	chain_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, chain_free);
}

static void set_chain(SSL *ssl, STACK_OF(X509) *chain)
{
	sk_X509_pop_free(SSL_get_ex_data(ssl, chain_index), X509_free);
	SSL_set_ex_data(ssl, chain_index, chain);
}

STACK_OF(X509) *resume_chain(SSL *ssl)
{
	return SSL_session_reused(ssl) ? SSL_get_ex_data(ssl, chain_index) : SSL_get0_verified_chain(ssl);
}

struct resume *resume_new(void)
{
	struct resume *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	list_init(&r->sessions);
	return r;
}

static void session_free(struct session *s)
{
	atomic_fetch_sub(&all_sessions, 1);
	list_del(&s->link);
	SSL_SESSION_free(s->ssl);
	sk_X509_pop_free(s->chain, X509_free);
	free((char *)s->key.p);
	free(s);
}

void resume_free(struct resume *r)
{
	if (!r)
		return;
	list_each_safe(at, next, &r->sessions)
		session_free(container_of(at, struct session, link));
	for (int i = 0; i < r->n_issuers; i++)
		sk_X509_pop_free(r->issuers[i], X509_free);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- server ---- */

/* The chain without its leaf is that of an entry? */
static bool same_issuers(const STACK_OF(X509) *chain, const STACK_OF(X509) *issuers)
{
	int n = sk_X509_num(issuers);

	if (sk_X509_num(chain) != n + 1)
		return false;
	for (int i = 0; i < n; i++)
		if (X509_cmp(sk_X509_value(chain, i + 1), sk_X509_value(issuers, i)) != 0)
			return false;
	return true;
}

/* Index of the chain's issuers, or -1: too many. */
static int keep_issuers(struct resume *r, STACK_OF(X509) *chain)
{
	int n, i;

	pthread_mutex_lock(&r->lock);
	n = r->n_issuers;
	for (i = 0; i < n && !same_issuers(chain, r->issuers[i]); i++)
		;
	if (i == n && n < ISSUERS && (r->issuers[n] = X509_chain_up_ref(chain))) {
		X509_free(sk_X509_shift(r->issuers[n]));
		r->n_issuers = n + 1;
	}
	n = i < r->n_issuers ? i : -1;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static int64_t first_end(const struct tlsctx *c, STACK_OF(X509) *chain)
{
	int64_t end = c->not_after;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		struct tm tm = { 0 };

		if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &tm) != 1)
			return 0;
		end = timegm(&tm) < end ? timegm(&tm) : end;
	}
	return end;
}

/* A ticket is about to be sent. It cannot be held back here: without a label it is worth nothing. */
static int on_make(SSL *ssl, void *arg)
{
	struct tlsctx *c = arg;
	SSL_SESSION *session = SSL_get0_session(ssl);
	STACK_OF(X509) *chain = resume_chain(ssl);
	struct label label = { 0 };
	int issuers = chain ? keep_issuers(c->resume, chain) : -1;
	int64_t left;

	if (issuers >= 0) {
		label.issuers = (uint8_t)issuers;
		label.until = first_end(c, chain);
	}
	left = label.until - time(NULL);
	SSL_SESSION_set_timeout(session, left > 1 ? (long)left : 1);
	return SSL_SESSION_set1_ticket_appdata(session, &label, sizeof(label));
}

/* The chain of the ticket's session, good now; the caller's. NULL: a full handshake. */
static STACK_OF(X509) *judge(const struct tlsctx *c, SSL_SESSION *session)
{
	X509 *leaf = SSL_SESSION_get0_peer(session);
	STACK_OF(X509) *chain;
	struct tls_verify v = { 0 };
	struct label label;
	size_t n = 0;
	void *p;

	if (SSL_SESSION_get0_ticket_appdata(session, &p, &n) != 1 || n != sizeof(label) || !leaf)
		return NULL;
	memcpy(&label, p, sizeof(label));
	if (label.until <= time(NULL) || label.issuers >= atomic_load(&c->resume->n_issuers))
		return NULL;
	chain = X509_chain_up_ref(c->resume->issuers[label.issuers]);
	if (chain && sk_X509_unshift(chain, leaf) > 0 && X509_up_ref(leaf) == 1 && verify_again(c, chain, &v))
		return chain;
	sk_X509_pop_free(chain, X509_free);
	return NULL;
}

static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_n, SSL_TICKET_STATUS status,
				   void *arg)
{
	STACK_OF(X509) *chain = NULL;

	if (status == SSL_TICKET_FATAL_ERR_MALLOC || status == SSL_TICKET_FATAL_ERR_OTHER)
		return SSL_TICKET_RETURN_ABORT;
	/* TLS 1.2 would resume without a key exchange. */
	if (session && SSL_version(ssl) == TLS1_3_VERSION && (status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW))
		chain = judge(arg, session);
	set_chain(ssl, chain);
	ERR_clear_error();
	return chain ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
}

bool resume_server(struct tlsctx *c)
{
	static const unsigned char sid[] = "meshd";
	unsigned char keys[KEYS_BYTES] = NAME;
	bool ok;

	SSL_CTX_clear_options(c->server, SSL_OP_NO_TICKET);
	ok = RAND_priv_bytes(keys + NAME_BYTES, sizeof(keys) - NAME_BYTES) == 1 &&
	     SSL_CTX_set_tlsext_ticket_keys(c->server, keys, sizeof(keys)) == 1 &&
	     SSL_CTX_set_session_id_context(c->server, sid, sizeof(sid) - 1) == 1 &&
	     SSL_CTX_set_session_ticket_cb(c->server, on_make, on_ticket, c) == 1 && SSL_CTX_set_num_tickets(c->server, 1) == 1 &&
	     SSL_CTX_set_max_early_data(c->server, 0) == 1 && SSL_CTX_set_recv_max_early_data(c->server, 0) == 1;
	OPENSSL_cleanse(keys, sizeof(keys));
	return ok;
}

/* ---- client ---- */

static bool ours(SSL_SESSION *session)
{
	const unsigned char *ticket = NULL;
	size_t n = 0;

	SSL_SESSION_get0_ticket(session, &ticket, &n);
	return n > NAME_BYTES && memcmp(ticket, NAME, NAME_BYTES) == 0;
}

/* A ticket came. A copy is kept, since a connection that breaks makes its session useless. */
static int on_new(SSL *ssl, SSL_SESSION *session)
{
	struct tls_verify *v = SSL_get_app_data(ssl);
	struct tlsctx *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	STACK_OF(X509) *chain = resume_chain(ssl);
	struct session *s;

	if (!v->session_key.n || !chain || SSL_version(ssl) != TLS1_3_VERSION || !ours(session))
		return 0;
	if (atomic_fetch_add(&all_sessions, 1) >= LIMIT_SESSIONS_PROCESS || !(s = calloc(1, sizeof(*s)))) {
		atomic_fetch_sub(&all_sessions, 1);
		return 0;
	}
	s->key = (struct str){ str_dup(v->session_key), v->session_key.n };
	s->ssl = SSL_SESSION_dup(session);
	s->chain = X509_chain_up_ref(chain);
	pthread_mutex_lock(&c->resume->lock);
	list_add_tail(&c->resume->sessions, &s->link);
	if (++c->resume->n_sessions > LIMIT_SESSIONS) {
		session_free(container_of(c->resume->sessions.next, struct session, link));
		c->resume->n_sessions--;
	}
	pthread_mutex_unlock(&c->resume->lock);
	return 0;
}

void resume_client(struct tlsctx *c)
{
	SSL_CTX_set_app_data(c->client, c);
	SSL_CTX_set_session_cache_mode(c->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->client, on_new);
}

/* The newest: a ticket is used once. */
static struct session *take(struct resume *r, struct str key)
{
	struct session *found = NULL;

	pthread_mutex_lock(&r->lock);
	list_each(at, &r->sessions) {
		struct session *s = container_of(at, struct session, link);

		found = str_eq(s->key, key) ? s : found;
	}
	if (found) {
		list_del(&found->link);
		r->n_sessions--;
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

void resume_offer(struct tlsctx *c, SSL *ssl, struct tls_verify *v)
{
	struct tls_verify again = { .expect = v->expect, .n_expect = v->n_expect };
	struct session *s = c->resume && v->session_key.n ? take(c->resume, v->session_key) : NULL;

	if (!s)
		return;
	if (s->chain && s->ssl && verify_again(c, s->chain, &again) && SSL_set_session(ssl, s->ssl) == 1) {
		set_chain(ssl, s->chain);
		s->chain = NULL;
	}
	ERR_clear_error();
	session_free(s);
}
