/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/jwksource.h"

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/epoch.h"
#include "base/list.h"
#include "base/log.h"
#include "http/h1post.h"
#include "tls/webctx.h"

#define TICK_MS 200
#define DISCOVERY "/.well-known/openid-configuration"

struct jwksource {
	struct list link;
	atomic_uint refs, attempts;
	atomic_bool used, wanted, busy;
	_Atomic(const struct jwks *) keys;   /* reference held; readers look within a turn */
	_Atomic uint64_t asked_ms;           /* when the last attempt began, by the control loop's clock; 0: never */
	char *url;                           /* owned; the issuer with discovery */
	bool discovery;
	unsigned timeout_ms, failures;
	/* While one is under way. */
	struct h1post *get;
	struct dial_conf dial;
	char *target;                        /* owned; borrowed by the dial */
	bool discovered;                     /* target is what discovery said */
	struct str name;
	char error[300];
};

static struct list sources = { &sources, &sources };
static struct {
	struct loop *loop;
	struct jwksource_conf conf;
	struct cidr *blocked;
	char *roots;
	struct timer tick;
} us;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- names --- */

struct jwksource *jwksource_get(const char *url, bool discovery, unsigned timeout_ms)
{
	struct jwksource *s;

	for (struct list *i = sources.next; i != &sources; i = i->next) {
		s = container_of(i, struct jwksource, link);
		if (s->discovery == discovery && !strcmp(s->url, url)) {
			atomic_fetch_add(&s->refs, 1);
			s->timeout_ms = timeout_ms > s->timeout_ms ? timeout_ms : s->timeout_ms;
			return s;
		}
	}
	s = xcalloc(1, sizeof(*s));
	atomic_init(&s->refs, 1);
	s->url = xstrdup(url);
	s->discovery = discovery;
	s->timeout_ms = timeout_ms;
	list_add_tail(&sources, &s->link);
	if (us.loop && !timer_armed(&us.tick))
		timer_start(&us.tick, 0);
	return s;
}

/* The control thread takes it away at its next tick. */
void jwksource_unref(struct jwksource *s)
{
	if (s)
		atomic_fetch_sub(&s->refs, 1);
}

void jwksource_touch(struct jwksource *s)
{
	atomic_store(&s->used, true);
}

const struct jwks *jwksource_keys(const struct jwksource *s)
{
	return atomic_load(&((struct jwksource *)s)->keys);
}

bool jwksource_want(struct jwksource *s)
{
	uint64_t asked = atomic_load(&s->asked_ms);

	if (atomic_load(&s->busy))
		return true;
	if (asked && now_ms() - asked < LIMIT_JWKS_AGAIN_MS)
		return false;
	atomic_store(&s->wanted, true);
	return true;
}

unsigned jwksource_attempts(const struct jwksource *s)
{
	return atomic_load(&((struct jwksource *)s)->attempts);
}

/* --- fetching --- */

static bool refuses(const struct ip *ip)
{
	static const struct cidr always[] = {
		{ { { [10] = 255, 255, 169, 254 } }, 112 },          /* 169.254.0.0/16 */
		{ { { 0xfe, 0x80 } }, 10 },
		{ { { 0xfd, 0x00, 0x0e, 0xc2 } }, 32 },              /* fd00:ec2::/32 */
	};

	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (cidr_has(&always[i], ip))
			return true;
	for (int i = 0; i < us.conf.n_blocked; i++)
		if (cidr_has(&us.blocked[i], ip))
			return true;
	return false;
}

static void keys_free(void *k)
{
	jwks_unref(k);
}

static void ended(struct jwksource *s, const char *error)
{
	bool news = strcmp(s->error, error) != 0;

	s->get = NULL;
	snprintf(s->error, sizeof(s->error), "%s", error);
	if (*error) {
		s->failures++;
		if (news)
			log_warn(LOG_POLICY, "keys of %s: %s; %s", s->url, error, jwksource_keys(s) ? "the last ones stay in use" :
				 "tokens that need them are refused until they come");
	} else {
		s->failures = 0;
		}
	atomic_store(&s->busy, false);
	atomic_fetch_add(&s->attempts, 1);
}

static void fetch(struct jwksource *s, const char *url);

static void discovered(struct jwksource *s, struct str body)
{
	json_t *root = json_loadb(body.p, body.n, 0, NULL);
	const char *uri = json_string_value(json_object_get(root, "jwks_uri"));
	char text[2048];

	snprintf(text, sizeof(text), "%s", uri ? uri : "");
	json_decref(root);
	if (!uri || strlen(text) + 1 == sizeof(text)) {
		ended(s, "what the issuer publishes at " DISCOVERY " names no jwks_uri");
		return;
	}
	s->discovered = true;
	fetch(s, text);
}

static void take(struct jwksource *s, struct str body)
{
	struct err err = { "" };
	struct jwks *keys = jwks_parse(body, false, &err);
	const struct jwks *old;
	char text[300];

	if (!keys) {
		snprintf(text, sizeof(text), "what came is not usable: %.200s", err.msg);
		ended(s, text);
		return;
	}
	old = atomic_exchange(&s->keys, keys);
	if (old)
		epoch_retire((void *)old, keys_free);
	else
		log_info(LOG_POLICY, "keys of %s: %d", s->url, jwks_count(keys));
	ended(s, "");
}

static void on_reply(void *arg, const struct h1post_reply *r)
{
	struct jwksource *s = arg;
	char text[64];

	s->get = NULL;
	if (!r->status) {
		ended(s, r->error);
	} else if (r->status != 200) {
		snprintf(text, sizeof(text), "the server answered %d%s", r->status, r->status / 100 == 3 ? "; redirects are not followed" : "");
		ended(s, text);
	} else if (r->cut) {
		ended(s, "what came is larger than 1 MiB");
	} else if (s->discovery && !s->discovered) {
		discovered(s, r->body);
	} else {
		take(s, r->body);
	}
}

