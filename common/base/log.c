/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_BYTES (4u << 20)    /* lines that wait for a slow reader; beyond it they are dropped and counted */
#define HEAD_BYTES  96
#define LINE_BYTES  512
#define STOP_S      2              /* what a slow reader has at the end */
#define BATCH_US    2000           /* lines of this long leave in one write */
#define BUSY_US     100000         /* if the last write was no longer ago: lines of … */
#define BUSY_BATCH_US 10000        /* … this long: a thread that wakes is dear */
#define BATCH_BYTES (QUEUE_BYTES / 4)    /* but not more than this */

static const char *const level_names[] = { "off", "error", "warn", "info", "debug", "trace" };
static const char *const scope_names[LOG_SCOPES] = {
	"main", "access", "io", "tls", "hbone", "identity", "policy", "source", "admin", "net", "dns", "xds", "inpod",
};

static atomic_int levels[LOG_SCOPES] = {
	[0 ... LOG_SCOPES - 1] = LOG_INFO,
};
static int started_levels[LOG_SCOPES] = { [0 ... LOG_SCOPES - 1] = LOG_INFO };
static atomic_ullong dropped;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct sink {
		struct buf queue;
		char *path;            /* owned; NULL: the log's own */
		int fd;
	} sinks[LOG_SINKS];        /* the first is the log's own */
	int n_sinks;
	unsigned long long told;   /* drops already reported */
	bool json, running, stop;
} writer = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .sinks[0].fd = 1, .n_sinks = 1 };

/* A full disk or a closed pipe loses lines, never traffic. */
static bool write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			for (size_t i = 0; i < s.n; i++)
				if (s.p[i] == '\n')
					atomic_fetch_add(&dropped, 1);
			return false;
		}
		s.p += n;
		s.n -= (size_t)n;
	}
	return true;
}

static void put_time(struct buf *out)
{
	static _Thread_local time_t cached = -1;
	static _Thread_local char text[32];
	char us[8] = { '.', [7] = 'Z' };
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != cached) {
		struct tm tm;

		gmtime_r(&ts.tv_sec, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		cached = ts.tv_sec;
	}
	buf_puts(out, text);
	for (int i = 6, v = (int)(ts.tv_nsec / 1000); i > 0; i--, v /= 10)
		us[i] = (char)('0' + v % 10);
	buf_append(out, us, sizeof(us));
}

static void put_number(struct buf *out, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + v % 10);
	while (v /= 10);
	buf_append(out, text + at, sizeof(text) - at);
}

static void report_drops(struct buf *out)
{
	unsigned long long n = atomic_load(&dropped);

	if (n == writer.told || writer.json)
		return;
	put_time(out);
	buf_printf(out, "\twarn\tmain\t%llu log lines were dropped: the reader of the log is too slow or its disk is full\n", n - writer.told);
	writer.told = n;
}

/* One that has lines; NULL: none. */
static struct sink *waiting(void)
{
	for (int i = 0; i < writer.n_sinks; i++)
		if (buf_len(&writer.sinks[i].queue))
			return &writer.sinks[i];
	return NULL;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Lets lines come together. The lock is held. */
static void gather(uint64_t us)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	us += (uint64_t)until.tv_nsec / 1000;
	until.tv_sec += (time_t)(us / 1000000);
	until.tv_nsec = (long)(us % 1000000) * 1000;
	pthread_cond_timedwait(&writer.wake, &writer.lock, &until);
}

static void *writer_main(void *arg)
{
	uint64_t wrote_us = 0;
	struct sink *s;

	pthread_mutex_lock(&writer.lock);
	while ((s = waiting()) || !writer.stop) {
		struct buf batch;
		bool written;
		int fd;

		if (!s) {
			pthread_cond_wait(&writer.wake, &writer.lock);
			if (!writer.stop && waiting())
				gather(now_us() - wrote_us < BUSY_US ? BUSY_BATCH_US : BATCH_US);
			continue;
		}
		batch = s->queue;
		s->queue = (struct buf){ 0 };
		fd = s->fd;
		pthread_mutex_unlock(&writer.lock);
		written = write_all(fd, buf_str(&batch));
		buf_done(&batch);
		wrote_us = now_us();
		pthread_mutex_lock(&writer.lock);
		if (written)
			report_drops(&writer.sinks[0].queue);
	}
	pthread_mutex_unlock(&writer.lock);
	return NULL;
}

void log_set_json(bool json)
{
	writer.json = json;
}

