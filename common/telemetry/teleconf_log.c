/* SPDX-License-Identifier: Apache-2.0 */
/* Access logs: those of Telemetry objects and default providers, else MeshConfig.accessLogFile. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "telemetry/teleconf_int.h"

/* A provider that is in use, as the objects say so far. */
struct use {
	const char *provider, *object;
	bool off;
	const char *filter;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct log_key *)a)->key, ((const struct log_key *)b)->key);
}

static int put_key(struct teleconf_job *j, struct access_log *l, const char *key, const char *text, struct err *err)
{
	struct format *f = format_parse(str_c(text), err);

	if (!f)
		return -EINVAL;
	l->keys[l->n_keys++] = (struct log_key){ arena_dup(&j->t->memory, str_c(key)), f };
	return 0;
}

static int take_json(struct teleconf_job *j, struct access_log *l, const struct label *v, int n, struct err *err)
{
	int r = 0;

	l->keys = arena_alloc(&j->t->memory, (size_t)(n > format_default_json_n ? n : format_default_json_n) * sizeof(*l->keys));
	for (int i = 0; r == 0 && i < (n ? n : format_default_json_n); i++)
		r = n ? put_key(j, l, v[i].key, v[i].value, err) : put_key(j, l, format_default_json[i].key, format_default_json[i].text, err);
	/* In the order of their names, as Envoy. */
	qsort(l->keys, (size_t)l->n_keys, sizeof(*l->keys), by_key);
	return r;
}

static void done(struct access_log *l)
{
	format_free(l->text);
	cel_free(l->filter);
	for (int i = 0; i < l->n_keys; i++)
		format_free(l->keys[i].format);
}

/* text "": the default's. */
static int take_text(struct access_log *l, const char *text, struct err *err)
{
	l->text = format_parse(str_c(text[0] ? text : format_default_text), err);
	return l->text ? 0 : -EINVAL;
}

static void add(struct teleconf_job *j, struct tele_side *s, const struct use *u, const char *path, bool json, const char *text,
		const struct label *labels, int n_labels, bool omit_empty)
{
	struct access_log l = { .provider = arena_dup(&j->t->memory, str_c(u->provider)), .omit_empty = omit_empty };
	struct err err;
	int r = log_sink(path[0] ? path : "/dev/stdout", &err);

	if (r >= 0) {
		l.sink = r;
		r = json ? take_json(j, &l, labels, n_labels, &err) : take_text(&l, text, &err);
	}
	if (r == 0 && u->filter[0])
		r = cel_parse(str_c(u->filter), &l.filter, &err);
	if (r < 0) {
		/* A filter that is not understood leaves nothing out. */
		teleconf_report(j, u->object, "the access log of the provider '%s' is not written: %s", u->provider, err.msg);
		done(&l);
		return;
	}
	s->logs[s->n_logs++] = l;
}

static void add_mesh(struct teleconf_job *j, struct tele_side *s, const struct use *u)
{
	const struct tele_settings *t = &j->config->tele;

	add(j, s, u, t->access_log_file, t->access_log_json, t->access_log_format, t->access_log_labels.v, t->access_log_labels.n, false);
}

static void add_provider(struct teleconf_job *j, struct tele_side *s, const struct use *u)
{
	const struct tele_provider *p = teleconf_provider(j, u->provider);

	if (!p && strcmp(u->provider, "envoy") == 0)
		add_mesh(j, s, u);
	else if (!p)
		teleconf_report(j, u->object, "there is no extension provider '%s'", u->provider);
	else if (p->kind != TELE_FILE_LOG)
		teleconf_report(j, u->object, "the provider '%s' is a %s: meshd writes access logs to files (envoyFileAccessLog)", p->name, p->what);
	else
		add(j, s, u, p->path, p->labels.present, p->text, p->labels.v, p->labels.n, p->omit_empty);
}

static struct use *find(struct use *v, int *n, int max, const char *provider)
{
	for (int i = 0; i < *n; i++)
		if (strcmp(v[i].provider, provider) == 0)
			return &v[i];
	if (*n == max)
		return NULL;
	v[*n] = (struct use){ .provider = provider, .filter = "" };
	return &v[(*n)++];
}

void teleconf_logs(struct teleconf_job *j, struct tele_side *s)
{
	const struct tele_settings *t = &j->config->tele;
	const char *const *names = t->default_logging.v;
	int n_names = t->default_logging.n, n = 0;
	struct use uses[16];
	bool any = n_names > 0;

	for (int i = 0; i < n_names && !j->n_objects; i++)
		find(uses, &n, ARRAY_LEN(uses), names[i])->object = "MeshConfig";
	for (int i = 0; i < j->n_objects; i++) {
		const struct telemetry *o = j->objects[i];

		for (int k = 0; k < o->logging.n; k++) {
			const struct tele_logging *l = &o->logging.v[k];

			any = true;
			if (l->providers.n) {
				names = l->providers.v;
				n_names = l->providers.n;
			}
			for (int p = 0; p < n_names && teleconf_mode_is(l->mode, s); p++) {
				struct use *u = find(uses, &n, ARRAY_LEN(uses), names[p]);

				if (u)
					*u = (struct use){ names[p], o->r.key, l->disabled == OPT_YES, l->filter };
			}
		}
	}
	s->logs = arena_alloc(&j->t->memory, ARRAY_LEN(uses) * sizeof(*s->logs));
	if (!any && t->access_log_file[0])
		add_mesh(j, s, &(struct use){ "accessLogFile", "MeshConfig", false, "" });
	for (int i = 0; i < n; i++)
		if (!uses[i].off)
			add_provider(j, s, &uses[i]);
}
