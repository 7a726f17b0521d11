/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server fed with bytes: the first byte says how they are cut into reads. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "http/h1server_int.h"

static void on_any(struct h1server_request *rq, void *arg)
{
	struct str v = { 0 };

	h1server_query(rq, "a", &v);
	h1server_reply_text(rq, 200, "%.*s %.*s", STR_FMT(h1server_method(rq)), v.n < 100 ? (int)v.n : 100, v.p ? v.p : "");
}

static const struct h1server_route routes[] = { { NULL, "/", on_any } };
static const struct h1server_site site = { routes, ARRAY_LEN(routes), NULL, NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct h1server server = { .site = &site };
	struct h1server_request c = { .server = &server };
	size_t step = n ? data[0] + 1u : 1;

	h1request_init(&c);
	for (size_t i = 1; i < n; i += step) {
		size_t len = n - i < step ? n - i : step;

		buf_append(&c.in, data + i, len);
		while (buf_len(&c.in)) {
			int status = h1request_parse(&c);

			if (status) {
				h1request_refuse(&c, status);
				i = n;
				break;
			}
			if (!c.complete)
				break;
			h1request_answer(&c);
			if (!c.keep_alive) {
				i = n;
				break;
			}
			h1request_reset(&c);
		}
		buf_done(&c.out);
	}
	buf_done(&c.in);
	buf_done(&c.out);
	buf_done(&c.head);
	return 0;
}
