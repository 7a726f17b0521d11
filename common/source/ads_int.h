/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the discovery client; for ads*.c only. */
#ifndef SOURCE_ADS_INT_H
#define SOURCE_ADS_INT_H

#include "base/arena.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "proto/ads.pb-c.h"
#include "source/ads.h"

#define ADS_TYPES ((int)ARRAY_LEN(((struct ads_stats *)0)->types))

/* A resource whose last version was refused. */
struct refusal {
	char *why;
	char name[];
};

/* A name that is asked for on demand, and stays subscribed when it was found. */
struct ask {
	struct list waits;           /* struct ads_wait */
	bool answered, found;
	char name[];
};

struct ads_wait {
	struct list link;            /* of an ask, or of those who are told just now */
	struct timer timer;
	struct ads *ads;
	struct ads_row *row;
	struct ask *ask;             /* NULL: it is settled */
	void (*on_done)(void *arg, enum ads_answer answer);
	void *arg;
};

struct ads_row {
	struct ads_type t;
	bool synced;
	bool complete;               /* the next push holds everything: what is not in it is gone */
	uint64_t messages, bytes, nacks;
	struct map refused;          /* by name: struct refusal */
	struct map asks;             /* by name: struct ask */
};

struct ads {
	struct loop *loop;
	struct grpc *grpc;
	const struct ads_ops *ops;
	void *arg;
	struct arena mem;            /* what the node consists of */
	Ads__Node node;
	struct ads_row rows[8];
	int n_rows;
	struct grpc_call *call;      /* NULL: between two streams */
	bool answered;               /* the present stream brought something */
	bool synced;
	struct backoff backoff;
	struct timer retry, again;   /* again: of what is on demand */
	uint64_t ends[ADS_ENDS];
	char state[400];
	char told[400];              /* the last trouble that was logged; "": none since it worked */
	int n_unknown;               /* types that nobody asked for: named once */
	char unknown[8][160];
	int n_waits;
};

/* --- ads.c --- */
void ads_send(struct ads *a, Ads__DeltaDiscoveryRequest *r);
/* --- ads_push.c: judges one message and answers it. False: it cannot be read at all. --- */
bool ads_push(struct ads *a, struct str msg);
void ads_refusal_clear(struct ads_row *row, struct str name);
/* --- ads_want.c --- */
void ads_asks_answer(struct ads_row *row, struct str name, bool found);   /* of one name, in the push */
void ads_asks_settle(struct ads *a, struct ads_row *row);                 /* after it: tells those who wait */
void ads_asks_again(struct ads *a, struct ads_row *row);                  /* asks for all that was found once more */
void ads_asks_done(struct ads *a, struct ads_row *row);

#endif
