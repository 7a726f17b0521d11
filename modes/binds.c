/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/binds.h"

#include <stdlib.h>

#include "base/log.h"
#include "modes/l7.h"

struct bind {
	struct list link;                /* in pod.l7.binds */
	struct pod *pod;
	struct listener *listener;       /* owned */
	struct addr at;
	bool inbound;
	bool failed;                     /* it was said; tried again with the next plan */
};

const struct outbound_port *binds_outbound(const struct plan *p, const struct addr *at)
{
	const struct outbound_port *o;

	for (int i = 0; (o = plan_outbound_at(p, i)); i++)
		if (o->real && addr_eq(&o->at, at))
			return o;
	return NULL;
}

const struct inbound_port *binds_inbound(const struct plan *p, const struct addr *at)
{
	const struct inbound_port *in;

	for (int i = 0; (in = plan_inbound_at(p, i)); i++)
		if (in->real && addr_eq(&in->at, at))
			return in;
	return NULL;
}

static void on_accept(void *arg, int fd, const struct addr *peer)
{
	struct bind *b = arg;

	if (!pod_admit(b->pod, fd))
		return;
	if (b->inbound)
		side_accept_in_at(b->pod, fd, peer, &b->at);
	else
		side_accept_out_at(b->pod, fd, peer, &b->at);
}

static int open_socket(void *arg)
{
	struct bind *b = arg;
	struct insock in;

	insock_init(&in, 0, false, true);
	return sock_listen(&b->at, &in.ops);
}

static void listen_on(struct bind *b)
{
	int fd = netns_run(b->pod->shared->netns, open_socket, b);
	char text[ADDR_TEXT];

	if (fd >= 0) {
		b->listener = listener_new(b->pod->worker->loop, fd, b->pod->share, on_accept, b);
		b->failed = false;
	} else if (!b->failed && b->pod->worker->index == 0) {
		log_error(LOG_NET, "a Sidecar's listener on %s cannot be opened: %s", addr_format(&b->at, text), strerror(-fd));
	}
	b->failed = fd < 0;
}

static struct bind *find(struct pod *pod, const struct addr *at, bool inbound)
{
	list_each(l, &pod->l7->binds) {
		struct bind *b = container_of(l, struct bind, link);

		if (b->inbound == inbound && addr_eq(&b->at, at))
			return b;
	}
	return NULL;
}

static void want(struct pod *pod, const struct addr *at, bool inbound)
{
	struct bind *b = find(pod, at, inbound);

	if (!b) {
		b = xcalloc(1, sizeof(*b));
		b->pod = pod;
		b->at = *at;
		b->inbound = inbound;
		list_add_tail(&pod->l7->binds, &b->link);
	}
	if (!b->listener)
		listen_on(b);
}

static void drop(struct bind *b)
{
	listener_free(b->listener);
	list_del(&b->link);
	free(b);
}

void binds_renew(struct pod *pod)
{
	const struct plan *p = plan_current();
	const struct outbound_port *out;
	const struct inbound_port *in;

	if (!p || !pod->listeners || pod->draining || pod->gone)
		return;
	list_each_safe(at, next, &pod->l7->binds) {
		struct bind *b = container_of(at, struct bind, link);

		if (b->inbound ? !binds_inbound(p, &b->at) : !binds_outbound(p, &b->at))
			drop(b);
	}
	for (int i = 0; (out = plan_outbound_at(p, i)); i++)
		if (out->real)
			want(pod, &out->at, false);
	for (int i = 0; (in = plan_inbound_at(p, i)); i++)
		if (in->real)
			want(pod, &in->at, true);
}

void binds_close(struct pod *pod, bool inbound_alone)
{
	list_each_safe(at, next, &pod->l7->binds) {
		struct bind *b = container_of(at, struct bind, link);

		if (b->inbound || !inbound_alone)
			drop(b);
	}
}
