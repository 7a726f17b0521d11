/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"

static const struct fail_info table[FAIL_COUNT] = {
#define FAIL(name, status, flag, reason, hint) [FAIL_##name] = { #name, status, flag, reason, hint },
#include "base/fail.def"
#undef FAIL
};

const struct fail_info *fail_info(enum fail f)
{
	return &table[f];
}
