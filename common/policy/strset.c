/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/strset.h"

int strset_patterns(const struct match *m, int n)
{
	int count = 0;

	for (int i = 0; i < n; i++)
		count += m[i].kind != MATCH_EXACT;
	return count;
}

int strset_slots(int n_exact)
{
	int slots = 1;

	while (n_exact > 1 && slots < n_exact * 2)
		slots *= 2;
	return n_exact ? slots : 0;
}

void strset_init(struct strset *s, const struct match *m, int n, uint64_t (*hash)(struct str text),
		 struct strset_slot *slots, const struct match **patterns)
{
	int n_slots = strset_slots(n - strset_patterns(m, n));

	*s = (struct strset){ .slots = n_slots ? slots : NULL, .mask = (uint32_t)n_slots - 1, .patterns = patterns };
	for (int i = 0; i < n; i++) {
		uint64_t h, at;

		if (m[i].kind != MATCH_EXACT) {
			patterns[s->n_patterns++] = &m[i];
			continue;
		}
		h = hash(str_c(m[i].text));
		for (at = h & s->mask; slots[at].m; at = (at + 1) & s->mask)
			;
		slots[at] = (struct strset_slot){ h, &m[i] };
	}
}

bool strset_has(const struct strset *s, uint64_t hash, bool (*fits)(const struct match *m, const void *arg), const void *arg)
{
	if (s->slots) {
		/* A set of one has one slot, which is full: the walk is bounded by the number of slots. */
		for (uint32_t i = 0, at = (uint32_t)hash & s->mask; i <= s->mask && s->slots[at].m; i++, at = (at + 1) & s->mask)
			if (s->slots[at].hash == hash && fits(s->slots[at].m, arg))
				return true;
	}
	for (int i = 0; i < s->n_patterns; i++)
		if (fits(s->patterns[i], arg))
			return true;
	return false;
}

bool match_fits(const struct match *m, struct str text)
{
	switch (m->kind) {
	case MATCH_EXACT:
		return str_is(text, m->text);
	case MATCH_PREFIX:
		return str_starts(text, str_c(m->text));
	case MATCH_SUFFIX:
		return str_ends(text, str_c(m->text));
	case MATCH_GLOB:
		return match_glob(m->text, text);
	case MATCH_TEMPLATE:
	case MATCH_SEGMENTS:
		return match_template(m->text, text, m->kind == MATCH_SEGMENTS);
	case MATCH_PRESENCE:
		break;
	}
	return text.n > 0;
}

bool match_fits_nocase(const struct match *m, struct str text)
{
	struct str want = str_c(m->text);

	if (m->kind == MATCH_PREFIX)
		text.n = text.n < want.n ? text.n : want.n;
	else if (m->kind == MATCH_SUFFIX && text.n > want.n)
		text = (struct str){ text.p + text.n - want.n, want.n };
	else if (m->kind == MATCH_PRESENCE)
		return true;
	return str_eq_nocase(text, want);
}

static const char *find(struct str in, const char *what, size_t n)
{
	for (size_t i = 0; i + n <= in.n; i++)
		if (memcmp(in.p + i, what, n) == 0)
			return in.p + i;
	return NULL;
}

/* The pieces between stars follow each other, each as early as it can. The last one has the slash behind it. */
static bool glob_from(const char *text, struct str rest)
{
	for (;;) {
		size_t n = strcspn(text, "*");
		const char *at = rest.p;
		bool last = !text[n], first_found = false;

		for (struct str in = rest; (at = find(in, text, n)); in = (struct str){ at + 1, (size_t)(rest.p + rest.n - at - 1) }) {
			size_t left = (size_t)(rest.p + rest.n - at) - n;

			if (!last || (left && at[n] == '/')) {
				rest = (struct str){ at + n, left };
				first_found = true;
				break;
			}
			if (at == rest.p + rest.n)
				break;
		}
		if (!first_found)
			return false;
		if (last)
			return true;
		text += n + 1;
	}
}

bool match_glob(const char *text, struct str identity)
{
	static const char ns[] = "/ns/";
	const char *at;

	for (struct str in = identity; (at = find(in, ns, 4)); in = (struct str){ at + 1, (size_t)(identity.p + identity.n - at - 1) }) {
		size_t n = strcspn(text, "*");
		struct str rest = { at + 4, (size_t)(identity.p + identity.n - at) - 4 };

		/* The first piece stands right behind "/ns/". */
		if (rest.n < n || memcmp(rest.p, text, n))
			continue;
		rest = (struct str){ rest.p + n, rest.n - n };
		if (!text[n] ? rest.n && *rest.p == '/' : glob_from(text + n + 1, rest))
			return true;
	}
	return false;
}

/* Envoy's uri_template: what a segment may consist of. */
static bool is_segment(char c, bool any)
{
	if (any)
		return c != '/';
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~%!$&'()+,;:@=*", c));
}

bool match_template(const char *text, struct str path, bool any)
{
	size_t i = 0;

	while (*text) {
		if (!strncmp(text, "{**}", 4)) {
			size_t n = strlen(text + 4);

			if (path.n - i < n || memcmp(path.p + path.n - n, text + 4, n))
				return false;
			for (; i < path.n - n; i++)
				if (path.p[i] != '/' && !is_segment(path.p[i], any))
					return false;
			return true;
		}
		if (!strncmp(text, "{*}", 3)) {
			size_t from = i;

			while (i < path.n && is_segment(path.p[i], any))
				i++;
			if (i == from)
				return false;
			text += 3;
		} else if (i == path.n || path.p[i++] != *text++) {
			return false;
		}
	}
	return i == path.n;
}
