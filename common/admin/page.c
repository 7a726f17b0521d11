/* SPDX-License-Identifier: Apache-2.0 */
/* /, for a browser: page.html, whose script reads the JSON pages. Without scripts it shows the status as text; what others wrote is
 * escaped. */
#include "admin/admin_int.h"

static void put_escaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case '<': buf_puts(out, "&lt;"); break;
		case '>': buf_puts(out, "&gt;"); break;
		case '&': buf_puts(out, "&amp;"); break;
		case '"': buf_puts(out, "&quot;"); break;
		default:  buf_append(out, &s.p[i], 1);
		}
	}
}

/* Copies the page up to this mark, and returns what follows it. */
static const char *put_until(struct buf *out, const char *page, const char *mark)
{
	const char *at = strstr(page, mark);

	buf_append(out, page, (size_t)(at - page));
	return at + strlen(mark);
}

void page_write(struct admin *a, struct buf *out)
{
	struct buf status = { 0 };
	const char *rest = put_until(out, page_html, "{{status}}");

	status_write_text(a, &status);
	put_escaped(out, buf_str(&status));
	buf_done(&status);
	rest = put_until(out, rest, "{{ports}}");
	buf_printf(out, "metrics are on port %u at <code>/metrics</code>, readiness on port %u at <code>/healthz/ready</code>", a->conf.stats_port,
		   a->conf.ready_port);
	buf_puts(out, rest);
}