/* dial_url_parse wants a port. */
static bool parse(struct jwksource *s, const char *url, struct dial_url *ret)
{
	struct str rest = str_c(url), authority;
	bool tls = str_starts(rest, str_c("https://"));
	size_t skip = tls ? 8 : 7, n;

	if (!tls && !str_starts(rest, str_c("http://")))
		return false;
	rest = (struct str){ rest.p + skip, rest.n - skip };
	n = strcspn(rest.p, "/?#");
	authority = (struct str){ rest.p, n };
	free(s->target);
	if (memrchr(authority.p, ':', n) && !str_ends(authority, str_c("]")))
		s->target = xstrdup(url);
	else
		s->target = xasprintf("%s://%.*s:%d%.*s", tls ? "https" : "http", STR_FMT(authority), tls ? 443 : 80, (int)(rest.n - n), rest.p + n);
	return dial_url_parse(str_c(s->target), ret) == 0;
}

static struct tlsctx *context(char *error, size_t n)
{
	struct webctx_conf conf = { .roots = us.conf.roots, .http1 = true };
	struct tlsctx *ctx;
	struct err err;

	if (webctx_new(&conf, &ctx, &err) == 0)
		return ctx;
	snprintf(error, n, "%.280s", err.msg);
	return NULL;
}

static void fetch(struct jwksource *s, const char *url)
{
	struct dial_url u;
	struct h1post_conf conf = { .dial = &s->dial, .get = true, .deadline_ms = s->timeout_ms, .reply_bytes = LIMIT_JWKS_BYTES };
	static const struct http_field accept = { { "Accept", 6 }, { "application/json", 16 } };
	char error[300] = "want http://HOST/PATH or https://HOST/PATH";

	if (!parse(s, url, &u)) {
		ended(s, error);
		return;
	}
	s->name = u.host;
	s->dial = (struct dial_conf){ .host = u.host, .port = u.port, .names = &s->name, .n_names = 1, .sock_ops = us.conf.sock_ops,
				      .resolver = us.conf.resolver, .refuses = refuses };
	if (u.tls && !(s->dial.ctx = context(error, sizeof(error)))) {
		ended(s, error);
		return;
	}
	conf.authority = u.port == (u.tls ? 443 : 80) ? u.host : u.authority;
	conf.path = u.path.n ? u.path : str_c("/");
	conf.fields = &accept;
	conf.n_fields = 1;
	s->get = h1post_start(us.loop, &conf, on_reply, s);
	if (u.tls)
		tlsctx_unref(s->dial.ctx);
	if (!s->get)
		ended(s, "out of memory");
}

static void begin(struct jwksource *s)
{
	size_t n = strlen(s->url);
	char *url = s->discovery ? xasprintf("%.*s" DISCOVERY, (int)(n && s->url[n - 1] == '/' ? n - 1 : n), s->url) : xstrdup(s->url);

	atomic_store(&s->busy, true);
	atomic_store(&s->wanted, false);
	atomic_store(&s->asked_ms, now_ms());
	s->discovered = false;
	fetch(s, url);
	free(url);
}

/* --- time --- */

static void source_free(struct jwksource *s)
{
	const struct jwks *keys = atomic_load(&s->keys);

	h1post_cancel(s->get);
	if (keys)
		epoch_retire((void *)keys, keys_free);
	list_del(&s->link);
	free(s->target);
	free(s->url);
	free(s);
}

static bool is_due(struct jwksource *s)
{
	uint64_t asked = atomic_load(&s->asked_ms), age = now_ms() - asked;
	uint64_t pause = 1000u << (s->failures < 6 ? s->failures : 6);

	if (s->get || !atomic_load(&s->used))
		return false;
	if (!asked || atomic_load(&s->wanted))
		return true;
	return age >= (s->failures && pause < LIMIT_JWKS_FRESH_MS ? pause : LIMIT_JWKS_FRESH_MS);
}

static void on_tick(struct timer *t)
{
	for (struct list *i = sources.next, *next; i != &sources; i = next) {
		struct jwksource *s = container_of(i, struct jwksource, link);

		next = i->next;
		if (!atomic_load(&s->refs))
			source_free(s);
		else if (is_due(s))
			begin(s);
	}
	if (!list_empty(&sources))
		timer_start(t, TICK_MS);
}

void jwksource_start(struct loop *l, const struct jwksource_conf *conf)
{
	us.loop = l;
	us.conf = *conf;
	us.roots = str_dup(conf->roots);
	us.conf.roots = str_c(us.roots);
	us.blocked = xcalloc((size_t)conf->n_blocked + 1, sizeof(*us.blocked));
	if (conf->n_blocked)
		memcpy(us.blocked, conf->blocked, (size_t)conf->n_blocked * sizeof(*us.blocked));
	timer_init(&us.tick, l, on_tick);
	if (!list_empty(&sources))
		timer_start(&us.tick, 0);
}

void jwksource_stop(void)
{
	if (!us.loop)
		return;
	for (struct list *i = sources.next; i != &sources; i = i->next) {
		struct jwksource *s = container_of(i, struct jwksource, link);

		h1post_cancel(s->get);
		s->get = NULL;
		atomic_store(&s->busy, false);
	}
	timer_stop(&us.tick);
	free(us.roots);
	free(us.blocked);
	memset(&us, 0, sizeof(us));
}
