/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind settings.h. */
#ifndef SRC_SETTINGS_INT_H
#define SRC_SETTINGS_INT_H

#include "src/settings.h"

enum setting_kind {
	SETTING_BOOL,        /* bool */
	SETTING_MAYBE,       /* enum setting_maybe */
	SETTING_TEXT,        /* const char *; empty counts as unset when the default is NULL */
	SETTING_NUMBER,      /* unsigned within lo and hi */
	SETTING_DURATION,    /* uint64_t milliseconds; lo and hi in seconds, hi 0: a year */
	SETTING_WORD,        /* int: the index in words */
	SETTING_OWN,         /* settings.c reads it: offset unused */
	SETTING_REFUSED,     /* words[0], NULL: any value: not started with; doc says why */
	SETTING_NOTED,       /* not honoured: said when set; doc says what there is instead */
};

struct setting_row {
	const char *name;            /* a name that ends with * stands for all that begin so */
	enum setting_kind kind;
	size_t offset;
	const char *deflt;           /* as it would stand in the environment; NULL: none */
	const char *doc;
	uint32_t lo, hi;
	const char *const *words;
};

extern const struct setting_row setting_rows[];   /* ends with a NULL name */

/* Each row's value or default into s; refusals and notes too. */
int settings_env_read(struct settings *s, struct err *err);
/* NULL when unset. */
const char *settings_env(const char *name);
void settings_note(struct settings *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The index of v among the words of the row `name`. */
int settings_word(const char *name, const char *v, int *ret, struct err *err);
int settings_otlp(struct settings *s, struct err *err);
/* "500m", "1.5", "2" to whole CPUs, rounded up. */
bool settings_cpus(const char *text, unsigned *ret);
/* RUST_LOG's directives in our scopes; what does not map is noted. */
int settings_log_levels(struct settings *s, const char *rust_log, struct err *err);

#endif
