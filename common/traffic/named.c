/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/named.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/epoch.h"
#include "base/log.h"
#include "traffic/cluster_int.h"

#define BUCKETS 256

struct name {
	_Atomic(struct name *) next;     /* of the bucket */
	struct cluster *cluster;         /* reference */
	atomic_uint_least64_t used_ms;
	uint64_t hash;
	char text[];
};

/* Who looks takes no lock; who goes out of a bucket is freed when nobody looks any more. */
struct names {
	pthread_mutex_t lock;            /* of changes */
	int n;
	uint64_t tidied_ms;
	atomic_flag told;                /* that there are too many */
	_Atomic(struct name *) buckets[BUCKETS];
};

/* --- what may be asked for --- */

static bool is_name_byte(unsigned char c)
{
	return isalnum(c) || c == '-' || c == '_' || c == '.';
}

/* The host of an authority. */
static struct str host_of(struct str authority)
{
	size_t n = authority.n;

	while (n && authority.p[n - 1] >= '0' && authority.p[n - 1] <= '9')
		n--;
	return n && authority.p[n - 1] == ':' ? (struct str){ authority.p, n - 1 } : authority;
}

static bool is_within(const char *pattern, const char *name, size_t n)
{
	size_t k = strlen(pattern);

	if (*pattern != '*')
		return strcmp(pattern, name) == 0;
	return n > k - 1 && strcmp(pattern + 1, name + n - (k - 1)) == 0;
}

enum fail named_check(const char *const *patterns, int n, struct str authority, char ret[NAMED_MAX])
{
	struct str host = host_of(authority);
	char text[NAMED_MAX];
	struct ip ip;

	if (host.n && (host.p[0] == '[' || ip_parse(host, &ip) == 0))
		return FAIL_HOST_ADDRESS;
	/* With a final dot it is the same host, but not the same text to policies: what they refuse would be reached by it. */
	if (!host.n || host.n >= sizeof(text) || host.p[host.n - 1] == '.')
		return FAIL_HOST_OUTSIDE;
	for (size_t i = 0; i < host.n; i++) {
		unsigned char c = (unsigned char)host.p[i];

		if (!is_name_byte(c) || (c == '.' && (i == 0 || host.p[i - 1] == '.')))
			return FAIL_HOST_OUTSIDE;
		text[i] = (char)tolower(c);
	}
	text[host.n] = '\0';
	for (int i = 0; i < n; i++)
		if (is_within(patterns[i], text, host.n)) {
			memcpy(ret, text, host.n + 1);
			return FAIL_NONE;
		}
	return FAIL_HOST_OUTSIDE;
}

/* --- where no name outside leads --- */

static bool is_in(const struct ip *ip, const char *block)
{
	struct cidr c;

	return cidr_parse(str_c(block), &c) == 0 && cidr_has(&c, ip);
}

