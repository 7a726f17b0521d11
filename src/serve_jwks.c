/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of token issuers. */
#include <stdlib.h>

#include "base/log.h"
#include "policy/jwksource.h"
#include "src/serve_int.h"

#define BLOCKS_MAX 64

static int read_blocks(const char *text, struct cidr *v)
{
	struct str rest = str_c(text ? text : "");
	int n = 0;

	while (rest.n) {
		struct str one = str_cut(rest, ',', &rest);

		while (one.n && *one.p == ' ')
			one = (struct str){ one.p + 1, one.n - 1 };
		while (one.n && one.p[one.n - 1] == ' ')
			one.n--;
		if (!one.n)
			continue;
		if (n < BLOCKS_MAX && cidr_parse(one, &v[n]) == 0)
			n++;
		else
			log_warn(LOG_MAIN, "BLOCKED_CIDRS_IN_JWKS_URIS: want CIDR blocks, at most %d; passed over: %.*s", BLOCKS_MAX, STR_FMT(one));
	}
	return n;
}

void serve_jwks_start(struct serve *s)
{
	struct cidr blocks[BLOCKS_MAX];
	struct jwksource_conf conf = { .sock_ops = &s->control_out.ops, .resolver = s->resolver, .roots = str_c(s->set.jwks.roots), .blocked = blocks,
				       .n_blocked = read_blocks(s->set.jwks.blocked, blocks) };

	jwksource_start(s->loop, &conf);
}
