/* SPDX-License-Identifier: Apache-2.0 */
/* The field tables as text: for one field, and as the manual. */
#include <errno.h>
#include <stdio.h>

#include "source/analyze.h"
#include "source/crd.h"

static const char *mark_text(const struct field *f)
{
	static const char *const texts[] = {
		[FIELD_HONOURED] = "", [FIELD_TODO] = "not honoured yet", [FIELD_OTHER_MODE] = "no effect in ztunnel mode", [FIELD_SIDECAR] = "sidecar mode only",
		[FIELD_IGNORED] = "ignored", [FIELD_REFUSED] = "refused",
	};

	return texts[f->mark];
}

static const char *version(const struct crd *c)
{
	return c->versions[0];
}

/* "list of strings", "duration, not in ztunnel mode", or what is done instead. */
static const char *what(const struct field *f, char text[80])
{
	if (f->mark == FIELD_HONOURED)
		return field_type_name(f);
	if (f->mark != FIELD_SIDECAR)
		return mark_text(f);
	snprintf(text, 80, "%s, not in ztunnel mode", field_type_name(f));
	return text;
}

/* --- meshd explain --- */

static void list_fields(const struct field_table *t, struct buf *out)
{
	if (!t || !t->fields->name)
		return;
	buf_puts(out, "Fields:\n");
	for (const struct field *f = t->fields; f->name; f++) {
		char text[80];

		buf_printf(out, "  %-24s %s\n", f->name, what(f, text));
	}
}

static void explain_row(const char *path, const struct field *f, struct buf *out)
{
	char text[80];

	buf_printf(out, "%s (%s)\n  %s\n", path, what(f, text), f->doc);
	if (f->words) {
		buf_puts(out, "  One of:");
		for (int i = 0; f->words[i]; i++)
			buf_printf(out, " %s", f->words[i]);
		buf_puts(out, "\n");
	}
	if (f->deflt)
		buf_printf(out, "  Default: %s\n", f->deflt);
	if (f->max)
		buf_printf(out, "  From %u to %u%s\n", f->min, f->max, f->type == FIELD_DURATION ? " milliseconds" : "");
	if (f->why)
		buf_printf(out, "  Note: %s\n", f->why);
	list_fields(f->sub, out);
}

static int explain_kind(const struct crd *c, struct buf *out)
{
	bool flat = !c->group;

	buf_printf(out, "%s%s%s%s%s%s\n  %s\n", c->kind, flat ? " (mesh.yaml)" : " (apiVersion ", flat ? "" : c->group,
		   flat || !*c->group ? "" : "/", flat ? "" : version(c), flat ? "" : ")", c->spec->doc);
	if (!flat)
		buf_printf(out, "  Parts: metadata, spec%s. Ask for %s.spec.FIELD.\n", c->status ? ", status" : "", c->kind);
	list_fields(c->spec, out);
	return 0;
}

static const struct crd *find_kind(struct str name)
{
	for (int i = 0; i < CRD_COUNT; i++) {
		if (str_eq_nocase(name, str_c(crds[i].kind)))
			return &crds[i];
	}
	return NULL;
}

static int no_kind(struct str name, struct buf *out)
{
	buf_printf(out, "No kind '%.*s'. There are:", STR_FMT(name));
	for (int i = 0; i < CRD_COUNT; i++)
		buf_printf(out, " %s", crds[i].kind);
	buf_puts(out, "\n");
	return -ENOENT;
}

/* The name without an index: "ports[0]" is "ports". */
static struct str bare(struct str step)
{
	struct str rest;

	return str_cut(step, '[', &rest);
}

static const struct field *find_field(const struct field_table *t, struct str name)
{
	const struct field *f = t ? t->fields : NULL;

	while (f && f->name && !str_eq_nocase(name, str_c(f->name)))
		f++;
	return f && f->name ? f : NULL;
}