void log_start(int fd)
{
	for (int i = 0; i < LOG_SCOPES; i++)
		started_levels[i] = atomic_load(&levels[i]);
	writer.sinks[0].fd = fd;
	writer.stop = false;
	writer.running = pthread_create(&writer.thread, NULL, writer_main, NULL) == 0;
}

void log_stop(void)
{
	struct timespec until;

	if (!writer.running)
		return;
	pthread_mutex_lock(&writer.lock);
	writer.stop = true;
	pthread_cond_signal(&writer.wake);
	pthread_mutex_unlock(&writer.lock);
	/* A reader that takes nothing does not keep the process alive. */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	pthread_timedjoin_np(writer.thread, NULL, &until);
	writer.running = false;
}

void log_line(int sink, struct str line)
{
	struct sink *s = &writer.sinks[sink];
	bool first, many;

	if (!writer.running) {
		write_all(s->fd, line);
		return;
	}
	pthread_mutex_lock(&writer.lock);
	first = !waiting();
	many = buf_len(&s->queue) < BATCH_BYTES && buf_len(&s->queue) + line.n >= BATCH_BYTES;
	if (buf_len(&s->queue) + line.n > QUEUE_BYTES || buf_append(&s->queue, line.p, line.n) < 0)
		atomic_fetch_add(&dropped, 1);
	pthread_mutex_unlock(&writer.lock);
	if (first || many)
		pthread_cond_signal(&writer.wake);
}

static void emit(struct buf *line)
{
	log_line(0, buf_str(line));
	buf_done(line);
}

static int sink_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	return fd < 0 ? -errno : fd;
}

int log_sink(const char *path, struct err *err)
{
	int fd;

	if (strcmp(path, "/dev/stdout") == 0)
		return 0;
	for (int i = 1; i < writer.n_sinks; i++)
		if (strcmp(writer.sinks[i].path, path) == 0)
			return i;
	if (writer.n_sinks == LOG_SINKS)
		return err_set(err, -EMFILE, "access logs go to %d files at most", LOG_SINKS - 1);
	fd = strcmp(path, "/dev/stderr") == 0 ? STDERR_FILENO : sink_open(path);
	if (fd < 0)
		return err_set(err, fd, "the access log %s cannot be opened: %s", path, strerror(-fd));
	pthread_mutex_lock(&writer.lock);
	writer.sinks[writer.n_sinks] = (struct sink){ .path = xstrdup(path), .fd = fd };
	fd = writer.n_sinks++;
	pthread_mutex_unlock(&writer.lock);
	return fd;
}

void log_reopen(void)
{
	for (int i = 1; i < writer.n_sinks; i++) {
		struct sink *s = &writer.sinks[i];
		int fd = s->fd == STDERR_FILENO ? -1 : sink_open(s->path);

		if (fd < 0)
			continue;
		/* The number stays, so that a write under way ends in the old file. */
		dup3(fd, s->fd, O_CLOEXEC);
		close(fd);
	}
}

bool log_on(enum log_scope scope, enum log_level level)
{
	return (int)level <= atomic_load_explicit(&levels[scope], memory_order_relaxed);
}

uint64_t log_dropped(void)
{
	return atomic_load(&dropped);
}

static void put_head(struct buf *out, enum log_scope scope, enum log_level level, struct str msg)
{
	buf_reserve(out, HEAD_BYTES + LINE_BYTES + msg.n);
	if (writer.json) {
		buf_printf(out, "{\"level\":\"%s\",\"time\":\"", level_names[level]);
		put_time(out);
		buf_printf(out, "\",\"scope\":\"%s\",\"message\":", scope_names[scope]);
		buf_json_str(out, msg);
	} else {
		put_time(out);
		buf_printf(out, "\t%s\t%s\t%.*s\t", level_names[level], scope_names[scope], STR_FMT(msg));
	}
}

void log_fields(enum log_scope scope, enum log_level level, const char *msg, const struct log_field *f, int n)
{
	struct buf out = { 0 };

	if (!log_on(scope, level))
		return;
	put_head(&out, scope, level, str_c(msg));
	for (int i = 0; i < n; i++) {
		buf_puts(&out, writer.json ? ",\"" : i ? " " : "");
		buf_puts(&out, f[i].key);
		buf_puts(&out, writer.json ? "\":" : "=");
		if (!f[i].value.p)
			put_number(&out, f[i].number);
		else if (f[i].bare && !writer.json)
			buf_append(&out, f[i].value.p, f[i].value.n);
		else
			buf_json_str(&out, f[i].value);
	}
	buf_puts(&out, writer.json ? "}\n" : "\n");
	emit(&out);
}

