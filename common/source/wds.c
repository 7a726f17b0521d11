/* SPDX-License-Identifier: Apache-2.0 */
#include "source/wds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "policy/authz.h"
#include "source/wds_int.h"

#define TOLD_MAX 64      /* unknown fields that are named */

struct wds {
	struct wds_conf conf;
	struct members members;
	struct arena mem;            /* of the present resource */
	struct mesh_edit *e;         /* of the present push; NULL: none */
	bool changed;                /* beside what members knows */
	bool policies;               /* changed as well */
	struct { const ProtobufCMessageDescriptor *in; unsigned id; } told[TOLD_MAX];
	int n_told;
};

struct wds *wds_new(const struct wds_conf *conf)
{
	struct wds *w = xcalloc(1, sizeof(*w));

	w->conf = *conf;
	return w;
}

void wds_free(struct wds *w)
{
	if (!w)
		return;
	members_done(&w->members);
	arena_done(&w->mem);
	free(w);
}

/* --- a push --- */

static void begin(void *arg)
{
	struct wds *w = arg;

	w->e = mesh_edit_begin();
	w->changed = w->policies = false;
	members_begin(&w->members, w->e);
}

static void end(void *arg)
{
	struct wds *w = arg;
	struct mesh_edit *e = w->e;

	w->changed = members_end(&w->members) || w->changed;
	w->e = NULL;
	if (!w->changed) {
		mesh_edit_abandon(e);
		return;
	}
	mesh_edit_publish(e);
	if (w->conf.on_change)
		w->conf.on_change(w->conf.arg, mesh_generation(mesh_current()), w->policies);
}

static const char *text_of(struct wds *w, struct str s)
{
	return arena_dup(&w->mem, s);
}

static uint64_t content_of(const struct ads_resource *r)
{
	uint64_t h = hash_bytes(r->value.p, r->value.n);

	return h ? h : 1;
}

/* --- Address --- */

/* A field that this version does not know is named once. */
static bool on_unknown(struct wds_walk *walk, const ProtobufCMessage *in, unsigned id, const char *name, void *arg)
{
	struct wds *w = arg;

	if (name)
		return true;
	for (int i = 0; i < w->n_told; i++)
		if (w->told[i].in == in->descriptor && w->told[i].id == id)
			return true;
	if (w->n_told == TOLD_MAX)
		return false;
	w->told[w->n_told].in = in->descriptor;
	w->told[w->n_told++].id = id;
	log_warn(LOG_XDS, "the control plane sends field %u of %s, which this version does not know and does not honour", id,
		 in->descriptor->short_name);
	return true;
}

static bool names_it(struct wds_walk *walk, const char *field, const char *text, struct str name)
{
	return str_is(name, text) || wds_fail(walk, field, "want the resource's name, got '%.200s'", text);
}

static bool put_workload(struct wds *w, struct wds_walk *walk, const Wds__Workload *from, const struct ads_resource *r)
{
	struct workload t;
	struct member *members;
	int n;

	wds_enter(walk, "workload", -1);
	if (!wds_read_workload(walk, from, &t, &members, &n) || !names_it(walk, "uid", t.uid, r->name))
		return false;
	t.version = text_of(w, r->version);
	t.content = content_of(r);
	members_put_workload(&w->members, &t, members, n);
	return true;
}

static bool put_service(struct wds *w, struct wds_walk *walk, const Wds__Service *from, const struct ads_resource *r)
{
	struct service t;

	wds_enter(walk, "service", -1);
	if (!wds_read_service(walk, from, &t) || !names_it(walk, "hostname", t.key, r->name))
		return false;
	t.version = text_of(w, r->version);
	t.content = content_of(r);
	members_put_service(&w->members, &t);
	return true;
}

static bool put_address(struct wds *w, struct wds_walk *walk, const struct ads_resource *r)
{
	ProtobufCAllocator alloc = wds_allocator(&w->mem);
	Wds__Address *a = wds__address__unpack(&alloc, r->value.n, (const uint8_t *)r->value.p);

	if (!a)
		return wds_fail(walk, "", "is no istio.workload.Address");
	wds_each_field(walk, &a->base, on_unknown, w);
	walk->path[0] = '\0';
	switch (a->type_case) {
	case WDS__ADDRESS__TYPE_WORKLOAD:
		return put_workload(w, walk, a->workload, r);
	case WDS__ADDRESS__TYPE_SERVICE:
		return put_service(w, walk, a->service, r);
	default:
		return wds_fail(walk, "", "is neither a workload nor a service");
	}
}

