/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to a cluster: a host, and others while connecting fails. Envoy would give up after the first one (max_connect_attempts);
 * nothing moved yet, so that going on harms nobody. */
#include <stdlib.h>

#include "base/xxhash64.h"
#include "traffic/named.h"
#include "traffic/plan.h"
#include "traffic/race.h"
#include "traffic/upool_int.h"

static bool name_fits(const char *want, const char *sni)
{
	if (*want == '*')
		return str_ends(str_c(sni), str_c(want + 1));
	return str_eq_nocase(str_c(want), str_c(sni));
}

static bool fits(const struct l4_route *r, const struct ip *to, const char *sni)
{
	bool name = r->n_sni == 0, net = r->n_to == 0;

	for (int i = 0; sni && i < r->n_sni && !name; i++)
		name = name_fits(r->sni[i], sni);
	for (int i = 0; i < r->n_to && !net; i++)
		net = cidr_has(&r->to[i], to);
	return name && net;
}

const struct l4_route *l4_route_find(const struct l4_route *v, int n, const struct ip *to, const char *sni)
{
	for (int i = 0; i < n; i++)
		if (fits(&v[i], to, sni))
			return &v[i];
	return NULL;
}

struct l4_try {
	struct router_env *env;
	struct cluster *cluster;         /* reference */
	struct connect_ask ask;          /* its texts follow */
	struct pick pick;
	struct host *tried[LIMIT_CONNECT_TRIES];   /* references */
	int n_tried;
	struct race *race;
	struct timer timer;
	struct deferred begin, grave;
	struct named_wait naming;
	uint64_t hash, start_ms;
	bool hashed, picked, connection, pending, ended;
	enum fail why;
	void (*on_done)(void *arg, struct stage *up, const struct pick *p, enum fail why, const char *detail);
	void *arg;
	char text[];
};

static void try_free(struct deferred *d)
{
	free(container_of(d, struct l4_try, grave));
}

/* Gives back all but what l4_ended gives back. */
static void let_go(struct l4_try *t)
{
	t->ended = true;
	timer_stop(&t->timer);
	named_cancel(&t->naming);
	if (t->pending)
		cluster_give(t->cluster, LIMIT_OF_PENDING);
	for (int i = 0; i < t->n_tried; i++)
		host_unref(t->tried[i]);
	t->grave.run = try_free;
	loop_bury(t->env->loop, &t->grave);
}

static void give_connection(const struct l4_try *t)
{
	if (!t->connection)
		return;
	cluster_give(t->cluster, LIMIT_OF_CONNECTIONS);
	upool_limit_freed();
}

static void fail(struct l4_try *t, enum fail why, const char *detail)
{
	give_connection(t);
	let_go(t);
	t->on_done(t->arg, NULL, NULL, why, detail);
	cluster_unref(t->cluster);
}

void l4_ended(struct cluster *c, struct pick *p)
{
	host_ended(c, p->host);
	cluster_give(c, LIMIT_OF_CONNECTIONS);
	upool_limit_freed();
	pick_done(p);
}

static void try(struct l4_try *t);

static unsigned connect_ms(const struct l4_try *t)
{
	unsigned ms = cluster_conf(t->cluster)->pool.connect_ms;

	return ms ? ms : LIMIT_CONNECT_MS;
}

static void failed(struct l4_try *t, enum fail why, const char *detail)
{
	uint64_t now = loop_now_ms(t->env->loop);

	t->race = NULL;
	timer_stop(&t->timer);
	pick_connected(t->cluster, &t->pick, why, now);
	host_ended(t->cluster, t->pick.host);
	t->tried[t->n_tried++] = host_ref(t->pick.host);
	pick_done(&t->pick);
	t->picked = false;
	t->why = why;
	if (why != FAIL_DENIED_BY_PEER && t->n_tried < LIMIT_CONNECT_TRIES && now < t->start_ms + connect_ms(t))
		try(t);
	if (!t->picked && !t->ended)
		fail(t, why, detail);
}

static void on_race(void *arg, struct stage *s, const struct addr *to, enum fail why, const char *detail)
{
	struct l4_try *t = arg;
	struct pick p;

	if (!s) {
		failed(t, why, detail);
		return;
	}
	pick_connected(t->cluster, &t->pick, FAIL_NONE, loop_now_ms(t->env->loop));
	p = t->pick;
	p.addr = *to;
	let_go(t);
	t->on_done(t->arg, s, &p, FAIL_NONE, "");
	cluster_unref(t->cluster);
}

static void on_timeout(struct timer *timer)
{
	struct l4_try *t = container_of(timer, struct l4_try, timer);

	if (t->naming.cluster) {
		fail(t, FAIL_RESOLVE, "no answer in time");
		return;
	}
	race_cancel(t->race, FAIL_CONNECT_TIMEOUT);
	failed(t, FAIL_CONNECT_TIMEOUT, "");
}

