/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/origin.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/log.h"

#define FILES 4

struct origin {
	struct list link;
	char *file[FILES];             /* owned: cert, key, roots, crl */
	struct stat seen[FILES];
	bool insecure, server;
	uint64_t looked_ms;
	struct tlsctx *ctx;            /* reference; NULL: there was never a good one */
	struct err err;                /* of the last try; "": it was good */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list origins = { &origins, &origins };

static const char *file_of(const struct origin_conf *c, int i)
{
	const char *v[FILES] = { c->cert, c->key, c->roots, c->crl };

	return v[i] ? v[i] : "";
}

static struct origin *find(const struct origin_conf *conf)
{
	struct origin *o;

	list_each(at, &origins) {
		bool same;

		o = container_of(at, struct origin, link);
		same = o->insecure == conf->insecure && o->server == conf->server;
		for (int i = 0; i < FILES; i++)
			same &= strcmp(o->file[i], file_of(conf, i)) == 0;
		if (same)
			return o;
	}
	o = xcalloc(1, sizeof(*o));
	for (int i = 0; i < FILES; i++)
		o->file[i] = xstrdup(file_of(conf, i));
	o->insecure = conf->insecure;
	o->server = conf->server;
	list_add_tail(&origins, &o->link);
	if (o->insecure)
		log_warn(LOG_TLS, "a DestinationRule says insecureSkipVerify: whoever answers there is believed, and may read and change what is sent");
	return o;
}

static bool changed(struct origin *o)
{
	bool any = false;

	for (int i = 0; i < FILES; i++) {
		struct stat st = { 0 };

		if (o->file[i][0])
			stat(o->file[i], &st);
		any |= st.st_ino != o->seen[i].st_ino || st.st_size != o->seen[i].st_size || st.st_mtim.tv_sec != o->seen[i].st_mtim.tv_sec ||
		       st.st_mtim.tv_nsec != o->seen[i].st_mtim.tv_nsec;
		o->seen[i] = st;
	}
	return any;
}

static void make(struct origin *o)
{
	struct webctx_conf conf = {
		.roots = str_c(o->file[2][0] || o->server ? o->file[2] : "SYSTEM"), .cert_file = str_c(o->file[0]), .key_file = str_c(o->file[1]), .crl_file = str_c(o->file[3]),
		.server = o->server, .any_name = true, .insecure = o->insecure, .roots_hint = "caCertificates", .name_hint = "subjectAltNames or sni",
	};
	struct err before = o->err, why;
	struct tlsctx *ctx;

	if (webctx_new(&conf, &ctx, &why) == 0) {
		tlsctx_unref(o->ctx);
		o->ctx = ctx;
		o->err.msg[0] = '\0';
		return;
	}
	err_set(&o->err, -EINVAL, "%s%s%s%s%s: %s", o->file[0], o->file[0][0] ? " " : "", o->file[1], o->file[1][0] ? " " : "", conf.roots.p, why.msg);
	if (strcmp(before.msg, o->err.msg) != 0)
		log_error(LOG_TLS, "TLS by files: %s%s", o->err.msg, o->ctx ? "; what was read before stays in force" : "");
}

struct tlsctx *origin_get(const struct origin_conf *conf, uint64_t now_ms, struct err *err)
{
	struct tlsctx *ctx = NULL;
	struct origin *o;

	pthread_mutex_lock(&lock);
	o = find(conf);
	if (!o->looked_ms || now_ms - o->looked_ms >= ORIGIN_LOOK_MS) {
		/* What could not be read may have been no fault of the files: a descriptor was missing, say. */
		bool again = !o->looked_ms || o->err.msg[0];

		o->looked_ms = now_ms ? now_ms : 1;
		if (changed(o) || again)
			make(o);
	}
	if (o->ctx)
		ctx = tlsctx_ref(o->ctx);
	else
		err_set(err, -ENOENT, "%s", o->err.msg);
	pthread_mutex_unlock(&lock);
	return ctx;
}

void origin_forget(void)
{
	pthread_mutex_lock(&lock);
	list_each_safe(at, next, &origins) {
		struct origin *o = container_of(at, struct origin, link);

		list_del(&o->link);
		tlsctx_unref(o->ctx);
		for (int i = 0; i < FILES; i++)
			free(o->file[i]);
		free(o);
	}
	pthread_mutex_unlock(&lock);
}
