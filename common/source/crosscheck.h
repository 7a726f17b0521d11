/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong between objects, for `meshd analyze`: with the codes of `istioctl analyze` where it has one. A running sidecar says the
 * same of what bears on its own workload (traffic/plan.h). */
#ifndef SOURCE_CROSSCHECK_H
#define SOURCE_CROSSCHECK_H

#include "source/link.h"

void crosscheck(const struct link_input *in, const struct link_set *set);    /* reports to in->report */

#endif
