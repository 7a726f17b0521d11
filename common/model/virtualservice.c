/* SPDX-License-Identifier: Apache-2.0 */
#include "model/virtualservice.h"

bool export_reaches(const char *const *export_to, int n, const char *own_ns, const char *client_ns)
{
	bool own = !strcmp(own_ns, client_ns);

	for (int i = 0; i < n; i++) {
		const char *e = export_to[i];

		if (!strcmp(e, "*") || !strcmp(e, client_ns) || (own && !strcmp(e, ".")))
			return true;
	}
	return n == 0;
}
