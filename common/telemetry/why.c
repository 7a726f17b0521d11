/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/why.h"

#include <inttypes.h>
#include <stdio.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "model/mesh.h"
#include "telemetry/trace.h"

enum why_text {
	WHY_SOURCE, WHY_SOURCE_ID, WHY_SOURCE_WORKLOAD, WHY_DEST, WHY_DEST_WORKLOAD, WHY_HBONE, WHY_DETAIL,
	WHY_POLICY, WHY_RULE, WHY_ALLOW, WHY_METHOD, WHY_HOST, WHY_PATH, WHY_REQUEST_ID, WHY_TEXTS
};

struct why_kept {
	uint64_t id;
	struct timespec at;
	enum fail why;
	enum flow_direction direction;
	bool mtls;
	int status;                    /* of a request: what was answered; 0: nothing, or not known */
	const char *text[WHY_TEXTS];   /* in this block; "" when there is none */
	char bytes[];
};

static struct {
	pthread_mutex_t lock;
	struct why_kept *ring[LIMIT_WHY_ENTRIES];   /* owned */
	unsigned next;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *workload_text(const struct workload *w, char *text, size_t size)
{
	if (!w)
		return "";
	snprintf(text, size, "%s/%s", w->ns, w->name[0] ? w->name : w->canonical_name);
	return text;
}

static struct why_kept *why_copy(const char *const text[WHY_TEXTS])
{
	size_t size = 0, len[WHY_TEXTS];
	struct why_kept *k;
	char *at;

