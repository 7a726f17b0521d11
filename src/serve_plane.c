/* SPDX-License-Identifier: Apache-2.0 */
/* With a control plane: the mesh is what istiod says (or LOCAL_XDS), certificates are its CA's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "identity/secret.h"
#include "src/serve_int.h"

/* ---- how we show who we are ---- */

static struct str first_line(struct str text)
{
	struct str rest, line = str_cut(text, '\n', &rest);

	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
		line.n--;
	return line;
}

/* The token is read for each call: the kubelet renews the file. */
static int add_token(const struct settings *set, struct grpc_meta *m, struct err *err)
{
	struct secret token = { 0 };
	struct buf value = { 0 };
	struct str text = str_c(set->token);
	int r;

	if (!grpc_meta_private(m))
		return 0;   /* said when the channel was opened */
	r = set->token_file ? secret_read(set->token_file, &token, err) : 0;
	if (r == 0 && set->token_file)
		text = first_line(secret_str(&token));
	if (r == 0 && set->token_file && !text.n)
		r = err_set(err, -EINVAL, "the token file %s is empty", set->token_file);
	if (r == 0 && text.n) {
		buf_printf(&value, "Bearer %.*s", STR_FMT(text));
		if (!grpc_meta_add(m, str_c("authorization"), buf_str(&value)))
			r = err_set(err, -EINVAL, "the token in %s is no token: want one line of printable text", set->token_file ? set->token_file : "AUTH_TOKEN");
	}
	secret_wipe(&token);
	buf_done(&value);
	return r;
}

static int add_metadata(const struct serve *s, const struct setting_server *server, struct grpc_meta *m, struct err *err)
{
	int r = add_token(&s->set, m, err);

	if (r == 0)
		grpc_meta_add(m, str_c("clusterid"), str_c(s->set.cluster));
	for (int i = 0; r == 0 && i < server->headers.n; i++)
		if (!grpc_meta_add(m, str_c(server->headers.v[i].name), str_c(server->headers.v[i].value)))
			r = err_set(err, -EINVAL, "the header %s is not one that gRPC can send", server->headers.v[i].name);
	return r;
}

static int xds_metadata(void *arg, struct grpc_meta *m, struct err *err)
{
	const struct serve *s = arg;

	return add_metadata(s, &s->set.xds, m, err);
}

static int ca_metadata(void *arg, struct grpc_meta *m, struct err *err)
{
	const struct serve *s = arg;

	return add_metadata(s, &s->set.ca, m, err);
}

static int open_channel(struct serve *s, const struct setting_server *server, bool ca, struct grpc **ret, struct err *err)
{
	struct grpc_conf conf = {
		.who = ca ? "the CA" : "istiod", .target = str_c(server->address),
		.roots = str_c(server->roots_kind == ROOTS_SYSTEM ? "SYSTEM" : server->roots), .alt_name = str_c(server->alt_hostname),
		.roots_hint = ca ? "CA_ROOT_CA" : "XDS_ROOT_CA", .name_hint = ca ? "ALT_CA_HOSTNAME" : "ALT_XDS_HOSTNAME",
		.sock_ops = &s->control_out.ops, .resolver = s->resolver, .headers = ca ? ca_metadata : xds_metadata, .arg = s,
		.message_bytes = ca ? 0 : LIMIT_XDS_MESSAGE_BYTES,
	};

	if (str_starts(conf.target, str_c("http://")))
		log_warn(LOG_MAIN, "%s is reached without TLS at %s: what it says is not verified, and no token is sent to it; use https:// except for tests",
			 conf.who, server->address);
	return grpc_new(s->loop, &conf, ret, err);
}

int serve_plane_open(struct serve *s, struct err *err)
{
	bool own_ca = s->opt.ca_dir || s->opt.cert;
	int r = 0;

	if (s->set.xds.address)
		r = open_channel(s, &s->set.xds, false, &s->xds_channel, err);
	if (r == 0 && s->set.ca.address && !own_ca)
		r = open_channel(s, &s->set.ca, true, &s->ca_channel, err);
	if (r == 0 && s->ca_channel)
		s->citadel = citadel_new(&(struct citadel_conf){ .channel = s->ca_channel, .address = s->set.ca.address,
								 .impersonate = s->set.mode == MODE_SHARED });
	return r;
}

