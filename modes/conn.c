/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/conn.h"

#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "policy/ratelimit.h"
#include "telemetry/bypass.h"
#include "traffic/dest.h"
#include "traffic/guard.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void conn_init(struct conn *c, struct pod *pod, enum flow_direction direction, struct workload *local,
	       void (*free_fn)(struct conn *c))
{
	struct pworker *w = pod->worker;

	pod_ref(pod->shared);
	c->pod = pod;
	c->flow.direction = direction;
	c->flow.opened_ns = now_ns();
	c->local = local ? workload_ref(local) : NULL;
	c->free_fn = free_fn;
	list_add_tail(&pod->conns, &c->link);
	atomic_fetch_add_explicit(&w->n_conns, 1, memory_order_relaxed);
	flow_sockets(w->metrics, direction, 1);
	if (!timer_armed(&w->tick))
		timer_start(&w->tick, PROXY_TICK_MS);
}

void conn_baggage(const struct workload *w, struct buf *out)
{
	struct baggage b = {
		.cluster = str_c(w->cluster), .ns = str_c(w->ns), .workload_name = str_c(w->workload_name),
		.workload_type = str_c(w->workload_type), .service_name = str_c(w->canonical_name),
		.revision = str_c(w->canonical_revision), .region = str_c(w->locality.region), .zone = str_c(w->locality.zone),
	};

	baggage_format(&b, out);
}

uint64_t conn_age_ms(const struct conn *c)
{
	return (now_ns() - c->flow.opened_ns) / 1000000;
}

void conn_account(struct conn *c)
{
	if (!c->flow.opened)
		return;
	flow_bytes(&c->flow, c->pump.bytes_up - c->flow.bytes_received, c->pump.bytes_down - c->flow.bytes_sent);
}

static void conn_free(struct deferred *d)
{
	struct conn *c = container_of(d, struct conn, grave);
	struct pod_shared *s = c->pod->shared;

	workload_unref(c->local);
	free(c->said.id);
	c->free_fn(c);
	pod_unref(s);
}

static void end(struct conn *c, enum fail why, const char *detail, const char *policy, const char *rule, const char *would)
{
	struct pworker *w = c->pod->worker;

	if (c->ended)
		return;
	c->ended = true;
	c->why = why;
	if (c->pumping) {
		pump_abort(&c->pump, why);
	} else {
		stage_done(c->pump.down, why == FAIL_NONE ? FAIL_CLIENT_RESET : why);
		stage_done(c->pump.up, why == FAIL_NONE ? FAIL_CLIENT_RESET : why);
	}
	conn_account(c);
	list_del(&c->link);
	atomic_fetch_sub_explicit(&w->n_conns, 1, memory_order_relaxed);
	pod_uncount(c->pod);
	flow_sockets(w->metrics, c->flow.direction, -1);
	flow_close(w->metrics, &c->flow, why, detail, policy, rule, would);
	c->grave.run = conn_free;
	loop_bury(w->loop, &c->grave);
}

void conn_leave(struct conn *c)
{
	struct pworker *w = c->pod->worker;

	c->ended = true;
	list_del(&c->link);
	atomic_fetch_sub_explicit(&w->n_conns, 1, memory_order_relaxed);
	flow_sockets(w->metrics, c->flow.direction, -1);
	flow_drop(&c->flow);
	c->grave.run = conn_free;
	loop_bury(w->loop, &c->grave);
}

void conn_end(struct conn *c, enum fail why, const char *detail)
{
	end(c, why, detail, NULL, NULL, NULL);
}

void conn_expire(struct conn *c, uint64_t now_ms)
{
	uint64_t bytes = c->pump.bytes_up + c->pump.bytes_down;
	bool old = c->life_ms && conn_age_ms(c) >= c->life_ms, idle;

	if (!c->pumping || c->ended || !(c->idle_ms || c->life_ms))
		return;
	if (!c->seen_ms || bytes != c->seen_bytes) {
		c->seen_bytes = bytes;
		c->seen_ms = now_ms;
	}
	idle = c->idle_ms && now_ms - c->seen_ms >= c->idle_ms;
	if (!old && !idle)
		return;
	pump_abort(&c->pump, FAIL_NONE);      /* to either side it is an end like any other */
	c->pumping = false;
	c->pump.down = c->pump.up = NULL;
	conn_end(c, old ? FAIL_MAX_DURATION : FAIL_IDLE_TIMEOUT, NULL);
}