	for (int i = 0; i < WHY_TEXTS; i++) {
		len[i] = strnlen(text[i], 2047);
		size += len[i] + 1;
	}
	k = malloc(sizeof(*k) + size);
	if (!k)
		return NULL;
	at = k->bytes;
	for (int i = 0; i < WHY_TEXTS; i++) {
		memcpy(at, text[i], len[i]);
		at[len[i]] = '\0';
		k->text[i] = at;
		at += len[i] + 1;
	}
	return k;
}

static void keep(struct why_kept *k)
{
	struct why_kept *old;

	clock_gettime(CLOCK_REALTIME, &k->at);
	pthread_mutex_lock(&kept.lock);
	old = kept.ring[kept.next];
	kept.ring[kept.next] = k;
	kept.next = (kept.next + 1) % LIMIT_WHY_ENTRIES;
	pthread_mutex_unlock(&kept.lock);
	free(old);
}

void why_remember(const struct why_entry *e)
{
	const struct flow *f = e->flow;
	char source[ADDR_TEXT], dest[ADDR_TEXT], hbone[ADDR_TEXT] = "", from[512], to[512];
	struct why_kept *k;

	addr_format(&f->source, source);
	addr_format(&f->dest, dest);
	if (f->hbone.port && !f->hbone_host)
		addr_format(&f->hbone, hbone);
	k = why_copy((const char *const[WHY_TEXTS]){
		[WHY_SOURCE] = source, [WHY_DEST] = dest, [WHY_HBONE] = f->hbone_host ? f->hbone_host : hbone,
		[WHY_SOURCE_ID] = f->source_id ? f->source_id : "",
		[WHY_SOURCE_WORKLOAD] = workload_text(f->source_workload, from, sizeof(from)),
		[WHY_DEST_WORKLOAD] = workload_text(f->dest_workload, to, sizeof(to)),
		[WHY_DETAIL] = e->detail, [WHY_POLICY] = e->policy, [WHY_RULE] = e->rule, [WHY_ALLOW] = e->would_allow,
		[WHY_METHOD] = "", [WHY_HOST] = "", [WHY_PATH] = "", [WHY_REQUEST_ID] = "",
	});
	if (!k)
		return;
	k->id = f->id;
	k->why = e->why;
	k->direction = f->direction;
	k->mtls = f->mtls;
	k->status = 0;
	keep(k);
}

uint64_t why_id_parse(struct str text)
{
	uint64_t id = 0;
	int digits = 0;

	for (size_t i = 0; i < text.n && digits < 16; i++) {
		char c = text.p[i];

		if (c == '-' && text.n == UUID_BYTES)
			continue;
		c |= 0x20;
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return 0;
		id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
		digits++;
	}
	return digits == 16 && (text.n == 16 || text.n == UUID_BYTES) ? id : 0;
}

/* NUL-terminated for why_copy, and no longer than is worth keeping. */
static const char *cut(struct exchange *x, struct str s)
{
	return exchange_dup(x, (struct str){ s.p, s.n < 1024 ? s.n : 1024 }).p;
}

void why_remember_request(struct exchange *x, enum fail why, const char *policy, const char *rule, const char *would_allow)
{
	const struct exchange_client *c = x->client;
	const struct workload *far = c->inbound && mesh_settings(mesh_current())->mode != MODE_WAYPOINT ? c->local_workload : x->log.upstream_workload;
	struct str id = fields_get(&x->request_fields, "x-request-id");
	char source[ADDR_TEXT], dest[ADDR_TEXT], from[512], to[512];
	struct why_kept *k;

	x->log.id = why_id_parse(id);
	if (!x->log.id)
		x->log.id = hash_bytes(&x->log.start_ns, sizeof(x->log.start_ns)) | 1;
	k = why_copy((const char *const[WHY_TEXTS]){
		[WHY_SOURCE] = addr_format(&c->peer, source), [WHY_DEST] = addr_format(x->log.upstream.port ? &x->log.upstream : &c->local, dest),
		[WHY_HBONE] = "", [WHY_SOURCE_ID] = cut(x, !c->inbound ? c->local_id : x->caller_id.n ? x->caller_id : c->peer_id),
		[WHY_SOURCE_WORKLOAD] = workload_text(c->inbound ? c->peer_workload : c->local_workload, from, sizeof(from)),
		[WHY_DEST_WORKLOAD] = workload_text(far, to, sizeof(to)),
		[WHY_DETAIL] = x->log.details ? x->log.details : "", [WHY_POLICY] = policy ? policy : "", [WHY_RULE] = rule ? rule : "",
		[WHY_ALLOW] = would_allow ? would_allow : "", [WHY_METHOD] = cut(x, x->request.method), [WHY_HOST] = cut(x, x->request.authority),
		[WHY_PATH] = cut(x, x->request.path), [WHY_REQUEST_ID] = cut(x, id),
	});
	if (!k)
		return;
	k->id = x->log.id;
	k->why = why;
	k->direction = c->inbound ? FLOW_INBOUND : FLOW_OUTBOUND;
	k->mtls = c->mtls;
	k->status = x->response.status;
	keep(k);
}

static void time_text(const struct timespec *at, char *text, size_t size)
{
	struct tm tm;

	gmtime_r(&at->tv_sec, &tm);
	strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void put_json(const struct why_kept *k, bool first, struct buf *out)
{
	static const char *const keys[WHY_TEXTS] = {
		"source", "sourceIdentity", "sourceWorkload", "destination", "destinationWorkload", "hboneAddress",
		"detail", "policy", "rule", "wouldAllow", "method", "host", "path", "requestId",
	};
	const struct fail_info *info = fail_info(k->why);
	char at[32];

	time_text(&k->at, at, sizeof(at));
	buf_printf(out, "%s\n  {\"id\": \"%016" PRIx64 "\", \"time\": \"%s\", \"direction\": \"%s\", \"mtls\": %s, ",
		   first ? "" : ",", k->id, at, k->direction == FLOW_INBOUND ? "inbound" : "outbound",
		   k->mtls ? "true" : "false");
	buf_printf(out, "\"reason\": \"%s\", \"responseFlags\": \"%s\", \"error\": ", info->name,
		   k->text[WHY_METHOD][0] ? fail_http(k->why)->flag : info->flag);
	buf_json_str(out, str_c(info->reason));
	for (int i = 0; i < WHY_TEXTS; i++)
		if (k->text[i][0]) {
			buf_printf(out, ", \"%s\": ", keys[i]);
			buf_json_str(out, str_c(k->text[i]));
		}
	if (k->status)
		buf_printf(out, ", \"status\": %d", k->status);
	if (info->hint[0]) {
		buf_puts(out, ", \"hint\": ");
		buf_json_str(out, str_c(info->hint));
	}
	buf_puts(out, "}");
}

static void put_line(struct buf *out, const char *name, const char *value)
{
	if (value[0])
		buf_printf(out, "  %-12s %s\n", name, value);
}

static void put_end(struct buf *out, const char *name, const char *addr, const char *workload)
{
	buf_printf(out, "  %-12s %s%s%s%s\n", name, addr, workload[0] ? " (" : "", workload, workload[0] ? ")" : "");
}

/* What a peer sent may be quoted here: control characters must not reach a terminal. */
static void clean(struct buf *out, size_t from)
{
	for (size_t i = from; i < buf_len(out); i++)
		if (buf_data(out)[i] < 0x20 && buf_data(out)[i] != '\n')
			buf_data(out)[i] = ' ';
}

static void put_text(const struct why_kept *k, bool first, struct buf *out)
{
	const struct fail_info *info = fail_info(k->why);
	size_t from = buf_len(out);
	char at[32];

	time_text(&k->at, at, sizeof(at));
	buf_printf(out, "%s%016" PRIx64 "  %s  %s\n", first ? "" : "\n", k->id, at, info->reason);
	put_end(out, "from", k->text[WHY_SOURCE], k->text[WHY_SOURCE_WORKLOAD]);
	put_line(out, "identity", k->text[WHY_SOURCE_ID][0] ? k->text[WHY_SOURCE_ID] : "none (no mutual TLS)");
	put_end(out, "to", k->text[WHY_DEST], k->text[WHY_DEST_WORKLOAD]);
	put_line(out, "authority", k->text[WHY_HBONE]);
	if (k->text[WHY_METHOD][0])
		buf_printf(out, "  %-12s %s %s%s\n", "request", k->text[WHY_METHOD], k->text[WHY_HOST], k->text[WHY_PATH]);
	put_line(out, "request id", k->text[WHY_REQUEST_ID]);
	if (k->status)
		buf_printf(out, "  %-12s %d\n", "answer", k->status);
	put_line(out, "direction", k->direction == FLOW_INBOUND ? "inbound" : "outbound");
	put_line(out, "what", k->text[WHY_DETAIL]);
	put_line(out, "policy", k->text[WHY_POLICY]);
	put_line(out, "rule", k->text[WHY_RULE]);
	if (!(k->why == FAIL_DENIED || k->why == FAIL_POLICY_CHANGE))   /* their hint is this command */
		put_line(out, "hint", info->hint);
	if (k->text[WHY_ALLOW][0])
		buf_printf(out, "  what would have allowed it:\n%s%s", k->text[WHY_ALLOW],
			   k->text[WHY_ALLOW][strlen(k->text[WHY_ALLOW]) - 1] == '\n' ? "" : "\n");
	clean(out, from);
}

typedef void why_put(const struct why_kept *k, bool first, struct buf *out);

static int why_write(uint64_t id, int max, why_put *put, struct buf *out)
{
	int n = 0;

	pthread_mutex_lock(&kept.lock);
	for (unsigned i = 1; i <= LIMIT_WHY_ENTRIES && (!max || n < max); i++) {
		const struct why_kept *k = kept.ring[(kept.next + LIMIT_WHY_ENTRIES - i) % LIMIT_WHY_ENTRIES];

		if (k && (!id || k->id == id))
			put(k, n++ == 0, out);
	}
	pthread_mutex_unlock(&kept.lock);
	return n;
}

int why_write_json(uint64_t id, int max, struct buf *out)
{
	int n;

	buf_puts(out, "[");
	n = why_write(id, max, put_json, out);
	buf_puts(out, n ? "\n]" : "]");
	return n;
}

int why_write_text(uint64_t id, int max, struct buf *out)
{
	return why_write(id, max, put_text, out);
}
