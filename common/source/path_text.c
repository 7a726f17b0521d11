/* SPDX-License-Identifier: Apache-2.0 */
/* A path in words, and as JSON. */
#include <stdio.h>

#include "source/path.h"

/* --- text --- */

static void put_verdict(const struct path_verdict *v, struct buf *out)
{
	buf_puts(out, path_end_name(v->end));
	if (v->end == PATH_ALLOW)
		return;
	buf_printf(out, " status %d by %s (%s): %s%s%s", v->status, v->by, path_proxy_name(v->proxy), v->reason, *v->detail ? " " : "", v->detail);
}

static void put_leg(const struct path_leg *l, bool only, const char *pad, struct buf *out)
{
	buf_printf(out, "%s  -> ", pad);
	if (!only)
		buf_printf(out, "%g %%: ", l->share / 100.0);
	buf_printf(out, "%s to %s", l->carried, l->to);
	for (int i = 0; i < l->n_endpoints; i++)
		if (i || strcmp(l->endpoints[i], l->to))
			buf_printf(out, "%s%s", i ? ", " : " of ", l->endpoints[i]);
	buf_puts(out, "\n");
}

/* before: the numbers of the branches that lead here, "1.2."; number: along the branch. */
static void put_hop(const struct path_hop *h, const char *before, int number, int depth, struct buf *out)
{
	char pad[64], next[64];

	snprintf(pad, sizeof(pad), "%*s", depth * 2, "");
	buf_printf(out, "%s%s%d %s %s (%s)%s%s\n", pad, before, number, h->role, h->workload, path_proxy_name(h->proxy), *h->identity ? " " : "", h->identity);
	for (int i = 0; i < h->n_facts; i++)
		buf_printf(out, "%s  %-10s %s\n", pad, h->facts[i].kind, h->facts[i].text);
	for (int i = 0; i < h->n_legs; i++) {
		const struct path_leg *l = &h->legs[i];

		if (l->carried)
			put_leg(l, h->n_legs == 1, pad, out);
		if (l->next && h->n_legs == 1) {
			put_hop(l->next, before, number + 1, depth, out);
		} else if (l->next) {
			snprintf(next, sizeof(next), "%.40s%d.", before, number);
			put_hop(l->next, next, i + 1, depth + 1, out);
		} else {
			buf_printf(out, "%s  ends       ", pad);
			put_verdict(&l->verdict, out);
			buf_puts(out, "\n");
		}
	}
}

void path_write_text(const struct path *p, struct buf *out)
{
	put_hop(p->first, "", 1, 0, out);
	buf_puts(out, "verdict: ");
	if (p->n_outcomes == 1) {
		put_verdict(p->outcomes[0].verdict, out);
		buf_puts(out, "\n");
		return;
	}
	buf_puts(out, "MIXED\n");
	for (int i = 0; i < p->n_outcomes; i++) {
		buf_printf(out, "  %g%%: ", p->outcomes[i].share / 100.0);
		put_verdict(p->outcomes[i].verdict, out);
		buf_puts(out, "\n");
	}
}

/* --- JSON --- */

static void put_text(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "\"%s\": ", name);
	buf_json_str(out, str_c(value));
}

static void json_verdict(const struct path_verdict *v, struct buf *out)
{
	buf_puts(out, "{");
	put_text(out, "kind", path_end_name(v->end));
	if (v->end != PATH_ALLOW) {
		buf_printf(out, ", \"status\": %d, ", v->status);
		put_text(out, "by", v->by);
		buf_puts(out, ", ");
		put_text(out, "mode", path_proxy_name(v->proxy));
		buf_puts(out, ", ");
		put_text(out, "reason", v->reason);
		buf_puts(out, ", ");
		put_text(out, "detail", v->detail);
	}
	buf_puts(out, "}");
}

static void json_hop(const struct path_hop *h, struct buf *out);

static void json_leg(const struct path_leg *l, struct buf *out)
{
	buf_printf(out, "{\"share\": %g", l->share / 10000.0);
	if (l->carried) {
		buf_puts(out, ", ");
		put_text(out, "carried", l->carried);
		buf_puts(out, ", ");
		put_text(out, "to", l->to);
		buf_puts(out, ", \"endpoints\": [");
		for (int i = 0; i < l->n_endpoints; i++) {
			buf_puts(out, i ? ", " : "");
			buf_json_str(out, str_c(l->endpoints[i]));
		}
		buf_puts(out, "]");
	}
	if (l->next) {
		buf_puts(out, ", \"next\": ");
		json_hop(l->next, out);
	} else {
		buf_puts(out, ", \"verdict\": ");
		json_verdict(&l->verdict, out);
	}
	buf_puts(out, "}");
}

static void json_hop(const struct path_hop *h, struct buf *out)
{
	buf_puts(out, "{");
	put_text(out, "role", h->role);
	buf_puts(out, ", ");
	put_text(out, "workload", h->workload);
	buf_puts(out, ", ");
	put_text(out, "mode", path_proxy_name(h->proxy));
	buf_puts(out, ", ");
	put_text(out, "identity", h->identity);
	buf_puts(out, ", \"facts\": [");
	for (int i = 0; i < h->n_facts; i++) {
		buf_puts(out, i ? ", {" : "{");
		put_text(out, "kind", h->facts[i].kind);
		buf_puts(out, ", ");
		put_text(out, "text", h->facts[i].text);
		buf_puts(out, "}");
	}
	buf_puts(out, "], \"legs\": [");
	for (int i = 0; i < h->n_legs; i++) {
		buf_puts(out, i ? ", " : "");
		json_leg(&h->legs[i], out);
	}
	buf_puts(out, "]}");
}

void path_write_json(const struct path *p, struct buf *out)
{
	buf_puts(out, "{");
	put_text(out, "from", p->from);
	buf_puts(out, ", ");
	put_text(out, "to", p->to);
	buf_puts(out, ", \"request\": {");
	put_text(out, "method", p->method);
	buf_puts(out, ", ");
	put_text(out, "host", p->host);
	buf_puts(out, ", ");
	put_text(out, "path", p->target);
	buf_puts(out, "}, \"path\": ");
	json_hop(p->first, out);
	buf_puts(out, ", \"outcomes\": [");
	for (int i = 0; i < p->n_outcomes; i++) {
		buf_printf(out, "%s{\"share\": %g, \"verdict\": ", i ? ", " : "", p->outcomes[i].share / 10000.0);
		json_verdict(p->outcomes[i].verdict, out);
		buf_puts(out, "}");
	}
	buf_puts(out, "]}\n");
}
