/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/meters.h"
#include "telemetry/prom_int.h"

static struct prom_family *families, **last = &families;

void prom_register(struct prom_family *f)
{
	f->next = NULL;
	*last = f;
	last = &f->next;
}

void prom_unregister(struct prom_family *f)
{
	struct prom_family **at = &families;

	while (*at && *at != f)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = f->next;
	if (last == &f->next)
		last = at;
}

void prom_value(struct buf *out, struct str v)
{
	char *at = (char *)buf_reserve(out, v.n * 2);
	size_t n = 0;

	for (size_t i = 0; at && i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c == '"' || c == '\\')
			at[n++] = '\\';
		at[n++] = c < 0x20 || c >= 0x7f ? '_' : (char)c;
	}
	buf_added(out, n);
}

/* OpenMetrics names a counter's family without _total, the older text format names each sample. */
void prom_head(struct prom *p, const char *name, enum prom_type type, const char *help)
{
	const char *types[] = { "counter", "gauge", "histogram", p->openmetrics ? "unknown" : "untyped" };
	const char *suffix = type == PROM_COUNTER && !p->openmetrics ? "_total" : "";

	buf_printf(p->out, "# HELP %s%s %s.\n# TYPE %s%s %s\n", name, suffix, help, name, suffix, types[type]);
}

static void put_labels(struct buf *out, const struct prom_label *labels, int n, const char *le)
{
	bool any = false;

	for (int i = 0; i < n; i++) {
		if (!labels[i].name)
			continue;
		buf_printf(out, "%s%s=\"", any ? "," : "{", labels[i].name);
		prom_value(out, labels[i].value.n ? labels[i].value : str_c("unknown"));
		buf_puts(out, "\"");
		any = true;
	}
	if (le) {
		buf_printf(out, "%sle=\"%s\"", any ? "," : "{", le);
		any = true;
	}
	buf_puts(out, any ? "} " : " ");
}

static void head_once(struct prom *p)
{
	if (!p->headed)
		prom_head(p, p->family->name, p->family->type, p->family->help);
	p->headed = true;
}

void prom_put(struct prom *p, const struct prom_label *labels, int n, uint64_t value)
{
	head_once(p);
	buf_printf(p->out, "%s%s", p->family->name, p->family->type == PROM_COUNTER ? "_total" : "");
	put_labels(p->out, labels, n, NULL);
	buf_printf(p->out, "%llu\n", (unsigned long long)value);
}

void prom_put_histogram(struct prom *p, const struct prom_label *labels, int n, const struct prom_histogram *h)
{
	uint64_t count = 0;

	head_once(p);
	for (int i = 0; i <= h->n; i++) {
		count += h->counts[i];
		buf_printf(p->out, "%s_bucket", p->family->name);
		put_labels(p->out, labels, n, i < h->n ? h->bounds[i] : "+Inf");
		buf_printf(p->out, "%llu\n", (unsigned long long)count);
	}
	buf_printf(p->out, "%s_sum", p->family->name);
	put_labels(p->out, labels, n, NULL);
	buf_printf(p->out, "%.9g\n%s_count", h->sum, p->family->name);
	put_labels(p->out, labels, n, NULL);
	buf_printf(p->out, "%llu\n", (unsigned long long)count);
}

void prom_single(struct prom *p, const char *name, enum prom_type type, const char *help, uint64_t value)
{
	prom_head(p, name, type, help);
	buf_printf(p->out, "%s%s %llu\n", name, type == PROM_COUNTER ? "_total" : "", (unsigned long long)value);
}

void prom_write(struct buf *out, bool openmetrics, const struct prom_build *build)
{
	struct prom p = { .out = out, .openmetrics = openmetrics };

	meters_register();
	prom_flows(&p);
	prom_rows(&p);
	for (const struct prom_family *f = families; f; f = f->next) {
		p.family = f;
		p.headed = false;
		f->collect(&p, f->arg);
	}
	prom_process(&p, build);
	if (openmetrics)
		buf_puts(out, "# EOF\n");
}
