/* SPDX-License-Identifier: Apache-2.0 */
#include "source/members.h"

#include <stdlib.h>

struct staged {
	struct endpoints *eps;               /* reference held; not empty */
	char key[];
};

/* A service that the present edit touches. */
struct draft {
	struct endpoints *eps;               /* reference held; changed as the edit goes on */
	struct service *new;                 /* owned, not in the mesh yet; NULL: the one in the mesh, if any */
	bool gone;                           /* deleted; new may follow */
	char key[];
};

static void draft_free(struct draft *d)
{
	endpoints_unref(d->eps);
	service_unref(d->new);
	free(d);
}

void members_done(struct members *m)
{
	map_each(slot, &m->staged) {
		struct staged *s = slot->value;

		endpoints_unref(s->eps);
		free(s);
	}
	map_each(slot, &m->drafts)
		draft_free(slot->value);
	map_done(&m->staged);
	map_done(&m->drafts);
	texts_table_done(&m->texts);
}

void members_begin(struct members *m, struct mesh_edit *e)
{
	m->e = e;
	m->changed = false;
}

static struct draft *draft_of(struct members *m, struct str key)
{
	struct draft *d = map_get(&m->drafts, key);
	struct service *s;
	struct staged *st;

	if (d)
		return d;
	d = xcalloc(1, sizeof(*d) + key.n + 1);
	memcpy(d->key, key.p, key.n);
	s = mesh_service(mesh_edit_view(m->e), key);
	st = s ? NULL : map_get(&m->staged, key);
	d->eps = s ? endpoints_ref(s->endpoints) : st ? endpoints_ref(st->eps) : endpoints_new();
	map_put(&m->drafts, (struct str){ d->key, key.n }, d);
	return d;
}

/* --- workloads --- */

static bool names(const struct member *v, int n, const char *service)
{
	for (int i = 0; i < n; i++)
		if (strcmp(v[i].service, service) == 0)
			return true;
	return false;
}

/* Out of the services that it is no more in. */
static void leave(struct members *m, const struct workload *old, const struct member *v, int n)
{
	for (int i = 0; i < old->n_services; i++)
		if (!names(v, n, old->services[i]))
			endpoints_del(&draft_of(m, str_c(old->services[i]))->eps, str_c(old->uid));
}

void members_put_workload(struct members *m, const struct workload *from, const struct member *v, int n)
{
	struct workload *old = mesh_workload(mesh_edit_view(m->e), str_c(from->uid)), *w;
	const char **services = xcalloc((size_t)n + 1, sizeof(*services));
	struct workload t = *from;

	for (int i = 0; i < n; i++)
		services[i] = v[i].service;
	t.services = services;
	t.n_services = n;
	w = workload_new_shared(&t, &m->texts);
	free(services);
	if (old)
		leave(m, old, v, n);
	for (int i = 0; i < n; i++)
		endpoints_put(&draft_of(m, str_c(v[i].service))->eps, w, v[i].ports, v[i].n_ports);
	mesh_put_workload(m->e, w);
	m->changed = true;
}

bool members_del_workload(struct members *m, struct str uid)
{
	struct workload *w = mesh_workload(mesh_edit_view(m->e), uid);

	if (!w)
		return false;
	leave(m, w, NULL, 0);
	mesh_del_workload(m->e, uid);
	m->changed = true;
	return true;
}

void members_add(struct members *m, const char *service, struct workload *w, const struct endpoint_port *ports, int n_ports)
{
	endpoints_put(&draft_of(m, str_c(service))->eps, w, ports, n_ports);
}

void members_drop(struct members *m, const char *service, struct str uid)
{
	endpoints_del(&draft_of(m, str_c(service))->eps, uid);
}

/* --- services --- */

void members_put_service(struct members *m, const struct service *from)
{
	struct draft *d = draft_of(m, str_c(from->key));

	service_unref(d->new);
	d->new = service_new(from);
}

bool members_del_service(struct members *m, struct str key)
{
	struct draft *d;

	if (!mesh_service(mesh_edit_view(m->e), key) && !map_get(&m->drafts, key))
		return false;
	d = draft_of(m, key);
	service_unref(d->new);
	d->new = NULL;
	d->gone = true;
	return true;
}

static void stage(struct members *m, struct draft *d)
{
	struct str key = str_c(d->key);
	struct staged *s = map_get(&m->staged, key);

	if (s && !d->eps->n) {
		map_del(&m->staged, key);
		endpoints_unref(s->eps);
		free(s);
	} else if (s) {
		endpoints_unref(s->eps);
		s->eps = endpoints_ref(d->eps);
	} else if (d->eps->n) {
		s = xcalloc(1, sizeof(*s) + key.n + 1);
		memcpy(s->key, key.p, key.n);
		s->eps = endpoints_ref(d->eps);
		map_put(&m->staged, (struct str){ s->key, key.n }, s);
	}
}

static void unstage(struct members *m, struct str key)
{
	struct staged *s = map_del(&m->staged, key);

	if (s)
		endpoints_unref(s->eps);
	free(s);
}

static void settle(struct members *m, struct draft *d)
{
	struct str key = str_c(d->key);
	struct service *old = mesh_service(mesh_edit_view(m->e), key), t;

	if (!d->new && (d->gone || !old)) {
		if (old)
			mesh_del_service(m->e, key);
		m->changed = m->changed || old;
		stage(m, d);
		return;
	}
	if (!d->new && d->eps == old->endpoints)
		return;
	if (d->new) {
		endpoints_unref(d->new->endpoints);
		d->new->endpoints = endpoints_ref(d->eps);
	} else {
		t = *old;
		t.endpoints = d->eps;
		d->new = service_new(&t);
	}
	mesh_put_service(m->e, d->new);
	d->new = NULL;
	m->changed = true;
	unstage(m, key);
}

bool members_end(struct members *m)
{
	map_each(slot, &m->drafts) {
		settle(m, slot->value);
		draft_free(slot->value);
	}
	map_done(&m->drafts);
	texts_sweep(&m->texts);
	m->e = NULL;
	return m->changed;
}
