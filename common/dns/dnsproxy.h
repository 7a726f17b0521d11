/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS proxy of one network namespace, on one worker's loop: answers for names of the mesh, and hands every other question,
 * byte for byte, to the server that it was meant for (captured ones) or to those of resolv.conf. */
#ifndef DNS_DNSPROXY_H
#define DNS_DNSPROXY_H

#include "base/addr.h"
#include "io/share.h"
#include "io/sock.h"
#include "model/mesh.h"

#define DNSPROXY_PORT    15053
#define DNSPROXY_SOCKETS 2       /* of each kind: IPv4 and IPv6 loopback */

struct dnsproxy;

struct dnsproxy_ops {
	/* The workload that asks from this address; NULL: not known (yet). Borrowed from the mesh. */
	struct workload *(*client)(void *arg, const struct mesh *m, const struct ip *from);
	/* The rest may be NULL. type: "A"; "unknown" for a rare one; "" when the question could not be read. client: NULL when it is not known. */
	void (*on_question)(void *arg, struct str type, bool tcp, const struct workload *client);
	/* A question was handed on and answered, or not, after that time. */
	void (*on_upstream)(void *arg, struct str type, bool tcp, const struct workload *client, bool answered, uint64_t duration_ns);
	/* The mesh does not have a name that a control plane may have under these keys ("namespace/hostname", lent). True: it is
	 * asked and has not said all; the question waits LIMIT_DNS_DEMAND_MS at most, and looks again at each dnsproxy_wake. */
	bool (*want)(void *arg, const struct str *keys, int n_keys);
};

struct dnsproxy_conf {
	const int *udp, *tcp;            /* bound (and listening) sockets of dnsproxy_bind; taken over */
	int n_udp, n_tcp;
	int netns;                       /* where questions are handed on; borrowed; NETNS_OWN: here */
	const struct sock_ops *out;      /* `prepare` marks those sockets; borrowed; NULL ok */
	struct share *share;             /* borrowed; whose time its clients take; NULL: nobody's */
	unsigned wait_ms;                /* how long a question waits for its client to be known; 0: not at all */
	bool pulse;                      /* keep the capture of DNS alive (net/sockopt.h) */
	bool ipv6;                       /* there are IPv6 addresses to answer */
	bool search_file;                /* search domains of resolv.conf instead of Kubernetes' three */
	const char *resolv_conf;         /* borrowed; NULL: /etc/resolv.conf */
	const char *preferred_ns;        /* borrowed; NULL ok */
	const struct dnsproxy_ops *ops;  /* borrowed */
	void *arg;
};

/* Binds the two sockets of one address; call it inside the namespace (netns_run). ops prepare them; NULL ok. 0 or -errno. */
int dnsproxy_bind(const struct addr *at, const struct sock_ops *ops, int *udp, int *tcp);

struct dnsproxy *dnsproxy_new(struct loop *l, const struct dnsproxy_conf *conf);
void dnsproxy_free(struct dnsproxy *p);                    /* NULL ok */
void dnsproxy_wake(struct dnsproxy *p);                    /* the mesh changed: questions that wait look again */

#endif
