/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/why.h"

#include <inttypes.h>
#include <stdio.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"

enum why_text {
	WHY_SOURCE, WHY_SOURCE_ID, WHY_SOURCE_WORKLOAD, WHY_DEST, WHY_DEST_WORKLOAD, WHY_HBONE, WHY_DETAIL,
	WHY_POLICY, WHY_RULE, WHY_ALLOW, WHY_TEXTS
};

struct why_kept {
	uint64_t id;
	struct timespec at;
	enum fail why;
	enum flow_direction direction;
	bool mtls;
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

void why_remember(const struct why_entry *e)
{
	const struct flow *f = e->flow;
	char source[ADDR_TEXT], dest[ADDR_TEXT], hbone[ADDR_TEXT] = "", from[512], to[512];
	struct why_kept *k, *old;

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
	});
	if (!k)
		return;
	k->id = f->id;
	k->why = e->why;
	k->direction = f->direction;
	k->mtls = f->mtls;
	clock_gettime(CLOCK_REALTIME, &k->at);
	pthread_mutex_lock(&kept.lock);
	old = kept.ring[kept.next];
	kept.ring[kept.next] = k;
	kept.next = (kept.next + 1) % LIMIT_WHY_ENTRIES;
	pthread_mutex_unlock(&kept.lock);
	free(old);
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
		"detail", "policy", "rule", "wouldAllow",
	};
	const struct fail_info *info = fail_info(k->why);
	char at[32];

	time_text(&k->at, at, sizeof(at));
	buf_printf(out, "%s\n  {\"id\": \"%016" PRIx64 "\", \"time\": \"%s\", \"direction\": \"%s\", \"mtls\": %s, ",
		   first ? "" : ",", k->id, at, k->direction == FLOW_INBOUND ? "inbound" : "outbound",
		   k->mtls ? "true" : "false");
	buf_printf(out, "\"reason\": \"%s\", \"responseFlags\": \"%s\", \"error\": ", info->name, info->flag);
	buf_json_str(out, str_c(info->reason));
	for (int i = 0; i < WHY_TEXTS; i++)
		if (k->text[i][0]) {
			buf_printf(out, ", \"%s\": ", keys[i]);
			buf_json_str(out, str_c(k->text[i]));
		}
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
