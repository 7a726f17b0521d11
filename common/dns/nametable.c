/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/nametable.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

/* One way to read the name. */
struct candidate {
	char name[DNSMSG_NAME];
	int stripped;
	bool pod;                /* may be <pod>.<headless service> */
};

/* false ends the walk */
typedef bool (*candidate_fn)(void *arg, const struct candidate *c);

static int count_labels(const char *name)
{
	int n = *name != '\0';

	for (; *name; name++)
		n += *name == '.';
	return n;
}

/* Is the name in the domain, with something before it? *ret: how much. */
static bool in_domain(const char *name, const char *domain, size_t *ret)
{
	size_t n = strlen(name), d = strlen(domain);

	if (!d || n <= d + 1 || name[n - d - 1] != '.' || memcmp(name + n - d, domain, d) != 0)
		return false;
	*ret = n - d - 1;
	return true;
}

__attribute__((format(printf, 5, 6)))
static bool give(candidate_fn fn, void *arg, int stripped, bool pod, const char *fmt, ...)
{
	struct candidate c = { .stripped = stripped, .pod = pod };
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c.name, sizeof(c.name), fmt, ap);
	va_end(ap);
	return n < 0 || n >= (int)sizeof(c.name) || fn(arg, &c);
}

/* The name and what Kubernetes' short forms make of it. */
static bool expand(const struct nametable_view *v, const char *name, int stripped, candidate_fn fn, void *arg)
{
	const char *domain = mesh_settings(v->mesh)->cluster_domain, *ns = v->client->ns;
	int labels = count_labels(name);
	size_t n;
	bool svc = in_domain(name, "svc", &n);

	if (!give(fn, arg, stripped, labels > 3, "%s", name))
		return false;
	switch (labels) {
	case 1: return give(fn, arg, stripped, false, "%s.%s.svc.%s", name, ns, domain);
	case 2: return give(fn, arg, stripped, false, "%s.svc.%s", name, domain) &&
		       give(fn, arg, stripped, true, "%s.%s.svc.%s", name, ns, domain);
	case 3: return (!svc || give(fn, arg, stripped, false, "%s.%s", name, domain)) &&
		       give(fn, arg, stripped, true, "%s.svc.%s", name, domain);
	case 4: return !svc || give(fn, arg, stripped, true, "%s.%s", name, domain);
	default: return true;
	}
}

static bool expand_in(const struct nametable_view *v, const char *name, const char *domain, candidate_fn fn, void *arg)
{
	char rest[DNSMSG_NAME];
	size_t n;

	if (!in_domain(name, domain, &n))
		return true;
	memcpy(rest, name, n);
	rest[n] = '\0';
	return expand(v, rest, count_labels(rest), fn, arg);
}

static void each_candidate(const struct nametable_view *v, const char *name, candidate_fn fn, void *arg)
{
	const char *domain = mesh_settings(v->mesh)->cluster_domain;
	char search[3][DNSMSG_NAME];

	if (!expand(v, name, 0, fn, arg))
		return;
	for (int i = 0; v->search && i < v->n_search; i++)
		if (!expand_in(v, name, v->search[i], fn, arg))
			return;
	if (v->search)
		return;
	snprintf(search[0], DNSMSG_NAME, "%s.svc.%s", v->client->ns, domain);
	snprintf(search[1], DNSMSG_NAME, "svc.%s", domain);
	snprintf(search[2], DNSMSG_NAME, "%s", domain);
	for (int i = 0; i < 3; i++)
		if (!expand_in(v, name, search[i], fn, arg))
			return;
}

/* ---- services ---- */

static bool in_cluster(const struct nametable_view *v, const char *hostname)
{
	size_t n;

	return in_domain(hostname, mesh_settings(v->mesh)->cluster_domain, &n);
}

static bool has_vip(const struct service *s)
{
	for (int i = 0; i < s->n_vips; i++)
		if (s->vips[i].cidr.bits == 128)
			return true;
	return false;
}

