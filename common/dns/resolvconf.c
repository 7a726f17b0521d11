/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolvconf.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MS    1000
#define MAX_BYTES  (64 * 1024)

void resolvconf_init(struct resolvconf *c, const char *path)
{
	*c = (struct resolvconf){ .path = path ? path : "/etc/resolv.conf" };
}

static void forget(struct resolvconf *c)
{
	while (c->n_search > 0)
		free(c->search[--c->n_search]);
	c->n_servers = 0;
}

void resolvconf_done(struct resolvconf *c)
{
	forget(c);
}

static struct str next_word(struct str *rest)
{
	struct str word;

	while (rest->n && isspace((unsigned char)*rest->p)) {
		rest->p++;
		rest->n--;
	}
	word = (struct str){ rest->p, 0 };
	while (rest->n && !isspace((unsigned char)*rest->p)) {
		rest->p++;
		rest->n--;
		word.n++;
	}
	return word;
}

static void add_search(struct resolvconf *c, struct str domain)
{
	char *copy;

	while (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	while (domain.n && domain.p[0] == '.') {
		domain.p++;
		domain.n--;
	}
	if (!domain.n || domain.n > 253 || c->n_search == RESOLVCONF_SEARCH)
		return;
	copy = str_dup(domain);
	for (char *p = copy; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	c->search[c->n_search++] = copy;
}

static void take_line(struct resolvconf *c, struct str line)
{
	struct str key = next_word(&line), word;

	if (str_is(key, "nameserver")) {
		struct addr a = { .port = 53 };

		/* An address of a link ("fe80::1%eth0") means nothing in another network namespace. */
		if (c->n_servers < RESOLVCONF_SERVERS && ip_parse(next_word(&line), &a.ip) == 0)
			c->servers[c->n_servers++] = a;
	} else if (str_is(key, "search") || str_is(key, "domain")) {
		while (c->n_search > 0)          /* the last one counts */
			free(c->search[--c->n_search]);
		while ((word = next_word(&line)).n)
			add_search(c, word);
	}
}

void resolvconf_parse(struct resolvconf *c, struct str text)
{
	forget(c);
	while (text.n) {
		struct str rest, line = str_cut(text, '\n', &rest);

		take_line(c, line);
		text = rest;
	}
}

static void read_file(struct resolvconf *c, int fd)
{
	char *text = xmalloc(MAX_BYTES);
	size_t n = 0;
	ssize_t got;

	while (n < MAX_BYTES && (got = read(fd, text + n, MAX_BYTES - n)) > 0)
		n += (size_t)got;
	resolvconf_parse(c, (struct str){ text, n });
	free(text);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

void resolvconf_refresh(struct resolvconf *c, uint64_t now_ms)
{
	struct stat st;
	int fd;

	if (c->looked_ms && now_ms - c->looked_ms < LOOK_MS)
		return;
	c->looked_ms = now_ms ? now_ms : 1;
	if (stat(c->path, &st) == 0 && same_file(&st, &c->seen))
		return;
	fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)              /* while it is replaced, what it said holds */
		return;
	if (fstat(fd, &c->seen) == 0 && S_ISREG(c->seen.st_mode))
		read_file(c, fd);
	close(fd);
}
