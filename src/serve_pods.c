/* SPDX-License-Identifier: Apache-2.0 */
/* Which network namespaces are served: those of the node's pods as istio-cni names them (PROXY_MODE=shared), our own as one
 * workload (dedicated), or our own as the workloads of --workload. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "src/serve_int.h"

#define SELF "self"     /* the pod of our own namespace in shared mode */

/* A pod that runs, and the workload whose certificate is kept for it. */
struct kept {
	char *id;                    /* owned */
	struct workload *workload;   /* reference; NULL: not known yet */
};

/* Wants what the pod is now, and forgets what it was. True when it is another object than before. */
static bool keep_workload(struct serve *s, struct kept *k, struct workload *w)
{
	struct workload *old = k->workload;
	struct err err;

	if (old == w)
		return false;
	k->workload = w ? workload_ref(w) : NULL;
	if (w && identity_want(s->identity, str_c(w->identity), IDENTITY_NOW, &err) < 0)
		log_warn(LOG_IDENTITY, "no certificate yet for %s: %s", w->identity, err.msg);
	if (old)
		identity_forget(s->identity, str_c(old->identity));
	workload_unref(old);
	return true;
}

static int add_pod(struct serve *s, const struct pod_conf *conf, struct err *err)
{
	struct kept *k;
	int r = proxy_pod_add(s->proxy, conf, err);

	if (r < 0 || !conf->name)
		return r;
	k = xcalloc(1, sizeof(*k));
	k->id = xstrdup(conf->id);
	map_put(&s->pods, str_c(k->id), k);
	keep_workload(s, k, pod_workload(proxy_pod(s->proxy, str_c(k->id)), mesh_current()));
	return 0;
}

static int start_pod(const struct pod_conf *conf, void *arg, struct err *err)
{
	return add_pod(arg, conf, err);
}

static void stop_pod(struct str id, void *arg)
{
	struct serve *s = arg;
	struct kept *k = map_del(&s->pods, id);

	proxy_pod_del(s->proxy, id);
	if (!k)
		return;
	keep_workload(s, k, NULL);
	free(k->id);
	free(k);
}

static void on_pods_changed(void *arg)
{
	serve_handover_check(arg);
}

static int start_shared(struct serve *s, struct err *err)
{
	static const struct inpod_ops ops = { .start = start_pod, .stop = stop_pod, .on_change = on_pods_changed };
	struct inpod_conf conf = { .path = s->set.inpod_uds, .share_ports = s->set.inpod_port_reuse };
	struct pod_conf self = {
		.id = SELF, .ns = s->set.pod_ns, .name = s->set.pod_name, .service_account = s->set.service_account, .netns = NETNS_OWN,
		.share_ports = s->set.inpod_port_reuse, .hbone_only = true, .held = true,
	};
	int r = netns_init(err);

	if (r == 0 && s->set.mark && !s->proxy->conf.mark)
		r = err_set(err, -EPERM, "cannot mark sockets: serving pods needs CAP_NET_ADMIN");
	if (r == 0)
		r = inpod_new(s->loop, &conf, &ops, s, &s->inpod, err);
	if (r == 0 && self.ns[0] && self.name[0] && self.service_account[0])
		r = add_pod(s, &self, err);
	return r;
}

int serve_pods_start(struct serve *s, struct err *err)
{
	struct pod_conf own = { .id = "", .netns = NETNS_OWN, .spread = true };

	if (!s->pods_mode)
		return add_pod(s, &own, err);
	if (s->set.mode == MODE_SHARED)
		return start_shared(s, err);
	own.ns = s->set.workload_ns;
	own.name = s->set.workload_name;
	own.service_account = s->set.workload_sa;
	own.held = true;
	return add_pod(s, &own, err);
}

void serve_pods_synced(struct serve *s)
{
	s->synced = true;
	if (s->pods_mode)
		proxy_pod_open(s->proxy, str_c(s->set.mode == MODE_SHARED ? SELF : ""));
	if (s->inpod)
		inpod_start(s->inpod);
	serve_handover_check(s);
}

bool serve_pods_refresh(struct serve *s)
{
	bool changed = false;

	map_each(slot, &s->pods) {
		struct kept *k = slot->value;

		changed |= keep_workload(s, k, pod_workload(proxy_pod(s->proxy, str_c(k->id)), mesh_current()));
	}
	return changed;
}

void serve_pods_pending(struct serve *s, struct buf *out)
{
	struct buf why = { 0 };

	if (s->inpod && !inpod_ready(s->inpod, &why))
		buf_printf(out, "%sworkload proxy manager: %.*s", buf_len(out) ? ", " : "", STR_FMT(buf_str(&why)));
	buf_done(&why);
}

void serve_pods_stop(struct serve *s)
{
	inpod_free(s->inpod);
	s->inpod = NULL;
	map_each(slot, &s->pods) {
		struct kept *k = slot->value;

		workload_unref(k->workload);
		free(k->id);
		free(k);
	}
	map_done(&s->pods);
}