static bool is_headless(const struct nametable_view *v, const struct service *s)
{
	char svc[DNSMSG_NAME];
	size_t n;

	snprintf(svc, sizeof(svc), "svc.%s", mesh_settings(v->mesh)->cluster_domain);
	return s->n_vips == 0 && in_domain(s->hostname, svc, &n);
}

struct choice {
	const struct nametable_view *view;
	bool headless_only;
	struct service *best;
};

static int rank(const struct nametable_view *v, const struct service *s)
{
	return strcmp(s->ns, v->client->ns) == 0 ? 3 : s->canonical ? 2
		: v->preferred_ns && strcmp(s->ns, v->preferred_ns) == 0 ? 1 : 0;
}

static bool choose(struct service *s, void *arg)
{
	struct choice *c = arg;
	const struct nametable_view *v = c->view;
	int by;

	if (s->hidden_outside_ns && strcmp(s->ns, v->client->ns) != 0)
		return true;
	if (!is_headless(v, s) && (c->headless_only || !has_vip(s)))
		return true;
	by = c->best ? rank(v, s) - rank(v, c->best) : 1;
	if (by > 0 || (by == 0 && strcmp(s->key, c->best->key) < 0))
		c->best = s;
	return true;
}

static struct service *service_called(const struct nametable_view *v, const char *hostname, bool headless_only)
{
	struct choice c = { .view = v, .headless_only = headless_only };

	mesh_each_service_called(v->mesh, str_c(hostname), choose, &c);
	return c.best;
}

/* ---- pods of headless services ---- */

static struct workload *pod_called(const struct nametable_view *v, const char *name)
{
	const char *rest = strchr(name, '.');
	struct service *s = rest ? service_called(v, rest + 1, true) : NULL;
	struct str pod = { name, rest ? (size_t)(rest - name) : 0 };
	const struct endpoint *e = NULL;
	struct workload *w;
	char uid[640];

	if (!s || !s->endpoints->n)
		return NULL;
	/* The same name may exist in other clusters. */
	if (snprintf(uid, sizeof(uid), "%s//Pod/%s/%.*s", v->client->cluster, s->ns, STR_FMT(pod)) < (int)sizeof(uid))
		e = endpoints_find(s->endpoints, str_c(uid));
	if (e)
		return e->workload;
	w = mesh_workload_named(v->mesh, str_c(s->ns), pod);
	return w && endpoints_find(s->endpoints, str_c(w->uid)) ? w : NULL;
}

struct finding {
	const struct nametable_view *view;
	struct nametable_match *match;
	bool found;
};

static bool find(void *arg, const struct candidate *c)
{
	struct finding *f = arg;
	const struct nametable_view *v = f->view;
	char wild[DNSMSG_NAME + 2] = "*";
	bool exact = true;

	for (const char *at = c->name; at; exact = false) {
		struct service *s = service_called(v, exact ? at : wild, false);

		if (s) {
			*f->match = (struct nametable_match){
				.service = s, .cluster = in_cluster(v, s->hostname), .stripped = exact ? c->stripped : 0,
			};
			return !(f->found = true);
		}
		at = exact ? c->name : at;
		at = strchr(at, '.');
		if (at)
			snprintf(wild + 1, sizeof(wild) - 1, "%s", at++);
	}
	if (c->pod) {
		struct workload *w = pod_called(v, c->name);

		if (w) {
			*f->match = (struct nametable_match){ .workload = w, .cluster = true, .stripped = c->stripped };
			f->found = true;
		}
	}
	return !f->found;
}

bool nametable_find(const struct nametable_view *v, const char *name, struct nametable_match *ret)
{
	struct nametable_match match;
	struct finding f = { v, &match, false };

	if (!*name)
		return false;
	each_candidate(v, name, find, &f);
	if (f.found)
		*ret = match;
	return f.found;
}

/* ---- addresses ---- */

static bool of_family(const struct ip *ip, bool v4)
{
	return ip_is_v4(ip) == v4;
}

