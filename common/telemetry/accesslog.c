/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/accesslog.h"

#include "base/log.h"
#include "telemetry/teleconf_int.h"

#define LINE_BYTES 1024      /* a usual one, so that it does not grow */

static void put_json(const struct access_log *l, const struct exchange *x, struct buf *out)
{
	bool any = false;

	buf_puts(out, "{");
	for (int i = 0; i < l->n_keys; i++) {
		size_t before = buf_len(out);

		buf_puts(out, any ? "," : "");
		buf_json_str(out, str_c(l->keys[i].key));
		buf_puts(out, ":");
		if (!format_json(l->keys[i].format, x, out) && l->omit_empty)
			out->tail = out->head + before;
		else
			any = true;
	}
	buf_puts(out, "}\n");
}

void accesslog_write(const struct tele_side *s, const struct exchange *x)
{
	struct buf line = { 0 };

	if (!s->n_logs || !log_on(LOG_ACCESS, LOG_INFO))
		return;
	buf_reserve(&line, LINE_BYTES);
	for (int i = 0; i < s->n_logs; i++) {
		const struct access_log *l = &s->logs[i];

		if (l->filter && !cel_match(l->filter, x))
			continue;
		line.tail = line.head;
		if (l->text)
			format_write(l->text, x, "-", &line);
		else
			put_json(l, x, &line);
		log_line(l->sink, buf_str(&line));
	}
	buf_done(&line);
}
