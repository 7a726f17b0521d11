/* SPDX-License-Identifier: Apache-2.0 */
/* Resources on demand: who waits for what. */
#include "source/ads_int.h"

#include <stdlib.h>

#include "base/log.h"

/* To a request that subscribes to nothing istiod answers that everything is gone: then one name that nobody has is in it. */
static void change(struct ads *a, struct ads_row *row, char **subscribe, size_t n, char **unsubscribe, size_t m)
{
	Ads__DeltaDiscoveryRequest r = ADS__DELTA_DISCOVERY_REQUEST__INIT;
	static char *nobody[] = { "-" };

	r.type_url = (char *)row->t.url;
	r.resource_names_subscribe = n ? subscribe : nobody;
	r.n_resource_names_subscribe = n ? n : 1;
	r.resource_names_unsubscribe = unsubscribe;
	r.n_resource_names_unsubscribe = m;
	ads_send(a, &r);
}

static void ask_change(struct ads *a, struct ads_row *row, char *subscribe, char *unsubscribe)
{
	change(a, row, &subscribe, subscribe != NULL, &unsubscribe, unsubscribe != NULL);
}

/* Only what is new to the server is answered. */
void ads_asks_again(struct ads *a, struct ads_row *row)
{
	char **names = xcalloc(row->asks.len + 1, sizeof(*names));
	size_t n = 0;

	map_each(slot, &row->asks) {
		struct ask *k = slot->value;

		if (k->found && list_empty(&k->waits))
			names[n++] = k->name;
	}
	if (n) {
		change(a, row, NULL, 0, names, n);
		change(a, row, names, n, NULL, 0);
	}
	free(names);
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

static void wait_tell(struct ads_wait *w, enum ads_answer answer)
{
	void (*on_done)(void *arg, enum ads_answer answer) = w->on_done;
	void *arg = w->arg;

	wait_free(w);
	on_done(arg, answer);
}

static void on_timeout(struct timer *t)
{
	wait_tell(container_of(t, struct ads_wait, timer), ADS_NO_ANSWER);
}

struct ads_wait *ads_want(struct ads *a, int type, struct str name, unsigned timeout_ms,
			  void (*on_done)(void *arg, enum ads_answer answer), void *arg)
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
		wait_tell(container_of(found.next, struct ads_wait, link), ADS_FOUND);
	while (!list_empty(&missing))
		wait_tell(container_of(missing.next, struct ads_wait, link), ADS_ABSENT);
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
		wait_tell(container_of(all.next, struct ads_wait, link), ADS_NO_ANSWER);
}