static const struct ip *first_ip(const struct workload *w, bool v4)
{
	for (int i = 0; i < w->n_ips; i++)
		if (of_family(&w->ips[i], v4))
			return &w->ips[i];
	return NULL;
}

struct drawing {
	struct ip *v;
	int n, max, seen;
	uint64_t state;
};

/* xorshift64* */
static uint32_t draw(struct drawing *d, uint32_t below)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return (uint32_t)(((d->state * 2685821657736338717u) >> 32) * below >> 32);
}

/* Random order, and a fair sample when there are more than fit. */
static void take(struct drawing *d, const struct ip *ip)
{
	uint32_t at = draw(d, (uint32_t)++d->seen);

	if (d->n < d->max) {
		d->v[d->n] = d->v[at];
		d->v[at] = *ip;
		d->n++;
	} else if (at < (uint32_t)d->max) {
		d->v[at] = *ip;
	}
}

static void take_endpoints(struct drawing *d, const struct nametable_view *v, const struct service *s, bool v4)
{
	for (int i = 0; i < s->endpoints->n; i++) {
		const struct workload *w = endpoints_at(s->endpoints, i)->workload;
		const struct ip *ip = first_ip(w, v4);

		/* Addresses of another network would lead nowhere, or to somebody else. */
		if (ip && (w->healthy || s->allow_unhealthy) && strcmp(w->network, v->client->network) == 0)
			take(d, ip);
	}
}

int nametable_addresses(const struct nametable_view *v, const struct nametable_match *m, bool v4, struct ip *ret, int max)
{
	const struct service *s = m->service;
	struct drawing d = { .v = ret, .max = max };

	if (getrandom(&d.state, sizeof(d.state), GRND_NONBLOCK) != sizeof(d.state) || !d.state)
		d.state = 88172645463325252u;
	if (s && ((s->families == FAMILIES_V4 && !v4) || (s->families == FAMILIES_V6 && v4)))
		return 0;
	for (int i = 0; !s && i < m->workload->n_ips; i++)
		if (of_family(&m->workload->ips[i], v4))
			take(&d, &m->workload->ips[i]);
	if (s && !has_vip(s))
		take_endpoints(&d, v, s, v4);
	for (int i = 0; s && i < s->n_vips; i++) {
		const struct vip *vip = &s->vips[i];

		if (vip->cidr.bits == 128 && of_family(&vip->cidr.ip, v4) && strcmp(vip->network, v->client->network) == 0)
			take(&d, &vip->cidr.ip);
	}
	return d.n;
}

/* ---- keys ---- */

struct naming {
	const struct nametable_view *view;
	void (*fn)(void *arg, struct str key);
	void *arg;
};

static bool name_key(void *arg, const struct candidate *c)
{
	const struct naming *k = arg;
	const char *domain = mesh_settings(k->view->mesh)->cluster_domain, *ns = k->view->client->ns;
	char svc[DNSMSG_NAME], key[2 * DNSMSG_NAME];
	const char *host = c->name, *second;
	size_t n;
	int len;

	snprintf(svc, sizeof(svc), "svc.%s", domain);
	if (!in_domain(host, svc, &n)) {
		len = snprintf(key, sizeof(key), "%s/%s", ns, host);
	} else {
		/* <service>.<ns>, or <pod>.<service>.<ns> */
		int dots = 0;

		for (size_t i = 0; i < n; i++)
			dots += host[i] == '.';
		if (dots == 2)
			host = strchr(host, '.') + 1;
		second = strchr(host, '.') + 1;
		if (dots < 1 || dots > 2)
			return true;
		len = snprintf(key, sizeof(key), "%.*s/%s", (int)strcspn(second, "."), second, host);
	}
	k->fn(k->arg, (struct str){ key, (size_t)len });
	return true;
}

void nametable_keys(const struct nametable_view *v, const char *name, void (*fn)(void *arg, struct str key), void *arg)
{
	struct naming k = { v, fn, arg };

	if (*name)
		each_candidate(v, name, name_key, &k);
}