void log_msg(enum log_scope scope, enum log_level level, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (!log_on(scope, level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A message may quote what a peer sent: one line stays one line. */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	log_fields(scope, level, text, NULL, 0);
}

/* ztunnel's modules, and where their matter is said here. */
static const struct {
	const char *module;
	enum log_scope scope;
} modules[] = {
	{ "proxyfactory", LOG_INPOD }, { "cert_fetcher", LOG_IDENTITY }, { "rbac", LOG_POLICY }, { "state", LOG_POLICY },
	{ "app", LOG_MAIN }, { "drain", LOG_MAIN }, { "config", LOG_MAIN }, { "signal", LOG_MAIN }, { "proxy", LOG_HBONE },
	{ "socket", LOG_NET }, { "copy", LOG_IO }, { "readiness", LOG_ADMIN }, { "metrics", LOG_ADMIN }, { "telemetry", LOG_ADMIN },
};

int log_scope_parse(struct str name)
{
	struct str crate = str_c("ztunnel"), rest;

	if (str_is(name, "ztunnel"))
		return LOG_SCOPES;
	if (str_starts(name, crate) && name.n > crate.n + 2 && name.p[crate.n] == ':' && name.p[crate.n + 1] == ':')
		name = (struct str){ name.p + crate.n + 2, name.n - crate.n - 2 };
	name = str_cut(name, ':', &rest);
	for (int i = 0; i < LOG_SCOPES; i++)
		if (str_is(name, scope_names[i]))
			return i;
	for (size_t i = 0; i < ARRAY_LEN(modules); i++)
		if (str_is(name, modules[i].module))
			return (int)modules[i].scope;
	return -ENOENT;
}

const char *log_scope_name(enum log_scope scope)
{
	return scope_names[scope];
}

int log_level_parse(struct str s)
{
	for (int i = 0; i < (int)ARRAY_LEN(level_names); i++)
		if (str_eq_nocase(s, str_c(level_names[i])) || (s.n == 1 && s.p[0] == '0' + i))
			return i;
	if (str_eq_nocase(s, str_c("warning")))
		return LOG_WARN;
	return str_eq_nocase(s, str_c("critical")) ? LOG_ERROR : -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

/* "scope=level", as istioctl's help has it "scope:level", or a level for all. */
static int one_parse(struct str spec, int *scope, struct err *err)
{
	struct str level_text, name = str_cut(spec, '=', &level_text);
	int level;

	if (!level_text.p) {
		size_t i = spec.n;

		while (i && spec.p[i - 1] != ':')
			i--;
		level_text = (struct str){ spec.p + i, spec.n - i };
		name = (struct str){ spec.p, i ? i - 1 : 0 };
	}
	level = log_level_parse(level_text);
	*scope = name.n ? log_scope_parse(name) : LOG_SCOPES;
	if (level < 0)
		return err_set(err, -EINVAL, "log level: want off, error, warn, info, debug or trace, got '%.*s'", STR_FMT(level_text));
	if (*scope < 0)
		return err_set(err, -EINVAL, "log level: no scope '%.*s'; want access, dns, hbone, identity, inpod, io, main, net, policy, "
			       "source, tls, xds or admin", STR_FMT(name));
	return level;
}

int log_set_levels(struct str spec, struct err *err)
{
	int set[LOG_SCOPES], scope;

	for (int i = 0; i < LOG_SCOPES; i++)
		set[i] = atomic_load(&levels[i]);
	/* The bare level first, so that "access=debug,info" means what it says. */
	for (int bare = 1; bare >= 0; bare--) {
		for (struct str rest = spec; rest.p;) {
			int level = one_parse(str_cut(rest, ',', &rest), &scope, err);

			if (level < 0)
				return level;
			for (int i = 0; i < LOG_SCOPES; i++)
				if (bare ? scope == LOG_SCOPES : scope == i)
					set[i] = level;
		}
	}
	for (int i = 0; i < LOG_SCOPES; i++)
		atomic_store(&levels[i], set[i]);
	return 0;
}

void log_reset_levels(void)
{
	for (int i = 0; i < LOG_SCOPES; i++)
		atomic_store(&levels[i], started_levels[i]);
}

void log_levels_format(struct buf *out)
{
	int base = atomic_load(&levels[LOG_MAIN]);

	for (int i = 0; i < LOG_SCOPES; i++)
		if (atomic_load(&levels[i]) != base)
			buf_printf(out, "%s=%s,", scope_names[i], level_names[atomic_load(&levels[i])]);
	buf_puts(out, level_names[base]);
}