/* ---- the mesh ---- */

void serve_plane_changed(struct serve *s, bool policies)
{
	/* There a connection's right depends on who is a waypoint, and of what, too. */
	bool closed = mesh_settings(mesh_current())->stance >= STANCE_CLOSED;

	if (serve_pods_refresh(s) || policies || closed)
		proxy_rejudge(s->proxy);
	else
		proxy_wake(s->proxy);
}

static void on_change(void *arg, uint64_t generation, bool policies)
{
	serve_plane_changed(arg, policies);
}

static void on_synced(void *arg)
{
	struct serve *s = arg;
	size_t services, policies, workloads = mesh_count(mesh_current(), &services, &policies);

	log_info(LOG_XDS, "the mesh is here: %zu workloads, %zu services, %zu policies", workloads, services, policies);
	serve_pods_synced(s);
}

static int start_ads(struct serve *s, struct err *err)
{
	static const struct ads_ops ops = { .on_synced = on_synced };
	const struct setting_pairs *meta = &s->set.metadata;
	const struct ads_type types[] = {
		{ WDS_ADDRESS_URL, &wds_address_ops, s->wds, s->set.on_demand },
		{ WDS_AUTHORIZATION_URL, &wds_authorization_ops, s->wds, false },
	};
	struct ads_pair *pairs = xcalloc((size_t)meta->n + 1, sizeof(*pairs));
	struct ads_conf conf = {
		.loop = s->loop, .grpc = s->xds_channel, .node_id = s->set.node_id, .metadata = pairs, .n_metadata = meta->n,
		.types = types, .n_types = (int)ARRAY_LEN(types), .ops = &ops, .arg = s,
	};
	int r;

	for (int i = 0; i < meta->n; i++)
		pairs[i] = (struct ads_pair){ meta->v[i].name, meta->v[i].value };
	r = ads_new(&conf, &s->ads, err);
	free(pairs);
	if (r == 0)
		ads_start(s->ads);
	return r;
}

int serve_plane_settings(struct serve *s, struct err *err)
{
	struct mesh_settings base;
	struct mesh_edit *e;
	int r = settings_mesh(&s->set, &base, err);

	if (r < 0)
		return r;
	if (s->set.n_aliases) {
		struct str domains[1 + 16] = { str_c("") };
		int n = 1;

		for (int i = 0; i < s->set.n_aliases && n < (int)ARRAY_LEN(domains); i++)
			domains[n++] = str_c(s->set.aliases[i]);
		identity_set_trust(s->identity, domains, n);
	}
	e = mesh_edit_begin();
	mesh_edit_settings(e, &base);
	mesh_edit_publish(e);
	return 0;
}

int serve_plane_start(struct serve *s, struct err *err)
{
	int r = serve_local_load(s, err);

	s->wds = wds_new(&(struct wds_conf){ .on_change = on_change, .arg = s });
	if (r < 0 || s->xds_channel)
		return r < 0 ? r : start_ads(s, err);
	serve_pods_synced(s);
	return 0;
}

struct refused {
	void (*fn)(bool error, const char *text, void *fn_arg);
	void *fn_arg;
};

static void on_refused(void *arg, const char *url, const char *name, const char *why)
{
	struct refused *r = arg;
	struct buf text = { 0 };

	buf_printf(&text, "%s %s: %s", strrchr(url, '.') + 1, name, why);
	buf_append(&text, "", 1);
	r->fn(true, (char *)buf_data(&text), r->fn_arg);
	buf_done(&text);
}

void serve_plane_findings(struct serve *s, void (*fn)(bool error, const char *text, void *fn_arg), void *fn_arg)
{
	if (s->ads)
		ads_each_refused(s->ads, on_refused, &(struct refused){ fn, fn_arg });
}

void serve_plane_pending(struct serve *s, struct buf *out)
{
	if (s->ads && !ads_synced(s->ads))
		buf_printf(out, "%sstate manager", buf_len(out) ? ", " : "");
}

void serve_plane_stop(struct serve *s)
{
	ads_free(s->ads);
	wds_free(s->wds);
	serve_local_stop(s);
	grpc_free(s->xds_channel);
}

void serve_plane_close(struct serve *s)
{
	citadel_free(s->citadel);
	grpc_free(s->ca_channel);
}
