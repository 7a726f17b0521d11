/* SPDX-License-Identifier: Apache-2.0 */
/* istio.workload.Address as bytes, several in one push (a byte of length, then as many), and their removal. */
#include <stdlib.h>

#include "base/epoch.h"
#include "base/log.h"
#include "proto/workload.pb-c.h"
#include "source/wds.h"

/* The name that the resource must have. */
static char *name_of(const uint8_t *data, size_t n)
{
	Wds__Address *a = wds__address__unpack(NULL, n, data);
	char *name;

	if (a && a->type_case == WDS__ADDRESS__TYPE_WORKLOAD)
		name = xstrdup(a->workload->uid);
	else if (a && a->type_case == WDS__ADDRESS__TYPE_SERVICE)
		name = xasprintf("%s/%s", a->service->namespace_, a->service->hostname);
	else
		name = xstrdup("x");
	if (a)
		wds__address__free_unpacked(a, NULL);
	return name;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return log_set_levels(str_c("off"), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct wds *wds = wds_new(&(struct wds_conf){ NULL, NULL });
	char *names[16];
	int n_names = 0;
	struct err err;

	wds_address_ops.begin(wds);
	while (n && n_names < 16) {
		size_t len = data[0] < n ? data[0] : n - 1;
		struct ads_resource r = { .version = str_c("1"), .value = { (const char *)data + 1, len } };

		names[n_names] = name_of(data + 1, len);
		r.name = str_c(names[n_names++]);
		wds_address_ops.on_resource(wds, &r, &err);
		data += len + 1;
		n -= len + 1;
	}
	wds_address_ops.end(wds);
	wds_address_ops.begin(wds);
	for (int i = 0; i < n_names; i++) {
		wds_address_ops.on_removed(wds, str_c(names[i]));
		free(names[i]);
	}
	wds_address_ops.end(wds);
	wds_free(wds);
	epoch_collect();
	return 0;
}
