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
	case MATCH_PRESENCE:
		break;
	}
	return text.n > 0;
}
