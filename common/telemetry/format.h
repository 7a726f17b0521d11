/* SPDX-License-Identifier: Apache-2.0 */
/* A text with Envoy's %OPERATORS% (config/observability/access_log/usage, custom request headers), parsed once and written for each
 * exchange: header values of routes, access-log lines, span tags. A connection of bytes is an exchange without heads. */
#ifndef TELEMETRY_FORMAT_H
#define TELEMETRY_FORMAT_H

#include "base/buf.h"
#include "base/err.h"
#include "http/exchange.h"

struct format;

/* NULL and err: an operator that does not exist, that meshd does not have (both by name), or that is malformed. "%%" is a percent
 * sign. Immutable, any thread; expressions in it are parsed too. */
struct format *format_parse(struct str text, struct err *err);
void format_free(struct format *f);                  /* NULL ok */
/* Appends. What is not known is `absent` ("-" in lines of text, "" in header values). Control characters become '?'. */
void format_write(const struct format *f, const struct exchange *x, const char *absent, struct buf *out);
/* For header operations: the value, in x's arena or the format's own memory; empty: nothing of it is known, set no header. */
struct str format_text(const struct format *f, struct exchange *x);
/* As a JSON value: of a single operator a number, a string or null; of anything else a string. False: null. */
bool format_json(const struct format *f, const struct exchange *x, struct buf *out);

/* Times as they end in lines; ms since the epoch is derived from log.wall_us. */
extern const char format_default_text[];             /* Istio's EnvoyTextLogFormat, with its newline */
/* Istio's JSON line: the keys of EnvoyJSONLogFormatIstio, sorted as Envoy does. */
struct format_pair { const char *key, *text; };
extern const struct format_pair format_default_json[];
extern const int format_default_json_n;

#endif
