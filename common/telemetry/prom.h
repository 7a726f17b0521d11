/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics page. Rooms and modes contribute families of figures, which are asked for at each scrape; names, labels and
 * types are ztunnel's where it has the same. Control thread. */
#ifndef TELEMETRY_PROM_H
#define TELEMETRY_PROM_H

#include "base/buf.h"

enum prom_type { PROM_COUNTER, PROM_GAUGE, PROM_HISTOGRAM, PROM_UNKNOWN };   /* unknown: a counter with a name of others, without _total */

struct prom;                         /* a scrape under way */

struct prom_label {
	const char *name;
	struct str value;            /* empty: "unknown" */
};

struct prom_family {
	const char *name;            /* without _total */
	enum prom_type type;
	const char *help;            /* without the full stop */
	void (*collect)(struct prom *p, void *arg);   /* calls prom_put for each label set; a family without any is left out */
	void *arg;
	struct prom_family *next;    /* prom's own */
};

/* Borrowed until prom_unregister. */
void prom_register(struct prom_family *f);
void prom_unregister(struct prom_family *f);

/* One figure of the family that is collected. Labels with a NULL name are skipped. */
void prom_put(struct prom *p, const struct prom_label *labels, int n, uint64_t value);

struct prom_histogram {
	const char *const *bounds;   /* upper ones, as text: "0.0005" */
	const uint64_t *counts;      /* of each bucket alone; one more than bounds: what is above all of them */
	int n;                       /* of bounds */
	double sum;
};
void prom_put_histogram(struct prom *p, const struct prom_label *labels, int n, const struct prom_histogram *h);

struct prom_build {
	const char *component;       /* label of istio_build: dashboards ask for "ztunnel" */
	const char *istio_version;   /* its tag: of the installation that runs us */
	const char *version;         /* our own */
};

/* Prometheus text, or OpenMetrics: connections (flow.h), what is registered, and the process's own figures. Reads
 * mesh_current(): a thread that is awake in its epoch. */
void prom_write(struct buf *out, bool openmetrics, const struct prom_build *build);

#endif
