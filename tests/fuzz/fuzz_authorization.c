/* SPDX-License-Identifier: Apache-2.0 */
/* istio.security.Authorization as bytes: what comes of it judges a connection. */
#include <stdlib.h>

#include "base/epoch.h"
#include "base/log.h"
#include "policy/authz.h"
#include "proto/authorization.pb-c.h"
#include "source/wds.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return log_set_levels(str_c("off"), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	Authz__Authorization *a = authz__authorization__unpack(NULL, n, data);
	char *name = a ? xasprintf("%s/%s", a->namespace_, a->name) : xstrdup("n/p");
	struct ads_resource r = { .name = str_c(name), .version = { "", 0 }, .value = { (const char *)data, n } };
	struct authz_input in = { .principal = str_c("td/ns/n/sa/s"), .source = { .port = 1 }, .dest = { .port = 80 } };
	struct wds *wds = wds_new(&(struct wds_conf){ NULL, NULL });
	const char *bound[] = { name };
	struct workload *w = workload_new(&(struct workload){ .uid = "w", .ns = a ? a->namespace_ : "n", .policies = bound, .n_policies = 1 });
	struct err err;
	int rc;

	wds_authorization_ops.begin(wds);
	rc = wds_authorization_ops.on_resource(wds, &r, &err);
	wds_authorization_ops.end(wds);
	/* A policy that was refused closes what it covers, unless it is a dry run. */
	if (authz_judge(mesh_current(), w, &in, NULL, NULL).allowed && rc < 0 && !(a && a->dry_run))
		abort();
	wds_authorization_ops.begin(wds);
	wds_authorization_ops.on_removed(wds, r.name);
	wds_authorization_ops.end(wds);
	if (a)
		authz__authorization__free_unpacked(a, NULL);
	workload_unref(w);
	wds_free(wds);
	free(name);
	epoch_collect();
	return 0;
}
