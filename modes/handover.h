/* SPDX-License-Identifier: Apache-2.0 */
/* An upgrade without loss: a new meshd takes the listening sockets of the running one (closing a listener would reset what waits
 * in its queue, so the descriptors themselves are passed, and are never without an owner). Both accept until the new one says
 * that it serves; then the old one keeps only the connections that it has. They meet at a Unix socket in a directory that
 * only their user may enter; either asks the kernel who the other is (SO_PEERCRED). Control thread. */
#ifndef MODES_HANDOVER_H
#define MODES_HANDOVER_H

#include "io/loop.h"
#include "modes/proxy.h"

struct handover_ops {
	/* On the old one: another process serves from now on. same_netns: it wants our ports outside pods, too; they must be
	 * free on return. */
	void (*on_taken)(bool same_netns, void *arg);
	/* On the new one: the old one let go, or is gone. */
	void (*on_released)(void *arg);
};

struct handover;
/* dir is made where it is missing. -errno with err when it cannot be used, or is not ours alone. */
int handover_new(struct loop *control, struct proxy *proxy, const char *dir, const struct handover_ops *ops, void *arg,
		 struct handover **ret, struct err *err);
/* Before pods are added: if a meshd runs here, its sockets become those of the pods that are added next (waits for it, at most
 * LIMIT_HANDOVER_MS). The number of sockets; 0: there is none, or it does not hand over now. */
int handover_take(struct handover *h);
/* We accept everywhere: the old one may let go. From then on we are the one that hands over. */
void handover_serving(struct handover *h);
bool handover_pending(const struct handover *h);   /* taken, and the old one has not let go yet */
void handover_free(struct handover *h);            /* NULL ok */

#endif