int explain_field(const char *path, struct buf *out)
{
	struct str rest, step = str_cut(str_c(path), '.', &rest);
	const struct crd *c = find_kind(step);
	const struct field_table *t;
	const struct field *f = NULL;

	if (!c)
		return no_kind(step, out);
	t = c->spec;
	if (!rest.n)
		return explain_kind(c, out);
	if (c->group) {
		struct str whole = rest;

		step = str_cut(rest, '.', &rest);
		t = str_is(step, "metadata") ? &crd_meta_table : str_is(step, "spec") ? c->spec :
		    str_is(step, "status") ? c->status : NULL;
		if (!t && find_field(c->spec, bare(step))) {   /* "spec." may be left out */
			t = c->spec;
			rest = whole;
		}
		if (!t) {
			buf_printf(out, "No part '%.*s' in %s: want metadata%s or spec.\n", STR_FMT(step), c->kind,
				   c->status ? ", status" : "");
			return -ENOENT;
		}
	}
	while (rest.n) {
		struct str name = bare(step = str_cut(rest, '.', &rest));

		f = find_field(t, name);
		if (!f) {
			buf_printf(out, "No field '%.*s' there.\n", STR_FMT(name));
			list_fields(t, out);
			return -ENOENT;
		}
		t = f->sub;
		if (f->type == FIELD_MESSAGE_MAP && rest.n)   /* the key of the map */
			str_cut(rest, '.', &rest);
		if (f->type == FIELD_LABELS || f->type == FIELD_PORTS)
			break;
	}
	if (f)
		explain_row(path, f, out);
	else
		list_fields(t, out);
	return 0;
}

/* --- meshd-config(7) --- */

/* Text for roff: backslashes, and dots or quotes at the start of a line. */
static void roff(struct buf *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		buf_puts(out, "\\&");
	for (; *text; text++) {
		if (*text == '\\')
			buf_puts(out, "\\e");
		else if (*text == '-')
			buf_puts(out, "\\-");
		else
			buf_append(out, text, 1);
	}
}

static void roff_row(const struct field *f, const char *prefix, struct buf *out)
{
	char text[80];

	buf_puts(out, ".TP\n\\fB");
	roff(out, prefix);
	roff(out, f->name);
	buf_puts(out, "\\fR ");
	roff(out, what(f, text));
	buf_puts(out, "\n");
	roff(out, f->doc);
	if (f->words) {
		buf_puts(out, " One of");
		for (int i = 0; f->words[i]; i++) {
			buf_puts(out, i ? ", " : " ");
			roff(out, f->words[i]);
		}
		buf_puts(out, ".");
	}
	if (f->deflt) {
		buf_puts(out, " Default: ");
		roff(out, f->deflt);
		buf_puts(out, ".");
	}
	if (f->max)
		buf_printf(out, " From %u to %u%s.", f->min, f->max, f->type == FIELD_DURATION ? " ms" : "");
	if (f->why) {
		buf_puts(out, " Note: ");
		roff(out, f->why);
		buf_puts(out, ".");
	}
	buf_puts(out, "\n");
}

static void roff_table(const struct field_table *t, const char *prefix, struct buf *out)
{
	for (const struct field *f = t->fields; f->name; f++) {
		char deeper[128];
		size_t n = strlen(prefix), k = strlen(f->name);

		roff_row(f, prefix, out);
		if (!f->sub || n + k + 4 > sizeof(deeper))
			continue;
		memcpy(deeper, prefix, n);
		memcpy(deeper + n, f->name, k);
		memcpy(deeper + n + k, f->type == FIELD_MESSAGES ? "[]." : ".", f->type == FIELD_MESSAGES ? 4 : 2);
		roff_table(f->sub, deeper, out);
	}
}

