/* SPDX-License-Identifier: Apache-2.0 */
/* Mesh to plan: helpers of all parts, and the order of the parts. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/regex.h"
#include "telemetry/format.h"
#include "traffic/compile_int.h"

const char *compile_printf(struct arena *mem, const char *fmt, ...)
{
	va_list ap, again;
	char *text;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	text = arena_alloc(mem, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return text;
}

void compile_report(struct compile *c, const struct resource *r, const char *fmt, ...)
{
	const char *object = compile_printf(&c->tmp, "%s%s%s %s/%s", r->where, *r->where ? ": " : "", r->origin, r->ns, r->name), *key;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	key = compile_printf(&c->tmp, "%s\n%s", object, text);
	if (map_get(&c->reported, str_c(key)))
		return;
	map_put(&c->reported, str_c(key), c);
	if (c->report)
		c->report(c->arg, object, text);
}

void compile_hold(struct compile *c, const struct resource *r)
{
	/* Held once for each use in a row is once too often only. */
	if (c->p->held.n && c->p->held.v[c->p->held.n - 1] == r)
		return;
	plan_own(&c->p->held, resource_ref((struct resource *)r));
}

const struct regex *compile_regex(struct compile *c, const struct resource *r, const char *pattern)
{
	struct regex *x = map_get(&c->regexes, str_c(pattern));
	struct err err = { "" };

	if (x)
		return x;
	x = regex_new(str_c(pattern), &err);
	if (!x) {
		compile_report(c, r, "its rule with \"%s\" matches nothing: %s", pattern, err.msg);
		return NULL;
	}
	map_put(&c->regexes, str_c(arena_dup(&c->tmp, str_c(pattern))), x);
	plan_own(&c->p->regexes, x);
	return x;
}

const struct format *compile_format(struct compile *c, const struct resource *r, const char *text)
{
	struct err err = { "" };
	struct format *f = format_parse(str_c(text), &err);

	if (f)
		plan_own(&c->p->formats, f);
	else
		compile_report(c, r, "the header value \"%s\" is left out: %s", text, err.msg);
	return f;
}

/* ---- names ---- */

bool host_wild(const char *h)
{
	return *h == '*';
}

static bool ends(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !memcmp(text + n - k, end, k);
}

bool host_matches(const char *a, const char *b)
{
	if (host_wild(a) && host_wild(b))
		return strlen(a) < strlen(b) ? ends(b + 1, a + 1) : ends(a + 1, b + 1);
	if (host_wild(a))
		return ends(b, a + 1);
	return host_wild(b) ? ends(a, b + 1) : !strcmp(a, b);
}

bool host_within(const char *h, const char *o)
{
	if (!host_wild(o))
		return !strcmp(h, o);
	if (host_wild(h))
		return strlen(h) >= strlen(o) && ends(h + 1, o + 1);
	return ends(h, o + 1);
}

void *host_best(struct compile *c, const struct map *m, const char *host)
{
	void *found = map_get(m, str_c(host));
	char *text;

	if (found || !m->len)
		return found;
	text = arena_alloc(&c->tmp, strlen(host) + 2);
	for (const char *rest = host_wild(host) ? host + 1 : host; !found; rest++) {
		size_t n = strlen(rest);

		text[0] = '*';
		memcpy(text + 1, rest, n + 1);
		found = map_get(m, (struct str){ text, n + 1 });
		if (!n)
			break;
	}
	return found;
}

bool export_to_ns(struct compile *c, const char *const *to, int n, const char *own_ns)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(to[i], "*") || !strcmp(to[i], c->w->ns) || (!strcmp(to[i], ".") && !strcmp(own_ns, c->w->ns)))
			return true;
	return n == 0;
}

bool compile_from_us(const struct compile *c, const struct label *labels, int n, const char *ns)
{
	if (c->waypoint && n)
		return false;
	return labels_match(labels, n, c->w->labels, c->w->n_labels) && (!*ns || !strcmp(ns, c->w->ns));
}

/* ---- the whole ---- */

/* Their values begin with a map. */
static void free_rules(struct map *rules)
{
	map_each(s, rules)
		map_done(s->value);
	map_done(rules);
}

struct plan *plan_compile(const struct mesh *m, const struct workload *w, const struct plan *before,
			  void (*report)(void *arg, const char *object, const char *text), void *arg)
{
	struct plan *p = xcalloc(1, sizeof(*p));
	struct compile c = {
		.m = m, .mc = mesh_config(m), .set = mesh_settings(m), .w = w, .waypoint = mesh_settings(m)->mode == MODE_WAYPOINT, .before = before, .report = report, .arg = arg, .p = p, .mem = &p->mem,
	};

	atomic_init(&p->refs, 1);
	p->generation = mesh_traffic_generation(m);
	p->own = plan_own_hash(m, w);
	p->waypoint = c.waypoint;
	compile_virtual_services(&c);
	if (c.waypoint) {
		compile_served(&c);
		compile_clusters(&c);
		compile_waypoint(&c);
	} else {
		compile_scope(&c);
		compile_clusters(&c);
		compile_outbound(&c);
		compile_inbound(&c);
	}
	for (int i = 0; i < c.n_egress; i++)
		map_done(&c.egress[i].wild);
	map_done(&c.by_host);
	map_done(&c.regexes);
	map_done(&c.vhosts);
	map_done(&c.reported);
	free_rules(&c.rules);
	arena_done(&c.tmp);
	return p;
}
