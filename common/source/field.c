/* SPDX-License-Identifier: Apache-2.0 */
#include "source/field.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/mesh.h"
#include "source/value.h"

#define ROWS_MAX 160

static bool key_is(struct str key, const char *name)
{
	size_t i = 0;

	if (key.n == 0 || key.p[0] != name[0])
		return false;
	if (str_is(key, name))
		return true;
	for (; *name && i < key.n; name++, i++) {   /* snake_case against camelCase */
		if (key.p[i] == *name)
			continue;
		if (key.p[i] != '_' || !isupper((unsigned char)*name) || i + 1 == key.n ||
		    key.p[i + 1] != tolower((unsigned char)*name))
			return false;
		i++;
	}
	return !*name && i == key.n;
}

/* --- paths and reports --- */

void field_enter(struct field_walk *w, const char *name, int index)
{
	size_t left = sizeof(w->path) - w->path_len;
	int n;

	if (name)
		n = snprintf(w->path + w->path_len, left, "%s%s", w->path_len ? "." : "", name);
	else
		n = snprintf(w->path + w->path_len, left, "[%d]", index);
	w->path_len += (size_t)n < left ? (size_t)n : left - 1;
}

void field_leave(struct field_walk *w, size_t path_len)
{
	w->path_len = path_len;
	w->path[path_len] = '\0';
}

/* The line of the deepest node on the way to path that is there. */
static unsigned path_line(const struct yaml_node *n, const char *path)
{
	unsigned line = n ? n->line : 0;

	while (n && *path) {
		size_t len = strcspn(path, ".[");
		const struct yaml_node *c = n->child;
		char name[64];

		if (*path == '[') {
			for (long i = strtol(path + 1, NULL, 10); i > 0 && c; i--)
				c = c->next;
			len = strcspn(path, "]") + 1;
		} else {
			snprintf(name, sizeof(name), "%.*s", (int)len, path);
			while (c && !key_is(c->key, name))
				c = c->next;
		}
		path += len > strlen(path) ? strlen(path) : len;
		path += *path == '.';
		line = c ? c->line : line;
		n = c;
	}
	return line;
}

static void report(struct field_walk *w, enum finding_level level, unsigned line, const char *path, const char *fmt,
		   va_list ap)
{
	struct finding at = { .level = level, .file = w->file, .line = line, .kind = w->kind, .ns = w->ns, .name = w->name };
	size_t len = w->path_len;
	char message[768];

	vsnprintf(message, sizeof(message), fmt, ap);
	if (path && *path)
		field_enter(w, path, 0);
	at.path = w->path;
	if (!line)
		at.line = path_line(w->root, w->path);
	report_add(w->report, &at, "%s", message);
	field_leave(w, len);
}

void field_error(struct field_walk *w, unsigned line, const char *path, const char *fmt, ...)
{
	va_list ap;

	w->errors++;
	va_start(ap, fmt);
	report(w, FINDING_ERROR, line, path, fmt, ap);
	va_end(ap);
}

void field_warn(struct field_walk *w, unsigned line, const char *path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(w, FINDING_WARNING, line, path, fmt, ap);
	va_end(ap);
}

void field_info(struct field_walk *w, unsigned line, const char *path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(w, FINDING_INFO, line, path, fmt, ap);
	va_end(ap);
}

/* What came: "'text'", "a list". */
static const char *got(const struct yaml_node *n, char text[80])
{
	size_t len = 0;

	if (n->kind == YAML_LIST)
		return "a list";
	if (n->kind == YAML_MAP)
		return "a map";
	if (yaml_is_null(n))
		return "nothing";
	text[len++] = '\'';
	for (size_t i = 0; i < n->text.n && len < 70; i++)
		text[len++] = iscntrl((unsigned char)n->text.p[i]) ? '?' : n->text.p[i];
	snprintf(text + len, 80 - len, n->text.n > len - 1 ? "...'" : "'");
	return text;
}

static bool want(struct field_walk *w, const struct yaml_node *n, const char *what)
{
	char text[80];

	field_error(w, n->line, NULL, "want %s, got %s", what, got(n, text));
	return false;
}

/* --- values --- */

struct one_text { int kind; const char *text; };     /* struct string_match */

static const char *kept(struct field_walk *w, struct str text)
{
	return w->keep ? arena_dup(w->arena, text) : text.p;
}

