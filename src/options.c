/* SPDX-License-Identifier: Apache-2.0 */
#include "src/options.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

bool duration_parse(const char *text, uint64_t *ret_ms)
{
	static const struct { const char *unit; uint64_t ms; } units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};
	uint64_t total = 0;

	for (const char *p = text; *p || p == text;) {
		size_t n = strspn(p, "0123456789"), u = strspn(p + n, "dhms");
		uint64_t v, ms = n && !u && !p[n] && p == text ? 1000 : 0;

		for (size_t i = 0; i < ARRAY_LEN(units); i++)
			if (str_is((struct str){ p + n, u }, units[i].unit))
				ms = units[i].ms;
		if (!ms || !str_to_u64((struct str){ p, n }, &v) || v > 1000000000u)
			return false;
		total += v * ms;
		p += n + u;
	}
	*ret_ms = total;
	return true;
}

static int set_value(const struct option_row *o, void *to, const char *value, struct err *err)
{
	void *at = (char *)to + o->offset;
	struct option_list *list = at;
	uint64_t n;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)at = true;
		break;
	case OPTION_TEXT:
		*(const char **)at = value;
		break;
	case OPTION_NUMBER:
		if (!str_to_u64(str_c(value), &n) || n < o->lo || n > o->hi)
			return err_set(err, -EINVAL, "--%s: want a number from %u to %u, got '%s'", o->name, o->lo, o->hi, value);
		*(unsigned *)at = (unsigned)n;
		break;
	case OPTION_DURATION:
		if (!duration_parse(value, &n) || n > 0x7fffffffu)
			return err_set(err, -EINVAL, "--%s: want a duration such as 5s or 1m, got '%s'", o->name, value);
		*(unsigned *)at = (unsigned)n;
		break;
	case OPTION_LIST:
		if (list->n == (int)ARRAY_LEN(list->v))
			return err_set(err, -EINVAL, "--%s: at most %zu times", o->name, ARRAY_LEN(list->v));
		list->v[list->n++] = value;
		break;
	}
	return 0;
}

/* Reads argv[*at], and the word after it when the value stands there. */
static int parse_one(const struct option_row *rows, void *to, int argc, char **argv, int *at, struct err *err)
{
	const char *word = argv[*at] + 2, *value = strchr(word, '=');
	struct str name = { word, value ? (size_t)(value - word) : strlen(word) };

	for (const struct option_row *o = rows; o->name; o++) {
		if (!str_is(name, o->name))
			continue;
		if (o->kind == OPTION_FLAG && value)
			return err_set(err, -EINVAL, "--%s takes no value", o->name);
		if (o->kind != OPTION_FLAG && !value && ++*at >= argc)
			return err_set(err, -EINVAL, "--%s needs a value: --%s=%s", o->name, o->name, o->arg);
		return set_value(o, to, value ? value + 1 : argv[*at], err);
	}
	return err_set(err, -EINVAL, "unknown option --%.*s; see --help", STR_FMT(name));
}

int options_parse(const struct option_row *rows, void *to, int argc, char **argv, const char **words, int max, struct err *err)
{
	int n = 0, r;
	bool ended = false;

	for (int i = 1; i < argc; i++) {
		if (!ended && strcmp(argv[i], "--") == 0) {
			ended = true;
		} else if (!ended && strncmp(argv[i], "--", 2) == 0) {
			r = parse_one(rows, to, argc, argv, &i, err);
			if (r < 0)
				return r;
		} else if (n < max) {
			words[n++] = argv[i];
		} else {
			return err_set(err, -EINVAL, "one word too many: '%s'; see --help", argv[i]);
		}
	}
	return n;
}

void options_help(const struct option_row *rows, FILE *out)
{
	for (; rows->name; rows++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", rows->name, rows->arg ? "=" : "", rows->arg ? rows->arg : "");
		fprintf(out, "  %-26s %s\n", left, rows->doc);
	}
}

void options_roff(const struct option_row *rows, FILE *out)
{
	for (; rows->name; rows++) {
		fprintf(out, ".TP\n.B \\-\\-%s", rows->name);
		if (rows->arg)
			fprintf(out, "=\\fI%s\\fR", rows->arg);
		fprintf(out, "\n%s\n", rows->doc);
	}
}
