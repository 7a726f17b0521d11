/* SPDX-License-Identifier: Apache-2.0 */
/* The first filter of each chain of a sidecar: gives a request its id and its trace, and when it ended counts it, writes its lines and its span, and remembers it for `meshd why`. */
#ifndef TELEMETRY_FILTER_H
#define TELEMETRY_FILTER_H

#include "http/exchange.h"

extern const struct filter_ops telemetry_filter;     /* conf: struct tele_side (telemetry/teleconf.h) */

#endif