static bool read_string(struct field_walk *w, const struct yaml_node *n, const char **ret)
{
	if (n->kind != YAML_SCALAR || yaml_is_null(n))
		return want(w, n, "a string");
	if (!n->quoted && value_is_number(n->text))
		return want(w, n, "a string (quote the number)");
	if (!n->quoted && (str_is(n->text, "true") || str_is(n->text, "false")))
		return want(w, n, "a string (quote the word)");
	if (memchr(n->text.p, '\0', n->text.n))
		return want(w, n, "a string without NUL bytes");
	*ret = kept(w, n->text);
	return true;
}

static bool read_one_text(struct field_walk *w, const struct field *f, const struct yaml_node *n, struct one_text *ret)
{
	if (ret->kind) {
		field_error(w, n->line, NULL, "want only one of these beside each other");
		return false;
	}
	ret->kind = (int)f->min;
	return read_string(w, n, &ret->text);
}

static bool read_bytes(struct field_walk *w, const struct yaml_node *n, struct str *ret)
{
	char *to = arena_alloc(w->arena, n->text.n / 4 * 3 + 4);
	unsigned bits = 0, have = 0;
	size_t k = 0, end = n->text.n;

	while (end && n->text.p[end - 1] == '=')
		end--;
	for (size_t i = 0; n->kind == YAML_SCALAR && i < end; i++) {
		static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		char c = n->text.p[i] == '-' ? '+' : n->text.p[i] == '_' ? '/' : n->text.p[i];
		const char *at = c ? strchr(digits, c) : NULL;

		if (!at)
			return want(w, n, "bytes in base64");
		bits = bits << 6 | (unsigned)(at - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[k++] = (char)(bits >> have & 0xff);
		}
	}
	if (n->kind != YAML_SCALAR || have == 6)
		return want(w, n, "bytes in base64");
	*ret = (struct str){ to, k };
	return true;
}

static bool read_u32(struct field_walk *w, const struct yaml_node *n, uint32_t min, uint32_t max, uint32_t *ret)
{
	char what[64];
	uint64_t v;

	if (!max)
		max = UINT32_MAX;
	snprintf(what, sizeof(what), "a number from %u to %u", min, max);
	if (n->kind != YAML_SCALAR || n->quoted || !str_to_u64(n->text, &v) || v < min || v > max)
		return want(w, n, what);
	*ret = (uint32_t)v;
	return true;
}

static bool read_port(struct field_walk *w, const struct yaml_node *n, uint16_t *ret)
{
	uint32_t v = 0;

	if (!read_u32(w, n, 1, 65535, &v))
		return false;
	*ret = (uint16_t)v;
	return true;
}

static bool read_bool(struct field_walk *w, const struct yaml_node *n, bool *ret)
{
	bool yes = str_is(n->text, "true") || str_is(n->text, "True") || str_is(n->text, "TRUE");
	bool no = str_is(n->text, "false") || str_is(n->text, "False") || str_is(n->text, "FALSE");

	if (n->kind != YAML_SCALAR || n->quoted || !(yes || no))
		return want(w, n, "true or false");
	*ret = yes;
	return true;
}

static bool read_opt_bool(struct field_walk *w, const struct yaml_node *n, enum opt_bool *ret)
{
	bool yes = false;

	if (!read_bool(w, n, &yes))
		return false;
	*ret = yes ? OPT_YES : OPT_NO;
	return true;
}

static bool read_opt_u32(struct field_walk *w, const struct field *f, const struct yaml_node *n, struct opt_u32 *ret)
{
	ret->set = read_u32(w, n, f->min, f->max, &ret->v);
	return ret->set;
}

static bool read_opt_double(struct field_walk *w, const struct field *f, const struct yaml_node *n, struct opt_double *ret)
{
	char what[64], text[40], *end = text;

	if (n->kind == YAML_SCALAR && !n->quoted && value_is_number(n->text) && n->text.n < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s", STR_FMT(n->text));
		ret->v = strtod(text, &end);
		ret->set = !*end && ret->v >= f->min && (!f->max || ret->v <= f->max);
	}
	if (ret->set)
		return true;
	snprintf(what, sizeof(what), f->max ? "a number from %u to %u" : "a number of at least %u", f->min, f->max);
	return want(w, n, what);
}

static bool read_duration(struct field_walk *w, const struct field *f, const struct yaml_node *n, uint32_t *ret)
{
	uint32_t ms;

	if (n->kind != YAML_SCALAR || !value_duration(n->text, &ms))
		return want(w, n, "a duration of whole milliseconds, such as 1.5s or 1h2m");
	if (ms < f->min || (f->max && ms > f->max)) {
		char what[80];

		snprintf(what, sizeof(what), "a duration from %ums to %ums", f->min, f->max);
		return want(w, n, what);
	}
	*ret = ms;
	return true;
}