/* t->picked tells whether there is another host to connect to. */
static void try(struct l4_try *t)
{
	struct pick_ask ask = {
		.m = mesh_current(), .client = t->env->local, .original = t->ask.original, .hash = t->hash, .hashed = t->hashed,
		.tried = t->tried, .n_tried = t->n_tried, .seed = t->env->seed, .now_ms = loop_now_ms(t->env->loop),
	};

	if (!cluster_pick(t->cluster, &ask, &t->pick)) {
		t->why = t->n_tried ? t->why : t->pick.why;
		return;
	}
	for (int i = 0; i < t->n_tried; i++)
		if (t->tried[i] == t->pick.host) {      /* there is no other */
			pick_done(&t->pick);
			return;
		}
	t->race = race_start(t->env->loop, t->env->pool->connector, t->cluster, &t->pick, &t->ask, on_race, t);
	if (!t->race) {
		pick_done(&t->pick);
		t->why = FAIL_MEMORY;
		return;
	}
	t->picked = true;
	host_started(t->cluster, t->pick.host);
	timer_start(&t->timer, connect_ms(t));
}

/* ---- a server that the client's TLS names ---- */

static void on_name(struct named_wait *w, struct cluster *name)
{
	struct l4_try *t = container_of(w, struct l4_try, naming);

	timer_stop(&t->timer);
	cluster_unref(t->cluster);
	t->cluster = name;
	try(t);
	if (!t->picked)
		fail(t, t->why, "");
}

/* FAIL_NONE: the name's cluster is known now, or waited for. */
static enum fail begin_named(struct l4_try *t)
{
	const struct cluster_conf *conf = cluster_conf(t->cluster);
	char name[NAMED_MAX];
	struct cluster *found;
	enum fail why;

	if (!t->ask.sni.n)
		return FAIL_NO_SNI;
	if (named_check(conf->hosts, conf->n_hosts, t->ask.sni, name) != FAIL_NONE)
		return FAIL_SNI_OUTSIDE;
	t->naming.on_cluster = on_name;
	why = named_get(t->cluster, name, t->env->loop, &t->naming, &found);
	if (why == FAIL_NONE && found)
		on_name(&t->naming, found);
	else if (why == FAIL_NONE)
		timer_start(&t->timer, connect_ms(t));
	return why;
}

static void on_begin(struct deferred *d)
{
	struct l4_try *t = container_of(d, struct l4_try, begin);

	if (t->ended)
		return;
	t->start_ms = loop_now_ms(t->env->loop);
	t->pending = cluster_take(t->cluster, LIMIT_OF_PENDING);
	t->connection = t->pending && cluster_take(t->cluster, LIMIT_OF_CONNECTIONS);
	t->why = FAIL_OVERFLOW;
	if (t->connection && cluster_conf(t->cluster)->kind == CLUSTER_NAMED) {
		t->why = begin_named(t);
		if (t->why != FAIL_NONE)
			fail(t, t->why, "");
		return;
	}
	if (t->connection)
		try(t);
	if (!t->picked)
		fail(t, t->why, "");
}

struct l4_try *l4_connect(struct router_env *env, struct cluster *c, const struct connect_ask *ask,
			  void (*on_done)(void *arg, struct stage *up, const struct pick *p, enum fail why, const char *detail), void *arg)
{
	struct l4_try *t = calloc(1, sizeof(*t) + ask->sni.n + ask->identity.n + ask->caller.n);

	if (!t)
		return NULL;
	t->env = env;
	t->cluster = cluster_ref(c);
	t->ask = *ask;
	t->ask.sni.p = memcpy(t->text, ask->sni.n ? ask->sni.p : "", ask->sni.n);
	t->ask.identity.p = memcpy(t->text + ask->sni.n, ask->identity.n ? ask->identity.p : "", ask->identity.n);
	t->ask.caller.p = memcpy(t->text + ask->sni.n + ask->identity.n, ask->caller.n ? ask->caller.p : "", ask->caller.n);
	t->on_done = on_done;
	t->arg = arg;
	if (cluster_conf(c)->lb.hash.by == HASH_SOURCE_IP) {
		char text[ADDR_TEXT];

		ip_format(&ask->client.ip, text);
		t->hash = xxhash64(text, strlen(text), 0);
		t->hashed = true;
	}
	timer_init(&t->timer, env->loop, on_timeout);
	t->begin.run = on_begin;
	loop_defer(env->loop, &t->begin);
	return t;
}

void l4_cancel(struct l4_try *t)
{
	if (!t)
		return;
	race_cancel(t->race, FAIL_CLIENT_RESET);
	if (t->picked) {
		host_ended(t->cluster, t->pick.host);
		pick_done(&t->pick);
	}
	give_connection(t);
	let_go(t);
	cluster_unref(t->cluster);
}
