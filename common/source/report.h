/* SPDX-License-Identifier: Apache-2.0 */
/* What was found in configuration: one finding per fault, with the place and the remedy. */
#ifndef SOURCE_REPORT_H
#define SOURCE_REPORT_H

#include "base/buf.h"

#define REPORT_MAX 2000      /* findings kept of one file */

enum finding_level { FINDING_ERROR, FINDING_WARNING, FINDING_INFO };

struct finding {
	enum finding_level level;
	const char *file;        /* borrowed: lives as long as the directory's list of files */
	unsigned line;           /* 0: the whole file */
	const char *kind, *ns, *name, *path, *message;   /* owned; "" when they do not apply */
	unsigned more;           /* further findings of the same kind, path and message that were not kept */
};

struct report {
	struct finding *v;
	size_t n, cap;
	size_t lost[3];          /* by level: beyond REPORT_MAX */
	unsigned same_max;       /* warnings and infos alike (kind, path, message) that are kept; 0: 3 */
};

/* path is the field's ("spec.ports[0].number"), message says what was wanted and what came. Copies its strings. */
void report_add(struct report *r, const struct finding *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void report_done(struct report *r);
size_t report_count(const struct report *r, enum finding_level level);   /* with those not kept */

const char *finding_level_name(enum finding_level level);
/* "file:line: kind ns/name: path: message (and 9 more)" without a newline; with the level after the line, if asked for. */
void finding_format(const struct finding *f, bool with_level, struct buf *out);
int finding_compare(const void *a, const void *b);   /* over struct finding *const: file, line, path, message */

#endif
