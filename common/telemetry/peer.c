/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/peer.h"

#include <stdlib.h>

static struct str label(const struct workload *w, const char *key)
{
	for (int i = 0; i < w->n_labels; i++)
		if (strcmp(w->labels[i].key, key) == 0)
			return str_c(w->labels[i].value);
	return (struct str){ 0 };
}

void peer_of_workload(const struct workload *w, struct peer *ret)
{
	*ret = (struct peer){ 0 };
	if (!w)
		return;
	*ret = (struct peer){
		.name = str_c(w->name), .workload = str_c(w->workload_name), .type = str_c(w->workload_type), .ns = str_c(w->ns),
		.service = str_c(w->canonical_name), .revision = str_c(w->canonical_revision),
		.app = label(w, "app"), .version = label(w, "version"), .cluster = str_c(w->cluster),
		.region = str_c(w->locality.region), .zone = str_c(w->locality.zone),
	};
	/* WDS sends no labels; there Istio derives both from the canonical ones. */
	if (!ret->app.n)
		ret->app = ret->service;
	if (!ret->version.n)
		ret->version = ret->revision;
}

struct peer *peer_dup(const struct peer *p)
{
	const struct str *from = (const struct str *)(const void *)p;
	size_t n = 0, texts = sizeof(*p) / sizeof(*from);
	struct peer *own;
	struct str *to;
	char *at;

	_Static_assert(sizeof(struct peer) % sizeof(struct str) == 0, "texts only");
	for (size_t i = 0; i < texts; i++)
		n += from[i].n;
	own = malloc(sizeof(*own) + n);
	if (!own)
		return NULL;
	to = (struct str *)(void *)own;
	at = (char *)(own + 1);
	for (size_t i = 0; i < texts; i++) {
		if (from[i].n)
			memcpy(at, from[i].p, from[i].n);
		to[i] = (struct str){ at, from[i].n };
		at += from[i].n;
	}
	return own;
}