/* RFC 6890 and its kin: never another host; and where clouds tell their machines secrets. Private networks may be meant. */
static bool is_special(const struct ip *ip)
{
	static const char *const v4[] = { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4" };
	static const char *const v6[] = { "::/127", "fe80::/10", "ff00::/8", "2001:2::/48", "fd00:ec2::/32" };
	const char *const *v = ip_is_v4(ip) ? v4 : v6;
	int n = ip_is_v4(ip) ? (int)ARRAY_LEN(v4) : (int)ARRAY_LEN(v6);

	for (int i = 0; i < n; i++)
		if (is_in(ip, v[i]))
			return true;
	return false;
}

/* An IPv4 address in IPv6's clothes (RFC 6052 2.1, RFC 4291 2.5.5.1). */
static bool is_dressed(const struct ip *ip, struct ip *ret)
{
	if (ip_is_v4(ip) || !(is_in(ip, "64:ff9b::/96") || is_in(ip, "::/96")))
		return false;
	*ret = (struct ip){ { 0 } };
	ret->b[10] = ret->b[11] = 0xff;
	memcpy(ret->b + 12, ip->b + 12, 4);
	return true;
}

bool named_forbids(const struct mesh *m, const struct workload *client, const struct ip *ip)
{
	struct str network = str_c(client ? client->network : mesh_settings(m)->network);
	struct ip bare;

	if (is_special(ip) || mesh_service_by_vip(m, network, ip, str_c(client ? client->ns : "")))
		return true;
	for (int i = 0; client && i < client->n_ips; i++)
		if (ip_eq(&client->ips[i], ip))
			return true;
	return is_dressed(ip, &bare) && named_forbids(m, client, &bare);
}

/* --- the names --- */

struct names *names_new(void)
{
	struct names *s = xcalloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	return s;
}

static void name_free(void *v)
{
	struct name *n = v;

	cluster_unref(n->cluster);
	free(n);
}

void names_free(struct names *s)
{
	if (!s)
		return;
	for (int i = 0; i < BUCKETS; i++)
		for (struct name *n = atomic_load(&s->buckets[i]), *next; n; n = next) {
			next = atomic_load(&n->next);
			name_free(n);
		}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void names_each(const struct names *s, void (*fn)(const struct cluster *c, void *arg), void *arg)
{
	for (int i = 0; i < BUCKETS; i++)
		for (struct name *n = atomic_load_explicit(&s->buckets[i], memory_order_acquire); n; n = atomic_load_explicit(&n->next, memory_order_acquire))
			fn(n->cluster, arg);
}

static struct name *find(struct names *s, uint64_t hash, const char *text)
{
	struct name *n = atomic_load_explicit(&s->buckets[hash % BUCKETS], memory_order_acquire);

	while (n && (n->hash != hash || strcmp(n->text, text)))
		n = atomic_load_explicit(&n->next, memory_order_acquire);
	return n;
}

static uint64_t used_ms(const struct name *n)
{
	return atomic_load_explicit(&n->used_ms, memory_order_relaxed);
}

/* Nobody has it but the table: no request, no connection. */
static bool is_free(const struct name *n)
{
	return atomic_load_explicit(&n->cluster->refs, memory_order_relaxed) == 1;
}

static void drop(struct names *s, _Atomic(struct name *) *at)
{
	struct name *n = atomic_load(at);

	atomic_store_explicit(at, atomic_load(&n->next), memory_order_release);
	s->n--;
	epoch_defer(n, name_free);
}

/* Those that were not used for long; and, when there is no room else, the one that was not used longest. */
static void tidy(struct names *s, uint64_t now)
{
	_Atomic(struct name *) *oldest = NULL;

	for (int i = 0; i < BUCKETS; i++)
		for (_Atomic(struct name *) *at = &s->buckets[i]; atomic_load(at);) {
			struct name *n = atomic_load(at);

			if (is_free(n) && now > used_ms(n) + LIMIT_NAME_IDLE_MS) {
				drop(s, at);
				continue;
			}
			if (is_free(n) && (!oldest || used_ms(n) < used_ms(atomic_load(oldest))))
				oldest = at;
			at = &n->next;
		}
	if (s->n >= LIMIT_NAMES && oldest)
		drop(s, oldest);
	s->tidied_ms = now;
}

static struct name *make(struct cluster *c, const char *text, uint64_t hash, uint64_t now)
{
	size_t size = strlen(text) + 1;
	struct name *n = xcalloc(1, sizeof(*n) + size);
	struct cluster_conf conf = c->conf;

	memcpy(n->text, text, size);
	n->hash = hash;
	atomic_init(&n->used_ms, now);
	conf.kind = CLUSTER_NAME;
	conf.hosts = &text;
	conf.n_hosts = 1;
	if (!conf.pool.idle_ms || conf.pool.idle_ms > LIMIT_NAME_IDLE_MS)
		conf.pool.idle_ms = LIMIT_NAME_IDLE_MS;      /* so that the name may go */
	n->cluster = cluster_new_name(&conf, c);
	hostname_use(n->cluster->wanted[0], now);
	return n;
}

/* NULL: there is no room. */
static struct name *add(struct cluster *c, const char *text, uint64_t hash, uint64_t now)
{
	struct names *s = c->names;
	struct name *n;

	pthread_mutex_lock(&s->lock);
	n = find(s, hash, text);
	if (!n && (s->n >= LIMIT_NAMES || now > s->tidied_ms + LIMIT_NAME_IDLE_MS))
		tidy(s, now);
	if (!n && s->n < LIMIT_NAMES) {
		n = make(c, text, hash, now);
		atomic_store_explicit(&n->next, atomic_load(&s->buckets[hash % BUCKETS]), memory_order_relaxed);
		atomic_store_explicit(&s->buckets[hash % BUCKETS], n, memory_order_release);
		s->n++;
	}
	pthread_mutex_unlock(&s->lock);
	if (!n && !atomic_flag_test_and_set(&s->told))
		log_warn(LOG_NET, "%s: more than %d names are in use at once: requests for others are refused (said once)", c->conf.name, LIMIT_NAMES);
	return n;
}

/* --- who asks --- */

static void on_settled(struct hostname_wait *h)
{
	struct named_wait *w = container_of(h, struct named_wait, wait);
	struct cluster *c = w->cluster;

	w->cluster = NULL;
	w->on_cluster(w, c);
}

enum fail named_get(struct cluster *c, const char *name, struct loop *l, struct named_wait *w, struct cluster **ret)
{
	uint64_t hash = hash_bytes(name, strlen(name)), now = loop_now_ms(l);
	struct name *n = find(c->names, hash, name);
	struct cluster *of;

	n = n ? n : add(c, name, hash, now);
	if (!n)
		return FAIL_NAMES_FULL;
	atomic_store_explicit(&n->used_ms, now, memory_order_relaxed);
	of = cluster_ref(n->cluster);
	hostname_use(of->wanted[0], now);
	*ret = NULL;
	w->cluster = of;
	w->wait.on_settled = on_settled;
	if (hostname_wait(of->wanted[0], l, &w->wait))
		return FAIL_NONE;
	w->cluster = NULL;
	*ret = of;
	return FAIL_NONE;
}

bool named_has(struct cluster *c, const struct cluster *name)
{
	const char *text = name->conf.kind == CLUSTER_NAME ? name->conf.hosts[0] : NULL;
	const struct name *n = text && c->names ? find(c->names, hash_bytes(text, strlen(text)), text) : NULL;

	return n && n->cluster == name;
}

void named_cancel(struct named_wait *w)
{
	if (!w->cluster)
		return;
	hostname_wait_end(&w->wait);
	cluster_unref(w->cluster);
	w->cluster = NULL;
}
