/* SPDX-License-Identifier: Apache-2.0 */
/* Between the DNS proxy's files: dnsproxy.c decides and answers, dnsproxy_tcp.c has the TCP clients. */
#ifndef DNS_DNSPROXY_INT_H
#define DNS_DNSPROXY_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "dns/dnsmsg.h"
#include "dns/dnsproxy.h"
#include "dns/resolvconf.h"
#include "dns/upstream.h"
#include "io/listen.h"
#include "net/conntrack.h"

struct dnsproxy_udp {
	ev_io io;
	struct dnsproxy *proxy;
	int fd;                          /* owned */
	struct addr local;
	bool any;                        /* bound to no address: answers name the one that was asked */
};

/* One client's TCP connection. */
struct dnsproxy_tcp {
	struct list link;                /* in dnsproxy.clients, the longest idle first */
	struct dnsproxy *proxy;
	ev_io io;
	struct timer idle;
	struct deferred grave;
	int fd;
	struct addr peer, dest;          /* dest: where the connection wanted to go */
	bool captured, eof, broken, gone;
	int pending;                     /* questions that are not answered */
	struct buf in, out;
};

/* Where a question came from. */
struct dnsproxy_from {
	struct dnsproxy_udp *udp;        /* or: */
	struct dnsproxy_tcp *tcp;
	struct addr peer, local;
};

struct dnsproxy_flow;

struct dnsproxy {
	struct loop *loop;
	struct dnsproxy_conf conf;
	struct upstream_conf up;
	struct dnsproxy_udp udp[DNSPROXY_SOCKETS];
	struct listener *tcp[DNSPROXY_SOCKETS];
	struct addr own[2 * DNSPROXY_SOCKETS];   /* what we listen on */
	int n_own;
	struct list questions;           /* struct question: handed on, or waiting */
	struct list clients;             /* struct dnsproxy_tcp */
	int n_questions, n_clients;
	struct timer pulse;
	struct resolvconf resolv;
	struct conntrack conntrack;
	struct dnsproxy_flow *flows;     /* owned; made on first use */
};

/* One message of a client. */
void dnsproxy_take(struct dnsproxy *p, const struct dnsproxy_from *from, const uint8_t *b, size_t n);

void dnsproxy_tcp_accept(void *proxy, int fd, const struct addr *peer);
void dnsproxy_tcp_reply(struct dnsproxy_tcp *c, const uint8_t *b, size_t n);
void dnsproxy_tcp_done(struct dnsproxy_tcp *c);      /* one question less is pending */
void dnsproxy_tcp_close(struct dnsproxy_tcp *c);
/* The connection ends: its questions are given up. */
void dnsproxy_drop_of(struct dnsproxy *p, const struct dnsproxy_tcp *c);

#endif
