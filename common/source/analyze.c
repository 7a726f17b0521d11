/* SPDX-License-Identifier: Apache-2.0 */
#include "source/analyze.h"

#include <stdlib.h>

#include "source/confdir.h"

static void write_findings(const struct confdir *c, struct buf *out)
{
	size_t n;
	const struct finding **v = confdir_findings(c, &n);

	for (size_t i = 0; i < n; i++) {
		finding_format(v[i], true, out);
		buf_puts(out, "\n");
	}
	free(v);
}

int analyze_dir(const char *dir, const struct mesh_settings *base, struct buf *out)
{
	struct confdir *c = confdir_new(dir, base);
	struct err err = { "" };
	bool failed = confdir_check(c, &err) != 0;
	size_t errors = confdir_count(c, FINDING_ERROR), warnings = confdir_count(c, FINDING_WARNING);

	write_findings(c, out);
	if (failed && !errors) {
		buf_printf(out, "%s\n", err.msg);
		errors = 1;
	}
	if (failed)
		buf_puts(out, "The directory would not be loaded.\n");
	buf_printf(out, "%zu objects, %zu errors, %zu warnings.\n", confdir_objects(c), errors, warnings);
	confdir_free(c);
	return errors ? ANALYZE_FOUND : 0;
}
