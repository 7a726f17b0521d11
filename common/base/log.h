/* SPDX-License-Identifier: Apache-2.0 */
/* Leveled, scoped logging to stdout, as text or JSON, in ztunnel's line format. Any thread may log: lines are queued and
 * written by one writer thread; when its queue is full, lines are dropped and counted, never waited for. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

enum log_scope {
	LOG_MAIN, LOG_ACCESS, LOG_IO, LOG_TLS, LOG_HBONE, LOG_IDENTITY, LOG_POLICY, LOG_SOURCE, LOG_ADMIN, LOG_NET, LOG_DNS,
	LOG_XDS, LOG_INPOD, LOG_SCOPES
};

struct log_field {
	const char *key;
	struct str value;     /* p == NULL: number holds the value */
	uint64_t number;
	bool bare;            /* text format: without quotes (addresses, durations) */
};

void log_set_json(bool json);              /* before the first line */
/* Starts the writer thread on fd. Before it, and after log_stop, lines are written directly, to standard output. */
void log_start(int fd);
void log_stop(void);                       /* flushes; ends the writer */
/* "info", "debug", "access=debug,info", "access:debug": adds to what is set. Nothing is set when a part of it is wrong. */
int log_set_levels(struct str spec, struct err *err);
void log_reset_levels(void);               /* to those when log_start was called; before it, info */
/* A scope of ours, or the one that has what a module of ztunnel says: "ztunnel::xds::client" is xds. LOG_SCOPES: all of
 * them. -ENOENT: none. */
int log_scope_parse(struct str name);
const char *log_scope_name(enum log_scope scope);
int log_level_parse(struct str text);      /* also in capitals, and 0 to 5; -EINVAL */
const char *log_level_name(enum log_level level);
void log_levels_format(struct buf *out);   /* "access=debug,info" */
bool log_on(enum log_scope scope, enum log_level level);
uint64_t log_dropped(void);                /* lines lost since start */

void log_msg(enum log_scope scope, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void log_fields(enum log_scope scope, enum log_level level, const char *msg, const struct log_field *f, int n);

/* Whole lines as they are, as access logs have them: queued and written like the others. "/dev/stdout" is the log itself; another file
 * is opened for appending, once for each path. The sink's number, or -errno. Control thread. */
#define LOG_SINKS 8
int log_sink(const char *path, struct err *err);
void log_line(int sink, struct str line);  /* with its newline; any thread */
void log_reopen(void);                     /* files by their paths: they were rotated. Control thread */

#define log_error(scope, ...) log_msg(scope, LOG_ERROR, __VA_ARGS__)
#define log_warn(scope, ...)  log_msg(scope, LOG_WARN, __VA_ARGS__)
#define log_info(scope, ...)  log_msg(scope, LOG_INFO, __VA_ARGS__)
#define log_debug(scope, ...) do { if (log_on(scope, LOG_DEBUG)) log_msg(scope, LOG_DEBUG, __VA_ARGS__); } while (0)

#endif
