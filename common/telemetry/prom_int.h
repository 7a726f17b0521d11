/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TELEMETRY_PROM_INT_H
#define TELEMETRY_PROM_INT_H

#include "telemetry/prom.h"

struct prom {
	struct buf *out;
	bool openmetrics;
	const struct prom_family *family;    /* that is collected */
	bool headed;                         /* its HELP and TYPE are written */
};

/* Label values come from peers too: what the text format or UTF-8 would trip over becomes '_'. */
void prom_value(struct buf *out, struct str v);
/* HELP and TYPE. */
void prom_head(struct prom *p, const char *name, enum prom_type type, const char *help);
/* A family of one figure without labels. */
void prom_single(struct prom *p, const char *name, enum prom_type type, const char *help, uint64_t value);

void prom_flows(struct prom *p);             /* connections: promflow.c */
void prom_rows(struct prom *p);              /* requests and connections of sidecars: promrows.c */
void prom_process(struct prom *p, const struct prom_build *build);   /* promproc.c */

#endif
