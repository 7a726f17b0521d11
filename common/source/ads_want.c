/* SPDX-License-Identifier: Apache-2.0 */
/* Resources on demand: who waits for what. */
#include "source/ads_int.h"

#include <stdlib.h>

#include "base/log.h"

static void ask_change(struct ads *a, struct ads_row *row, char *subscribe, char *unsubscribe)
{
	Ads__DeltaDiscoveryRequest r = ADS__DELTA_DISCOVERY_REQUEST__INIT;

	r.type_url = (char *)row->t.url;
	r.resource_names_subscribe = &subscribe;
	r.n_resource_names_subscribe = subscribe != NULL;
	r.resource_names_unsubscribe = &unsubscribe;
	r.n_resource_names_unsubscribe = unsubscribe != NULL;
	ads_send(a, &r);
}

static struct ask *ask_of(struct ads *a, struct ads_row *row, struct str name)
{
	struct ask *k = map_get(&row->asks, name);

	if (k && !list_empty(&k->waits))
		return k;
	if (!k) {
		k = xcalloc(1, sizeof(*k) + name.n + 1);
		memcpy(k->name, name.p, name.n);
		list_init(&k->waits);
		map_put(&row->asks, (struct str){ k->name, name.n }, k);
	} else {
		ask_change(a, row, NULL, k->name);     /* only what is new to the server is answered */
	}
	k->answered = k->found = false;
	ask_change(a, row, k->name, NULL);
	return k;
}

/* What nobody waits for and the server has not, or not said, is not kept: whoever asks later is answered anew. */
static void ask_drop(struct ads *a, struct ads_row *row, struct ask *k)
{
	ask_change(a, row, NULL, k->name);
	map_del(&row->asks, str_c(k->name));
	free(k);
}

static void wait_free(struct ads_wait *w)
{
	timer_stop(&w->timer);
	list_del(&w->link);
	w->ads->n_waits--;
	if (w->ask && list_empty(&w->ask->waits) && !w->ask->found)
		ask_drop(w->ads, w->row, w->ask);
	free(w);
}

static void wait_tell(struct ads_wait *w, bool found)
{
	void (*on_done)(void *arg, bool found) = w->on_done;
	void *arg = w->arg;

	wait_free(w);
	on_done(arg, found);
}

static void on_timeout(struct timer *t)
{
	wait_tell(container_of(t, struct ads_wait, timer), false);
}

struct ads_wait *ads_want(struct ads *a, int type, struct str name, unsigned timeout_ms, void (*on_done)(void *arg, bool found),
			  void *arg)
{
	struct ads_row *row = &a->rows[type];
	struct ads_wait *w;

	if (!row->t.on_demand || a->n_waits >= LIMIT_ADS_WAITS)
		return NULL;
	w = xcalloc(1, sizeof(*w));
	w->ads = a;
	w->on_done = on_done;
	w->arg = arg;
	timer_init(&w->timer, a->loop, on_timeout);
	timer_start(&w->timer, timeout_ms);
	w->row = row;
	w->ask = ask_of(a, row, name);
	list_add_tail(&w->ask->waits, &w->link);
	a->n_waits++;
	return w;
}

void ads_wait_cancel(struct ads_wait *w)
{
	if (w)
		wait_free(w);
}

void ads_asks_answer(struct ads_row *row, struct str name, bool found)
{
	struct ask *k = map_get(&row->asks, name);

	if (!k)
		return;
	k->found = found || (k->answered && k->found);
	k->answered = true;
}

static void take_all(struct list *from, struct list *to)
{
	list_each_safe(l, next, from) {
		container_of(l, struct ads_wait, link)->ask = NULL;
		list_del(l);
		list_add_tail(to, l);
	}
}

void ads_asks_settle(struct ads *a, struct ads_row *row)
{
	struct list found, missing;
	struct ask **gone = NULL;
	size_t n = 0;

	if (!row->asks.len)
		return;
	list_init(&found);
	list_init(&missing);
	gone = xcalloc(row->asks.len, sizeof(*gone));
	map_each(slot, &row->asks) {
		struct ask *k = slot->value;

		if (!k->answered)
			continue;
		take_all(&k->waits, k->found ? &found : &missing);
		if (!k->found)
			gone[n++] = k;
		k->answered = false;
	}
	for (size_t i = 0; i < n; i++)
		ask_drop(a, row, gone[i]);
	free(gone);
	while (!list_empty(&found))
		wait_tell(container_of(found.next, struct ads_wait, link), true);
	while (!list_empty(&missing))
		wait_tell(container_of(missing.next, struct ads_wait, link), false);
}

void ads_asks_done(struct ads *a, struct ads_row *row)
{
	struct list all;

	list_init(&all);
	map_each(slot, &row->asks) {
		struct ask *k = slot->value;

		take_all(&k->waits, &all);
		free(k);
	}
	map_done(&row->asks);
	row->t.on_demand = false;    /* nothing is asked for any more */
	while (!list_empty(&all))
		wait_tell(container_of(all.next, struct ads_wait, link), false);
}
