/* SPDX-License-Identifier: Apache-2.0 */
/* Formats and expressions of users, and what they make of an exchange. First byte: which. */
#include "telemetry/cel.h"
#include "telemetry/format.h"
#include "tests/unit/exchange_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct exchange x;
	struct exchange_client client;
	struct buf out = { 0 };
	struct err err;
	struct str in;

	if (!n)
		return 0;
	in = (struct str){ (const char *)data + 1, n - 1 };
	exchange_fixture(&x, &client);
	if (data[0] & 1) {
		struct format *f = format_parse(in, &err);

		if (f) {
			format_write(f, &x, "-", &out);
			format_json(f, &x, &out);
		}
		format_free(f);
	} else {
		struct cel *c = NULL;
		char scratch[512];

		if (cel_parse(in, &c, &err) == 0) {
			cel_match(c, &x);
			cel_text(c, &x, scratch, sizeof(scratch));
		}
		cel_free(c);
	}
	buf_done(&out);
	arena_done(&x.arena);
	return 0;
}