static bool read_opt_ms(struct field_walk *w, const struct field *f, const struct yaml_node *n, struct opt_ms *ret)
{
	ret->set = read_duration(w, f, n, &ret->ms);
	return ret->set;
}

static bool read_enum(struct field_walk *w, const struct field *f, const struct yaml_node *n, int *ret)
{
	char what[256] = "one of ";
	size_t len = strlen(what);

	for (int i = 0; f->words[i]; i++) {
		if (n->kind == YAML_SCALAR && str_is(n->text, f->words[i])) {
			*ret = i + (int)f->min;
			return true;
		}
		len += (size_t)snprintf(what + len, sizeof(what) - len, "%s%s", i ? ", " : "", f->words[i]);
		if (len >= sizeof(what))
			break;
	}
	return want(w, n, what);
}

static bool read_port_or_name(struct field_walk *w, const struct yaml_node *n, struct field_port *ret)
{
	uint64_t v;

	if (n->kind == YAML_SCALAR && n->text.n && n->text.n <= 63 && !str_to_u64(n->text, &v))
		return read_string(w, n, &ret->name);
	return read_port(w, n, &ret->number);
}

static bool read_strings(struct field_walk *w, const struct yaml_node *n, struct field_strings *ret)
{
	size_t len = w->path_len;
	bool ok = true;
	int i = 0;

	if (n->kind != YAML_LIST)
		return want(w, n, "a list of strings");
	ret->v = arena_alloc(w->arena, n->n * sizeof(*ret->v));
	for (const struct yaml_node *c = n->child; c; c = c->next, i++) {
		field_enter(w, NULL, i);
		ret->v[i] = "";
		ok = read_string(w, c, &ret->v[i]) && ok;
		field_leave(w, len);
	}
	ret->n = i;
	ret->present = true;
	return ok;
}

static bool read_u16s(struct field_walk *w, const struct field *f, const struct yaml_node *n, struct field_u16s *ret)
{
	size_t len = w->path_len;
	bool ok = true;
	int i = 0;

	if (n->kind != YAML_LIST)
		return want(w, n, "a list of numbers");
	ret->v = arena_alloc(w->arena, n->n * sizeof(*ret->v));
	for (const struct yaml_node *c = n->child; c; c = c->next, i++) {
		uint32_t v = 0;

		field_enter(w, NULL, i);
		ok = read_u32(w, c, f->min, f->max ? f->max : UINT16_MAX, &v) && ok;
		ret->v[i] = (uint16_t)v;
		field_leave(w, len);
	}
	ret->n = i;
	ret->present = true;
	return ok;
}

