/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DECIDE_H
#define TESTS_DECIDE_H

#include <jansson.h>

#include "traffic/plan.h"

/* The whole plan; of a sidecar what goes out. */
json_t *decide_dump(const struct plan *p, bool waypoint);

#endif
