/* SPDX-License-Identifier: Apache-2.0 */
#include "source/check.h"

#include <ctype.h>
#include <stdio.h>

#include "base/regex.h"
#include "model/mesh.h"
#include "source/value.h"
#include "telemetry/cel.h"
#include "telemetry/format.h"

#define REGEX_MAX 1024       /* as Istio */

static const char *cluster_domain(const struct field_walk *w)
{
	return w->settings ? w->settings->cluster_domain : "cluster.local";
}

const char *check_host(struct field_walk *w, const char *path, const char *host, bool wildcard)
{
	const char *domain = cluster_domain(w);
	size_t n = strlen(host) + strlen(w->ns) + strlen(domain) + 7;
	struct ip ip;
	char *full;

	if (wildcard && !strcmp(host, "*"))
		return host;
	if (!ip_parse(str_c(host), &ip))
		return host;
	if (!value_is_host_any(host) || (*host == '*' && !wildcard)) {
		field_error(w, 0, path, "want a host name in lower case%s, got '%.80s'", wildcard ? ", or *.DOMAIN" : "", host);
		return NULL;
	}
	if (strchr(host, '.') || *host == '*')
		return host;
	full = arena_alloc(w->arena, n);
	snprintf(full, n, "%s.%s.svc.%s", host, w->ns, domain);
	return full;
}

bool check_hosts(struct field_walk *w, const char *path, struct field_strings *hosts, bool wildcard)
{
	bool ok = true;

	for (int i = 0; i < hosts->n; i++) {
		const char *full = check_host(w, path, hosts->v[i], wildcard);

		ok = ok && full;
		hosts->v[i] = full ? full : "";
	}
	return ok;
}

bool check_export_to(struct field_walk *w, const char *path, const struct field_strings *to)
{
	unsigned errors = w->errors;

	for (int i = 0; i < to->n; i++) {
		const char *e = to->v[i];

		if (strcmp(e, ".") && strcmp(e, "*") && strcmp(e, "~") && !value_is_label(e))
			field_error(w, 0, path, "want ., *, ~ or a namespace, got '%.80s'", e);
		if ((!strcmp(e, "*") || !strcmp(e, "~")) && to->n > 1)
			field_error(w, 0, path, "want '%s' alone, got %d more", e, to->n - 1);
		if (!strcmp(e, w->ns))
			for (int k = 0; k < to->n; k++)
				if (!strcmp(to->v[k], "."))
					field_error(w, 0, path, "want either . or '%.80s', which is the same", e);
		for (int k = 0; k < i; k++)
			if (!strcmp(to->v[k], e))
				field_error(w, 0, path, "want each namespace once, got '%.80s' twice", e);
	}
	return w->errors == errors;
}

bool check_selector(struct field_walk *w, const char *path, const struct label *v, int n)
{
	unsigned errors = w->errors;

	for (int i = 0; i < n; i++) {
		if (!*v[i].key || strchr(v[i].key, '*') || strchr(v[i].value, '*'))
			field_error(w, 0, path, "want keys that are not empty, and no stars, got '%.80s: %.80s'", v[i].key, v[i].value);
	}
	return w->errors == errors;
}

static const struct { const char *group, *kind; } target_kinds[] = {
	[TARGET_GATEWAY] = { "gateway.networking.k8s.io", "Gateway" }, [TARGET_GATEWAY_CLASS] = { "gateway.networking.k8s.io", "GatewayClass" },
	[TARGET_SERVICE] = { "", "Service" }, [TARGET_SERVICE_ENTRY] = { "networking.istio.io", "ServiceEntry" },
};

/* -1: none that an object can be bound to. */
static int target_kind(const struct crd_target *t)
{
	const char *group = strcmp(t->group, "core") ? t->group : "";

	for (size_t i = 0; i < ARRAY_LEN(target_kinds); i++)
		if (!strcmp(t->kind, target_kinds[i].kind) && !strcmp(group, target_kinds[i].group))
			return (int)i;
	return -1;
}

static void check_target(struct field_walk *w, const char *path, const struct crd_target *t)
{
	if (!*t->name)
		field_error(w, 0, path, "want a name, got nothing");
	if (*t->ns)
		field_error(w, 0, path, "want no namespace: it is the object's own");
	if (target_kind(t) < 0)
		field_error(w, 0, path, "want kind and group of Gateway or GatewayClass (gateway.networking.k8s.io), Service (\"\") or ServiceEntry "
			    "(networking.istio.io), got '%.80s' of '%.80s'", t->kind, t->group);
}

const struct target_ref *check_target_refs(struct arena *a, const struct field_list *targets, const struct crd_target *target, int *n)
{
	const struct crd_target *from = targets->n ? targets->v : target;
	int n_from = targets->n ? targets->n : target != NULL;
	struct target_ref *v = arena_alloc(a, (size_t)n_from * sizeof(*v));

	*n = 0;
	for (int i = 0; i < n_from; i++)
		if (target_kind(&from[i]) >= 0 && *from[i].name && !*from[i].ns)
			v[(*n)++] = (struct target_ref){ (enum target_kind)target_kind(&from[i]), from[i].name };
	return v;
}