static int label_compare(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static bool read_labels(struct field_walk *w, const struct yaml_node *n, struct field_labels *ret)
{
	size_t len = w->path_len;
	bool ok = true;
	int i = 0;

	if (n->kind != YAML_MAP)
		return want(w, n, "a map of strings");
	ret->v = arena_alloc(w->arena, n->n * sizeof(*ret->v));
	for (const struct yaml_node *c = n->child; c; c = c->next) {
		field_enter(w, c->key.p, 0);
		ret->v[i].key = kept(w, c->key);
		ret->v[i].value = "";
		if (memchr(c->key.p, '\0', c->key.n))
			ok = want(w, n, "keys without NUL bytes");
		ok = (yaml_is_null(c) || read_string(w, c, &ret->v[i].value)) && ok;
		field_leave(w, len);
		i++;
	}
	ret->n = i;
	ret->present = true;
	if (i > 1)
		qsort(ret->v, (size_t)i, sizeof(*ret->v), label_compare);
	return ok;
}

static bool read_ports(struct field_walk *w, const struct yaml_node *n, struct field_ports *ret)
{
	size_t len = w->path_len;
	bool ok = true;
	int i = 0;

	if (n->kind != YAML_MAP)
		return want(w, n, "a map of port names to numbers");
	ret->v = arena_alloc(w->arena, n->n * sizeof(*ret->v));
	for (const struct yaml_node *c = n->child; c; c = c->next, i++) {
		field_enter(w, c->key.p, 0);
		ret->v[i].name = kept(w, c->key);
		ok = read_port(w, c, &ret->v[i].port) && ok;
		field_leave(w, len);
	}
	ret->n = i;
	return ok;
}

static bool read_u32_map(struct field_walk *w, const struct field *f, const struct yaml_node *n, struct field_numbers *ret)
{
	size_t len = w->path_len;
	bool ok = true;
	int i = 0;

	if (n->kind != YAML_MAP)
		return want(w, n, "a map of names to numbers");
	ret->v = arena_alloc(w->arena, n->n * sizeof(*ret->v));
	for (const struct yaml_node *c = n->child; c; c = c->next, i++) {
		field_enter(w, c->key.p, 0);
		ret->v[i].name = kept(w, c->key);
		ok = read_u32(w, c, f->min, f->max, &ret->v[i].v) && ok;
		field_leave(w, len);
	}
	ret->n = i;
	ret->present = true;
	return ok;
}

static bool read_message(struct field_walk *w, const struct field *f, const struct yaml_node *n, void **ret)
{
	*ret = arena_alloc(w->arena, f->sub->size);
	return field_read(w, f->sub, n, *ret);
}

static bool read_messages(struct field_walk *w, const struct field *f, const struct yaml_node *n, struct field_list *ret)
{
	bool map = f->type == FIELD_MESSAGE_MAP;
	size_t len = w->path_len;
	bool ok = true;
	char *at;
	int i = 0;

	if (n->kind != (map ? YAML_MAP : YAML_LIST))
		return want(w, n, map ? "a map" : "a list");
	at = ret->v = arena_alloc(w->arena, n->n * f->sub->size);
	for (const struct yaml_node *c = n->child; c; c = c->next, i++, at += f->sub->size) {
		field_enter(w, map ? c->key.p : NULL, i);
		if (map)
			*(const char **)(void *)at = kept(w, c->key);
		ok = field_read(w, f->sub, c, at) && ok;
		field_leave(w, len);
	}
	ret->n = i;
	ret->present = true;
	return ok;
}

bool field_read_one(struct field_walk *w, const struct field *f, const struct yaml_node *n, void *out)
{
	switch ((enum field_type)f->type) {
	case FIELD_STRING:
		return read_string(w, n, out);
	case FIELD_BOOL:
		return read_bool(w, n, out);
	case FIELD_PORT:
		return read_port(w, n, out);
	case FIELD_U32:
		return read_u32(w, n, f->min, f->max, out);
	case FIELD_OPT_U32:
		return read_opt_u32(w, f, n, out);
	case FIELD_OPT_BOOL:
		return read_opt_bool(w, n, out);
	case FIELD_OPT_MS:
		return read_opt_ms(w, f, n, out);
	case FIELD_OPT_DOUBLE:
		return read_opt_double(w, f, n, out);
	case FIELD_TEXT:
		return read_string(w, n, out);
	case FIELD_ONE_TEXT:
		return read_one_text(w, f, n, out);
	case FIELD_BYTES:
		return read_bytes(w, n, out);
	case FIELD_U32_MAP:
		return read_u32_map(w, f, n, out);
	case FIELD_U16S:
		return read_u16s(w, f, n, out);
	case FIELD_INLINE:
		return field_read(w, f->sub, n, out);
	case FIELD_DURATION:
		return read_duration(w, f, n, out);
	case FIELD_IP:
		return (n->kind == YAML_SCALAR && !ip_parse(n->text, out)) || want(w, n, "an IP address");
	case FIELD_ENUM:
		return read_enum(w, f, n, out);
	case FIELD_TIME:
		return (n->kind == YAML_SCALAR && value_time(n->text, out)) ||
		       want(w, n, "a time such as 2026-01-31T08:00:00Z");
	case FIELD_PORT_OR_NAME:
		return read_port_or_name(w, n, out);
	case FIELD_STRINGS:
		return read_strings(w, n, out);
	case FIELD_LABELS:
		return read_labels(w, n, out);
	case FIELD_PORTS:
		return read_ports(w, n, out);
	case FIELD_MESSAGE:
		return read_message(w, f, n, out);
	case FIELD_MESSAGES:
	case FIELD_MESSAGE_MAP:
		return read_messages(w, f, n, out);
	case FIELD_PRESENT:
		*(bool *)out = true;
		break;
	case FIELD_ANY:
		break;
	}
	return true;
}

/* --- the table walk --- */

static bool is_read(const struct field *f)
{
	return f->mark == FIELD_HONOURED || f->mark == FIELD_SIDECAR;
}

static void set_default(const struct field *f, void *out)
{
	struct str text = str_c(f->deflt);
	uint64_t v = 0;

	switch ((enum field_type)f->type) {
	case FIELD_STRING:
		*(const char **)out = f->deflt ? f->deflt : "";
		break;
	case FIELD_PORT_OR_NAME:
		((struct field_port *)out)->name = "";
		break;
	case FIELD_BOOL:
		*(bool *)out = f->deflt && str_is(text, "true");
		break;
	case FIELD_U32:
		if (f->deflt && str_to_u64(text, &v))
			*(uint32_t *)out = (uint32_t)v;
		break;
	case FIELD_DURATION:
		if (f->deflt)
			value_duration(text, out);
		break;
	case FIELD_ENUM:
		for (int i = 0; f->deflt && f->words[i]; i++) {
			if (str_is(text, f->words[i]))
				*(int *)out = i + (int)f->min;
		}
		break;
	case FIELD_TIME:
		*(int64_t *)out = INT64_MAX;
		break;
	case FIELD_ONE_TEXT:
		((struct one_text *)out)->text = "";
		break;
	case FIELD_INLINE:
		field_defaults(f->sub, out);
		break;
	default:
		break;
	}
}

void field_defaults(const struct field_table *t, void *out)
{
	for (const struct field *f = t->fields; f->name; f++)
		if (is_read(f))
			set_default(f, (char *)out + f->offset);
}

static void unknown(struct field_walk *w, const struct yaml_node *c)
{
	if (w->security)
		field_error(w, c->line, c->key.p, "unknown field: the object is refused, since it bears on security");
	else
		field_warn(w, c->line, c->key.p, "unknown field: it is ignored");
}

static bool read_row(struct field_walk *w, const struct field *f, const struct yaml_node *c, void *out)
{
	const char *why = f->why ? f->why : "";

	switch ((enum field_mark)f->mark) {
	case FIELD_TODO:
		field_warn(w, c->line, NULL, "not honoured yet%s%s", *why ? ": " : "", why);
		return true;
	case FIELD_SIDECAR:
		if (w->settings && sees_requests(w->settings))
			break;
		/* fall through */
	case FIELD_OTHER_MODE:
		field_info(w, c->line, NULL, "has no effect in ztunnel mode, as in Istio%s%s", *why ? ": " : "", why);
		return true;
	case FIELD_REFUSED:
		field_error(w, c->line, NULL, "not supported, and the object is refused: %s", why);
		return false;
	case FIELD_IGNORED:
		return true;
	case FIELD_HONOURED:
		break;
	}
	return field_read_one(w, f, c, (char *)out + f->offset);
}

bool field_read(struct field_walk *w, const struct field_table *t, const struct yaml_node *n, void *out)
{
	bool seen[ROWS_MAX] = { false };
	unsigned errors = w->errors;
	size_t len = w->path_len;

	field_defaults(t, out);
	if (n->kind != YAML_MAP)
		return want(w, n, "a map");
	for (const struct yaml_node *c = n->child; c; c = c->next) {
		const struct field *f = t->fields;

		while (f->name && !key_is(c->key, f->name))
			f++;
		if (!f->name) {
			if (!t->open)
				unknown(w, c);
			continue;
		}
		field_enter(w, f->name, 0);
		if (seen[f - t->fields])
			field_error(w, c->line, NULL, "is here twice, once in camelCase and once in snake_case");
		seen[f - t->fields] = true;
		if (!yaml_is_null(c))
			read_row(w, f, c, out);
		field_leave(w, len);
	}
	if (t->check && w->errors == errors)
		t->check(w, out);
	return w->errors == errors;
}

const char *field_type_name(const struct field *f)
{
	static const char *const names[] = {
		[FIELD_STRING] = "string", [FIELD_BOOL] = "true or false", [FIELD_PORT] = "port", [FIELD_U32] = "number",
		[FIELD_DURATION] = "duration", [FIELD_IP] = "IP address", [FIELD_ENUM] = "word", [FIELD_TIME] = "time",
		[FIELD_OPT_U32] = "number", [FIELD_OPT_BOOL] = "true or false", [FIELD_OPT_MS] = "duration", [FIELD_OPT_DOUBLE] = "number",
		[FIELD_TEXT] = "string", [FIELD_ONE_TEXT] = "string", [FIELD_BYTES] = "base64", [FIELD_U16S] = "list of numbers", [FIELD_U32_MAP] = "map of numbers", [FIELD_INLINE] = "object",
		[FIELD_PORT_OR_NAME] = "port or port name", [FIELD_STRINGS] = "list of strings",
		[FIELD_LABELS] = "map of strings", [FIELD_PORTS] = "map of names to ports", [FIELD_MESSAGE] = "object",
		[FIELD_MESSAGES] = "list of objects", [FIELD_MESSAGE_MAP] = "map of objects", [FIELD_PRESENT] = "anything", [FIELD_ANY] = "anything",
	};

	return names[f->type];
}

const char *field_label(const struct field_labels *l, const char *key)
{
	for (int i = 0; i < l->n; i++) {
		if (!strcmp(l->v[i].key, key))
			return l->v[i].value;
	}
	return NULL;
}
