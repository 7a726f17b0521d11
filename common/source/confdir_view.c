/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a configuration directory. */
#include <stdio.h>
#include <stdlib.h>

#include "source/confdir_int.h"

const struct mesh_settings *confdir_settings(const struct confdir *c)
{
	return c->loads ? &c->s.settings : &c->base;
}

uint64_t confdir_loads(const struct confdir *c) { return c->loads; }
size_t confdir_objects(const struct confdir *c) { return c->s.n_live; }
const char *confdir_held_back(const struct confdir *c) { return c->held_back; }

static const struct report *report_at(const struct confdir *c, size_t i)
{
	if (i < c->s.n_files)
		return &c->s.files[i]->report;
	i -= c->s.n_files;
	return i == 0 ? &c->s.cross : i == 1 ? &c->held : i == 2 && c->s.mesh ? &c->s.mesh->report : NULL;
}

const struct finding **confdir_findings(const struct confdir *c, size_t *ret)
{
	const struct finding **v;
	const struct report *r;
	size_t n = 0;

	for (size_t i = 0; (r = report_at(c, i)); i++)
		n += r->n;
	v = xcalloc(n + 1, sizeof(struct finding *));
	n = 0;
	for (size_t i = 0; (r = report_at(c, i)); i++) {
		for (size_t k = 0; k < r->n; k++)
			v[n++] = &r->v[k];
	}
	qsort(v, n, sizeof(*v), finding_compare);
	*ret = n;
	return v;
}

size_t confdir_count(const struct confdir *c, enum finding_level level)
{
	const struct report *r;
	size_t n = 0;

	for (size_t i = 0; (r = report_at(c, i)); i++)
		n += report_count(r, level);
	return n;
}

void confdir_dump(const struct confdir *c, struct buf *out)
{
	size_t n;
	const struct finding **v = confdir_findings(c, &n);

	buf_puts(out, "{\"directory\":");
	buf_json_str(out, str_c(c->dir));
	buf_printf(out, ",\"loads\":%llu,\"objects\":%zu,\"heldBack\":", (unsigned long long)c->loads, c->s.n_live);
	buf_json_str(out, str_c(c->held_back));
	buf_puts(out, ",\"findings\":[");
	for (size_t i = 0; i < n; i++) {
		const struct finding *f = v[i];
		const struct { const char *key, *value; } text[] = {
			{ "level", finding_level_name(f->level) }, { "file", f->file }, { "kind", f->kind },
			{ "namespace", f->ns }, { "name", f->name }, { "path", f->path }, { "message", f->message },
		};

		buf_printf(out, "%s{\"line\":%u", i ? "," : "", f->line);
		for (size_t k = 0; k < ARRAY_LEN(text); k++) {
			buf_printf(out, ",\"%s\":", text[k].key);
			buf_json_str(out, str_c(text[k].value));
		}
		buf_puts(out, "}");
	}
	buf_puts(out, "]}");
	free(v);
}

const char *confdir_where(const struct confdir *c, bool core, const char *ns, const char *name, struct arena *mem)
{
	const struct conf_obj *o = confdir_live_find((void *)(uintptr_t)&c->s, core ? CONF_SERVICE : CONF_SERVICE_ENTRY, ns, name);
	char text[4200];

	snprintf(text, sizeof(text), "%.4000s:%u", o ? c->paths[o->file] : "", o ? o->line : 0);
	return o ? arena_dup(mem, str_c(text)) : "";
}