/* What is sent again after a reconnect though it is as it was. */
static bool is_held(const struct wds *w, const struct ads_resource *r)
{
	const struct mesh *m = mesh_edit_view(w->e);
	struct workload *o = mesh_workload(m, r->name);
	struct service *s = o ? NULL : mesh_service(m, r->name);
	const char *version = o ? o->version : s ? s->version : NULL;

	if (!version || (s && map_get(&w->members.drafts, r->name)))
		return false;
	return str_is(r->version, version) && (o ? o->content : s->content) == content_of(r);
}

static int on_address(void *arg, const struct ads_resource *r, struct err *err)
{
	struct wds *w = arg;
	struct wds_walk walk = { .arena = &w->mem, .err = err };
	bool ok = is_held(w, r) || put_address(w, &walk, r);

	arena_reset(&w->mem);
	return ok ? 0 : -EINVAL;
}

static void on_address_removed(void *arg, struct str name)
{
	struct wds *w = arg;

	if (!members_del_service(&w->members, name))
		members_del_workload(&w->members, name);
}

struct each {
	void (*fn)(void *fn_arg, struct str name, struct str version);
	void *arg;
};

static bool each_workload(struct workload *o, void *arg)
{
	const struct each *e = arg;

	if (o->content)
		e->fn(e->arg, str_c(o->uid), str_c(o->version));
	return true;
}

static bool each_service(struct service *s, void *arg)
{
	const struct each *e = arg;

	if (s->content)
		e->fn(e->arg, str_c(s->key), str_c(s->version));
	return true;
}

static void each_address(void *arg, void (*fn)(void *fn_arg, struct str name, struct str version), void *fn_arg)
{
	struct each e = { fn, fn_arg };

	mesh_each_workload(mesh_current(), each_workload, &e);
	mesh_each_service(mesh_current(), each_service, &e);
}

/* --- Authorization --- */

static const char *scope_text(const struct policy *p)
{
	return p->scope == POLICY_GLOBAL ? "the whole mesh" : p->scope == POLICY_SELECTOR ? "the workloads that it is bound to" :
	       "its namespace";
}

static bool put_policy(struct wds *w, const struct policy *t, struct err *err)
{
	struct policy *p = policy_new(t);

	if (!t->broken && authz_compile(p) < 0) {
		policy_unref(p);
		err_set(err, -ENOMEM, "out of memory");
		return false;
	}
	mesh_put_policy(w->e, p);
	w->changed = w->policies = true;
	return true;
}

/* It holds back nothing that was in force, and where nothing was it refuses. */
static void refuse(struct wds *w, struct policy *t, struct err *err)
{
	const struct policy *old = mesh_policy(mesh_edit_view(w->e), str_c(t->key));
	struct err ignored;

	if (old && !old->broken)
		return;
	if (old && old->scope == t->scope && strcmp(old->problem, err->msg) == 0)
		return;
	t->broken = true;
	t->problem = err->msg;
	t->rules = NULL;
	t->n_rules = 0;
	put_policy(w, t, &ignored);
	if (!t->dry_run)
		log_error(LOG_XDS, "AuthorizationPolicy %s cannot be judged, so %s accepts no connection until it is mended: %s", t->key,
			  scope_text(t), err->msg);
}

static int on_policy(void *arg, const struct ads_resource *r, struct err *err)
{
	struct wds *w = arg;
	const struct policy *old = mesh_policy(mesh_edit_view(w->e), r->name);
	struct wds_walk walk = { .arena = &w->mem, .err = err };
	struct policy t;
	bool ok;

	if (old && !old->broken && old->content == content_of(r) && str_is(r->version, old->version))
		return 0;
	ok = wds_read_policy(&walk, r->name, r->value, &t);
	t.version = text_of(w, r->version);
	t.content = content_of(r);
	ok = ok && put_policy(w, &t, err);
	if (!ok)
		refuse(w, &t, err);
	arena_reset(&w->mem);
	return ok ? 0 : -EINVAL;
}

static void on_policy_removed(void *arg, struct str name)
{
	struct wds *w = arg;

	if (!mesh_policy(mesh_edit_view(w->e), name))
		return;
	mesh_del_policy(w->e, name);
	w->changed = w->policies = true;
}

static bool each_of_policies(struct policy *p, void *arg)
{
	const struct each *e = arg;

	if (p->content)
		e->fn(e->arg, str_c(p->key), str_c(p->version));
	return true;
}

static void each_policy(void *arg, void (*fn)(void *fn_arg, struct str name, struct str version), void *fn_arg)
{
	struct each e = { fn, fn_arg };

	mesh_each_policy(mesh_current(), each_of_policies, &e);
}

const struct ads_type_ops wds_address_ops = { begin, on_address, on_address_removed, end, each_address };
const struct ads_type_ops wds_authorization_ops = { begin, on_policy, on_policy_removed, end, each_policy };
