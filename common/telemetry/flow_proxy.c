/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of bytes in a sidecar: seen as an exchange without heads, they are counted and logged as Envoy does. */
#include <stdlib.h>
#include <time.h>

#include "telemetry/accesslog.h"
#include "telemetry/flow_int.h"
#include "telemetry/peer.h"
#include "telemetry/requests.h"
#include "telemetry/teleconf_int.h"

bool flow_set_proxy(struct flow *f, const struct teleconf *conf)
{
	f->proxy = calloc(1, sizeof(*f->proxy));
	if (f->proxy)
		f->proxy->conf = teleconf_ref(conf);
	return f->proxy;
}

void flow_proxy_free(struct flow_proxy *p)
{
	if (!p)
		return;
	teleconf_unref(p->conf);
	workload_unref(p->server);
	free(p->cluster);
	free(p->route);
	free(p->sni);
	free(p->service);
	free(p->failure);
	free(p->details);
	free(p->said);
	free(p);
}

static const struct tele_side *side(const struct flow *f)
{
	return tele_side_for(teleconf_side(f->proxy->conf, f->direction == FLOW_INBOUND), f->service);
}

static bool is_waypoint(const struct flow *f)
{
	return teleconf_side(f->proxy->conf, f->direction == FLOW_INBOUND)->waypoint;
}

/* What it looks like as an exchange; both borrow from the flow. */
static void view(const struct flow *f, struct exchange *x, struct exchange_client *c)
{
	const struct flow_proxy *p = f->proxy;
	bool inbound = f->direction == FLOW_INBOUND, waypoint = is_waypoint(f);

	*c = (struct exchange_client){
		.peer = f->source, .local = p->local.port ? p->local : f->dest, .mtls = f->mtls && inbound, .inbound = inbound, .sni = str_c(p->sni),
		.local_workload = waypoint ? p->conf->workload : inbound ? f->dest_workload : f->source_workload,
	};
	*x = (struct exchange){ .client = c };
	x->log = (struct exchange_log){
		.grpc_status = -1, .wall_us = p->wall_us, .start_ns = f->opened_ns, .bytes_received = f->bytes_received, .bytes_sent = f->bytes_sent,
		.upstream = p->upstream, .upstream_local = p->upstream_local, .route_name = str_c(p->route), .cluster_name = str_c(p->cluster),
		.upstream_failure = p->failure, .details = p->details, .peer = p->said,
	};
	if (inbound) {
		c->peer_workload = f->source_workload;
		c->service = str_c(p->service);
		c->target = waypoint ? f->service : NULL;
		x->log.upstream_workload = p->server;
		if (f->mtls) {
			c->peer_id = str_c(f->source_id);
			c->local_id = str_c(f->dest_id ? f->dest_id : c->local_workload ? c->local_workload->identity : NULL);
		}
	} else {
		x->log.service = str_c(p->service);
		x->log.upstream_workload = f->dest_workload;
		if (f->mtls)
			x->log.upstream_peer_id = str_c(f->dest_id);
	}
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool peer_known(const struct flow *f)
{
	if (is_waypoint(f))
		return f->proxy->server;
	return (f->direction == FLOW_INBOUND ? f->source_workload : f->dest_workload) || f->proxy->said;
}

/* Envoy's flags say what kept a connection from its server; how one that was there ended is no failure. It counts a connection that
 * could not be made as tries that were used up. */
static void put_end(struct exchange_log *l, enum fail why)
{
	const char *flag = fail_http(why)->flag;

	l->why = why == FAIL_CLIENT_RESET || why == FAIL_SERVER_RESET || why == FAIL_DRAIN ? FAIL_NONE : why;
	l->retry_limit = strcmp(flag, "UF") == 0;
	if (!l->details && (strcmp(flag, "NR") == 0 || strcmp(flag, "DF") == 0))
		l->details = fail_http(why)->details;
}

/* Adds what was not counted yet. */
static void count(struct flow *f, enum fail why, bool closed)
{
	struct flow_proxy *p = f->proxy;
	struct exchange_client c;
	struct exchange x;
	struct timespec ts;

	view(f, &x, &c);
	/* Labels do not change while a connection lives: its end has no flag unless it ends before it was counted. */
	if (!p->counting)
		put_end(&x.log, why);
	requests_count_tcp(side(f), &x, !p->counting, closed, closed ? why : FAIL_NONE, f->bytes_received - p->counted[0], f->bytes_sent - p->counted[1]);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	p->counting = true;
	p->counted_s = ts.tv_sec;
	p->counted[0] = f->bytes_received;
	p->counted[1] = f->bytes_sent;
}

void flow_proxy_open(struct flow *f)
{
	f->opened = true;
	if (!f->opened_ns)
		f->opened_ns = clock_ns(CLOCK_MONOTONIC);
	f->proxy->wall_us = clock_ns(CLOCK_REALTIME) / 1000;
	if (peer_known(f))
		count(f, FAIL_NONE, false);
}

void flow_server(struct flow *f, struct workload *server)
{
	if (!f->proxy || f->proxy->counting || f->proxy->server || !server)
		return;
	f->proxy->server = workload_ref(server);
	if (f->opened)
		count(f, FAIL_NONE, false);
}

void flow_peer(struct flow *f, const struct peer *p)
{
	if (!f->proxy || f->proxy->counting || f->proxy->said)
		return;
	f->proxy->said = peer_dup(p);
	if (f->opened && f->proxy->said)
		count(f, FAIL_NONE, false);
}

/* Figures of long connections move while they live, every so often (as Envoy's) or so many bytes. */
#define COUNT_S     5
#define COUNT_BYTES (1024 * 1024)

void flow_proxy_bytes(struct flow *f)
{
	struct flow_proxy *p = f->proxy;
	struct timespec ts;

	if (!f->opened || (!p->counting && !(f->bytes_received && f->bytes_sent)))
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	if (!p->counting || ts.tv_sec - p->counted_s >= COUNT_S || f->bytes_received - p->counted[0] + f->bytes_sent - p->counted[1] >= COUNT_BYTES)
		count(f, FAIL_NONE, false);
}

void flow_proxy_close(struct flow *f, const struct why_entry *e)
{
	struct exchange_client c;
	struct exchange x;

	if (f->opened)
		count(f, e->why, true);
	else
		f->proxy->wall_us = clock_ns(CLOCK_REALTIME) / 1000;
	view(f, &x, &c);
	put_end(&x.log, e->why);
	if (x.log.retry_limit && !x.log.upstream_failure && e->detail[0])
		x.log.upstream_failure = e->detail;
	x.log.end_ns = clock_ns(CLOCK_MONOTONIC);
	accesslog_write(side(f), &x);
}