static void on_pump_done(struct pump *p, enum fail why)
{
	conn_end(container_of(p, struct conn, pump), why, NULL);
}

void conn_pump(struct conn *c)
{
	c->pumping = true;
	pump_start(&c->pump, c->pump.down, c->pump.up, on_pump_done);
}

const char *conn_over_limit(struct conn *c)
{
	const char *rule = NULL;

	if (c->counted || !c->local)
		return NULL;
	c->counted = true;
	return ratelimit_connection(mesh_current(), c->local, &c->input, &rule) ? NULL : rule;
}

/* Who is judged: the peer; or, where waypoints are used, the one for whom the own waypoint asks. Returns the waypoint that was passed by. */
static const struct gateway *look_at_peer(struct conn *c, const struct mesh *m, const struct workload *w)
{
	struct str peer = str_c(c->flow.source_id);
	const struct gateway *passed;
	bool as_caller;

	c->guard = guard_ask(m, w, c->input.dest.port, peer, &passed);
	as_caller = c->guard == GUARD_MET && mesh_settings(m)->through_waypoints;
	c->input.principal = as_caller && c->said.id ? str_c(c->said.id) : peer;
	c->input.source = as_caller && c->said.from.port ? c->said.from : c->flow.source;
	return passed;
}

static void note_bypass(struct conn *c, const struct workload *w, const struct gateway *passed)
{
	char name[320];

	if (passed && !c->judged)
		bypass_note(w, dest_gateway_name(passed, name), str_c(c->flow.source_id));
	c->judged = true;
}

/* Today's workload, not the one at the start: its labels decide which policies apply. */
static struct workload *present(const struct conn *c, const struct mesh *m)
{
	return c->local ? mesh_workload(m, str_c(c->local->uid)) : NULL;
}

static bool is_closed(const struct mesh *m)
{
	return mesh_settings(m)->stance >= STANCE_CLOSED;
}

bool conn_know_peer(struct conn *c)
{
	const struct mesh *m = mesh_current();
	struct workload *now = present(c, m);

	return now && !(look_at_peer(c, m, now) && is_closed(m));
}

bool conn_may_ask(struct conn *c)
{
	const struct mesh *m = mesh_current();
	struct workload *now = present(c, m);
	const struct gateway *passed = now ? look_at_peer(c, m, now) : NULL;

	if (!now || (passed && is_closed(m)) || !authz_judge_peer(m, now, &c->input).allowed)
		return false;
	note_bypass(c, now, passed);
	return true;
}

const struct addr *conn_client(const struct conn *c)
{
	return c->guard == GUARD_MET && c->said.from.port ? &c->said.from : &c->flow.source;
}

bool conn_judge(struct conn *c, enum fail why_if_denied)
{
	const struct mesh *m = mesh_current();
	struct workload *now = present(c, m);
	const struct gateway *passed;
	struct authz_verdict v;
	struct buf would = { 0 };
	const char *over;
	char details[512];
	char name[320];

	if (!now) {
		end(c, FAIL_NO_WORKLOAD, "the workload is gone from the configuration", NULL, NULL, NULL);
		return false;
	}
	passed = look_at_peer(c, m, now);
	if (passed && is_closed(m)) {
		end(c, FAIL_NOT_WAYPOINT, dest_gateway_name(passed, name), NULL, NULL, NULL);
		return false;
	}
	v = authz_judge(m, now, &c->input, c->judged ? NULL : authz_note_quiet, NULL);
	if (v.allowed)
		note_bypass(c, now, passed);
	c->judged = true;
	over = v.allowed ? conn_over_limit(c) : NULL;
	if (over)
		end(c, FAIL_RATE_LIMITED, over, NULL, NULL, NULL);
	if (v.allowed)
		return !over;
	authz_explain(m, now, &c->input, &would);
	buf_append(&would, "", 1);
	c->flow.refusal = v.cause;
	if (c->flow.proxy)
		flow_set(&c->flow.proxy->details, str_c(authz_details(&v, details, sizeof(details))));
	end(c, why_if_denied, NULL, v.policy ? v.policy->key : NULL, v.rule, (char *)buf_data(&would));
	buf_done(&would);
	return false;
}
