/* SPDX-License-Identifier: Apache-2.0 */
/* The page at /: what `meshd status` says, readable in a browser. Everything that others wrote is escaped. */
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

static const struct {
	const char *path, *what;
} links[] = {
	{ "status", "this page as JSON" },
	{ "status?format=text", "as <code>meshd status</code> prints it" },
	{ "why?format=text", "every refused connection that is remembered, and what would have allowed it" },
	{ "connections?format=text", "live connections" },
	{ "clusters", "in a sidecar: destinations with limits and endpoints, as Envoy has it" },
	{ "config_dump", "the whole configuration, as <code>istioctl ztunnel-config</code> reads it" },
};

void page_write(struct admin *a, struct buf *out)
{
	struct buf status = { 0 };

	buf_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width\">\n<title>meshd</title>\n"
		 "<style>body { font: 1em/1.5 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }"
		 " pre { background: #f4f4f4; overflow: auto; padding: 1em } td { padding-right: 2em }"
		 " @media (prefers-color-scheme: dark) {"
		 " body { background: #181818; color: #ddd } pre { background: #242424 } a { color: #8bf } }"
		 "</style>\n</head>\n<body>\n<h1>meshd</h1>\n<pre>");
	status_write_text(a, &status);
	put_escaped(out, buf_str(&status));
	buf_done(&status);
	buf_puts(out, "</pre>\n<table>\n");
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		buf_printf(out, "<tr><td><a href=\"%s\">/%s</a></td><td>%s</td></tr>\n", links[i].path, links[i].path,
			   links[i].what);
	buf_puts(out, "<tr><td>POST /logging?level=access=debug</td><td>log levels by scope</td></tr>\n"
		 "<tr><td>POST /reload</td><td>read the configuration again</td></tr>\n"
		 "<tr><td>POST /quitquitquit</td><td>drain and end</td></tr>\n"
		 "</table>\n<p>Metrics are served on ");
	buf_printf(out, "port %u at <code>/metrics</code>, readiness on port %u at <code>/healthz/ready</code>.</p>\n"
		   "</body>\n</html>\n", a->conf.stats_port, a->conf.ready_port);
}
