/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"

static const struct fail_info table[FAIL_COUNT] = {
#define FAIL(name, status, flag, reason, hint) [FAIL_##name] = { #name, status, flag, reason, hint },
#include "base/fail.def"
#undef FAIL
};

static const struct fail_http http_table[FAIL_COUNT] = {
#define FAIL(name, status, flag, reason, hint)
#define FAIL_HTTP(name, status, flag, details, text) [FAIL_##name] = { status, flag, details, text },
#include "base/fail.def"
#undef FAIL
};

const struct fail_info *fail_info(enum fail f)
{
	return &table[f];
}

const struct fail_http *fail_http(enum fail f)
{
	static const struct fail_http other = { 503, "-", "local_reply", "" };

	return http_table[f].details ? &http_table[f] : &other;
}
