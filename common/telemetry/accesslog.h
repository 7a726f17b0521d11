/* SPDX-License-Identifier: Apache-2.0 */
/* Access logs as Envoy writes them: one line for each request, or connection of bytes, that ended. A line is formatted once and handed
 * to the log's writer, which drops and counts lines before anybody waits. The scope "access" below info switches them off. */
#ifndef TELEMETRY_ACCESSLOG_H
#define TELEMETRY_ACCESSLOG_H

#include "http/exchange.h"

struct tele_side;

void accesslog_write(const struct tele_side *s, const struct exchange *x);

#endif