bool check_has_effect(struct field_walk *w, bool has_targets)
{
	enum mesh_mode mode = w->settings ? w->settings->mode : MODE_ZTUNNEL;

	if (has_targets == (mode == MODE_WAYPOINT))
		return true;
	if (has_targets)
		field_info(w, 0, "targetRefs", "it is for waypoints: it has no effect in %s mode, as in Istio", mesh_mode_name(mode));
	else
		field_info(w, 0, NULL, "it has no targetRefs, without which waypoints pass it by, as in Istio: it has no effect in waypoint mode");
	return false;
}

bool check_targets(struct field_walk *w, const struct crd_selector *selector, const struct field_list *targets, const struct crd_target *target)
{
	unsigned errors = w->errors;

	if ((selector != NULL) + (targets && targets->n) + (target != NULL) > 1)
		field_error(w, 0, "targetRefs", "want only one of selector, targetRefs, targetRef");
	if (targets && targets->n > 16)
		field_error(w, 0, "targetRefs", "want at most 16, got %d", targets->n);
	if (selector)
		check_selector(w, "selector.matchLabels", selector->labels.v, selector->labels.n);
	for (int i = 0; targets && i < targets->n; i++)
		check_target(w, "targetRefs", &((const struct crd_target *)targets->v)[i]);
	if (target)
		check_target(w, "targetRef", target);
	return w->errors == errors;
}

bool check_regex(struct field_walk *w, const char *path, const char *text)
{
	struct regex *r = NULL;
	struct err err = { "" };

	if (!*text || strlen(text) > REGEX_MAX) {
		field_error(w, 0, path, "want a regular expression of 1 to %d bytes, got %zu", REGEX_MAX, strlen(text));
		return false;
	}
	r = regex_new(str_c(text), &err);
	if (!r)
		field_error(w, 0, path, "want a regular expression of RE2: %s", err.msg);
	regex_free(r);
	return r != NULL;
}

bool check_header_name(struct field_walk *w, const char *path, const char *name)
{
	size_t i = name[0] == ':';

	for (; name[i] && (isalnum((unsigned char)name[i]) || strchr("!#$%&'*+-.^_`|~", name[i])); i++)
		;
	if (!name[i] && i > (size_t)(name[0] == ':'))
		return true;
	field_error(w, 0, path, "want the name of a header, got '%.80s'", name);
	return false;
}

bool check_header_op(struct field_walk *w, const char *path, const char *name, const char *value)
{
	if (!check_header_name(w, path, name))
		return false;
	if (*name == ':' && strcmp(name, ":authority")) {
		field_error(w, 0, path, "want no pseudo-header but :authority, got '%.80s'", name);
		return false;
	}
	for (const char *c = value; *c; c++) {
		if ((unsigned char)*c < ' ' && *c != '\t') {
			field_error(w, 0, path, "want a value without control characters, for '%.80s'", name);
			return false;
		}
	}
	return !strchr(value, '%') || check_format(w, path, value);
}

bool check_subnets(struct field_walk *w, const char *path, const struct field_strings *v)
{
	unsigned errors = w->errors;
	struct cidr c;

	for (int i = 0; i < v->n; i++)
		if (cidr_parse(str_c(v->v[i]), &c))
			field_error(w, 0, path, "want an IP address or CIDR block, got '%.80s'", v->v[i]);
	return w->errors == errors;
}

bool check_subset_name(struct field_walk *w, const char *path, const char *name)
{
	size_t n = strlen(name);
	bool ok = n > 0 && n <= 63 && isalnum((unsigned char)name[0]) && isalnum((unsigned char)name[n - 1]);

	for (size_t i = 0; ok && i < n; i++)
		ok = isalnum((unsigned char)name[i]) || strchr("-_.", name[i]);
	if (!ok)
		field_error(w, 0, path, "want a name of letters, digits and -, got '%.80s'", name);
	return ok;
}

bool check_no_empty(struct field_walk *w, const char *path, const struct field_strings *v)
{
	unsigned errors = w->errors;

	for (int i = 0; i < v->n; i++)
		if (!*v->v[i])
			field_error(w, 0, path, "want no empty string");
	return w->errors == errors;
}

bool check_url(struct field_walk *w, const char *path, const char *url)
{
	const char *host = str_starts(str_c(url), str_c("https://")) ? url + 8 : str_starts(str_c(url), str_c("http://")) ? url + 7 : NULL;

	if (host && *host && *host != '/' && !strpbrk(host, " \t\r\n\\\"<>"))
		return true;
	field_error(w, 0, path, "want a URL of http or https, got '%.120s'", url);
	return false;
}

bool check_format(struct field_walk *w, const char *path, const char *text)
{
	struct err err = { "" };
	struct format *f = format_parse(str_c(text), &err);

	if (!f)
		field_error(w, 0, path, "%s", err.msg);
	format_free(f);
	return f != NULL;
}

bool check_cel(struct field_walk *w, const char *path, const char *text)
{
	struct err err = { "" };
	struct cel *c = NULL;
	bool ok = cel_parse(str_c(text), &c, &err) == 0;

	if (!ok)
		field_error(w, 0, path, "%s", err.msg);
	cel_free(c);
	return ok;
}
