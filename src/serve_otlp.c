/* SPDX-License-Identifier: Apache-2.0 */
/* The export of spans, from OpenTelemetry's variables. */
#include <stdlib.h>

#include "base/log.h"
#include "src/serve_int.h"

static struct otlp_pair *pairs(const struct setting_pairs *p)
{
	struct otlp_pair *v = xcalloc((size_t)p->n + 1, sizeof(*v));

	for (int i = 0; i < p->n; i++)
		v[i] = (struct otlp_pair){ p->v[i].name, p->v[i].value };
	return v;
}

int serve_otlp_start(struct serve *s, struct err *err)
{
	struct otlp_conf conf = {
		.endpoint = s->set.otlp.endpoint, .http = s->set.otlp.protocol == OTLP_HTTP, .roots = s->set.otlp.roots,
		.n_headers = s->set.otlp.headers.n, .n_resource = s->set.otlp.resource.n, .service = s->set.otlp.service,
		.ratio = s->set.otlp.ratio, .timeout_ms = (unsigned)s->set.otlp.timeout_ms, .sock_ops = &s->control_out.ops, .resolver = s->resolver,
	};
	struct otlp_pair *headers, *resource;
	int r;

	if (!conf.endpoint || s->set.otlp.sampler == SAMPLER_NEVER || conf.ratio <= 0)
		return 0;
	conf.headers = headers = pairs(&s->set.otlp.headers);
	conf.resource = resource = pairs(&s->set.otlp.resource);
	r = otlp_new(s->loop, &conf, &s->otlp, err);
	free(headers);
	free(resource);
	if (r == 0)
		log_info(LOG_MAIN, "a span for %g of all connections goes to %s", conf.ratio, conf.endpoint);
	return r;
}