static const char head[] =
	".TH MESHD\\-CONFIG 7 \"\" meshd \"meshd manual\"\n"
	".SH NAME\nmeshd\\-config \\- objects that meshd reads from \\-\\-config\\-dir\n"
	".SH DESCRIPTION\n"
	"meshd reads every file of the directory, and of folders in it, whose name ends in .yaml, .yml or .json. "
	"Hidden files are passed over, symbolic links followed. A file holds any number of documents, or a List. "
	"The file\n.B mesh.yaml\nat the top holds MeshConfig. Names of fields are read in camelCase and in snake_case.\n"
	".PP\nThe directory is watched. A change is applied as a whole within a second. A file that cannot be read or parsed "
	"holds it back: all stays as it was. An object that is wrong keeps its last good version; without one it is left out, "
	"or, if it is an AuthorizationPolicy, PeerAuthentication or RequestAuthentication, all that goes to what it selects is refused. If two "
	"files hold the same object, the first by path counts. Every fault is logged as "
	"\\fIFILE\\fR:\\fILINE\\fR: \\fIkind namespace\\fR/\\fIname\\fR: \\fIfield\\fR: what was wanted, what came. "
	"\\fBmeshd analyze\\fR \\fIDIR\\fR lists them without a running meshd, and \\fBmeshd explain\\fR \\fIFIELD\\fR prints what "
	"stands here.\n"
	".PP\nAge decides where two objects claim the same thing: metadata.creationTimestamp, then name, then namespace. "
	"Kinds that are not below are named when they are loaded, and have no effect.\n";

static const char *const mark_words[] = {
	[FIELD_TODO] = "not yet, with a warning", [FIELD_OTHER_MODE] = "of other modes", [FIELD_IGNORED] = "without a meaning here",
	[FIELD_REFUSED] = "refused, with the object",
};

/* How many rows have each mark, parts included. */
static void count(const struct field_table *t, unsigned n[])
{
	for (const struct field *f = t->fields; f->name; f++) {
		n[f->mark]++;
		if (f->sub)
			count(f->sub, n);
	}
}

/* The support matrix: a line for each kind; its fields are in its own section, each with what becomes of it. */
static void support(struct buf *out)
{
	buf_puts(out, ".SH SUPPORT\nEach field of each kind is below, with what becomes of it; none is dropped in silence. In numbers:\n");
	for (int i = 0; i < CRD_COUNT; i++) {
		const struct crd *c = &crds[i];
		unsigned n[FIELD_REFUSED + 1] = { 0 };

		count(c->spec, n);
		buf_printf(out, ".TP\n\\fB%s\\fR %s\n", c->kind, c->unsupported ? "not supported" : c->not_at_waypoint ? "sidecar mode" : c->elsewhere ? "sidecar and waypoint mode" :
			   n[FIELD_SIDECAR] ? "all modes, and more in sidecar and waypoint mode" : "all modes");
		if (c->unsupported) {
			buf_puts(out, "It is looked at and reported; nothing of it has an effect.\n");
			continue;
		}
		buf_printf(out, "Honoured: %u", n[FIELD_HONOURED] + n[FIELD_SIDECAR]);
		for (int k = FIELD_TODO; k <= FIELD_REFUSED; k++)
			if (n[k] && k != FIELD_SIDECAR)
				buf_printf(out, "; %s: %u", mark_words[k], n[k]);
		buf_puts(out, c->spec->open ? "; others say nothing to a data plane.\n" : ".\n");
	}
}

void fields_man(struct buf *out)
{
	buf_puts(out, head);
	support(out);
	buf_puts(out, ".SH METADATA\n");
	roff_table(&crd_meta_table, "metadata.", out);
	for (int i = 0; i < CRD_COUNT; i++) {
		const struct crd *c = &crds[i];

		buf_puts(out, ".SH ");
		for (const char *p = c->kind; *p; p++) {
			char up = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;

			buf_append(out, &up, 1);
		}
		buf_puts(out, "\n");
		if (c->group)
			buf_printf(out, "apiVersion: %s%s%s, kind: %s.\n", c->group, *c->group ? "/" : "", version(c), c->kind);
		roff(out, c->spec->doc);
		buf_puts(out, "\n");
		roff_table(c->spec, c->group ? "spec." : "", out);
		if (c->status)
			roff_table(c->status, "status.", out);
	}
	buf_puts(out, ".SH SEE ALSO\n.BR meshd (8)\n");
}
