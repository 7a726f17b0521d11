/* SPDX-License-Identifier: Apache-2.0 */
/* admin_request: the command line's side of the admin server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"

#define WAIT_S     10
#define REPLY_MAX  (256u << 20)

static int dial(const char *host, uint16_t port, struct err *err)
{
	struct timeval wait = { .tv_sec = WAIT_S };
	struct sockaddr_storage sa = { 0 };
	struct sockaddr_un *un = (struct sockaddr_un *)&sa;
	struct addr to = { .port = port };
	socklen_t len = sizeof(*un);
	int fd, error;

	if (host[0] == '/') {
		if (strlen(host) >= sizeof(un->sun_path))
			return err_set(err, -ENAMETOOLONG, "the path of the Unix socket is too long: %s", host);
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, host, strlen(host) + 1);
	} else if (ip_parse(str_c(host), &to.ip) == 0) {
		len = addr_to_sockaddr(&to, 0, &sa);
	} else {
		return err_set(err, -EINVAL, "want an IP address or the path of a Unix socket, got '%s'", host);
	}
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot open a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	error = errno;
	close(fd);
	if (host[0] == '/')
		return err_set(err, -error, "cannot connect to %s: %s; is meshd running, and is this its user?", host,
			       strerror(error));
	return err_set(err, -error, "cannot connect to %s port %u: %s; is meshd running here?", host, port,
		       strerror(error));
}

/* HTTP/1.0, so that the reply ends with the connection and is never chunked. */
static int exchange(int fd, const char *method, const char *path, struct buf *in, struct err *err)
{
	struct buf out = { 0 };
	ssize_t n = 0;

	buf_printf(&out, "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method, path);
	while (buf_len(&out) && (n = send(fd, buf_data(&out), buf_len(&out), MSG_NOSIGNAL)) > 0)
		buf_consume(&out, (size_t)n);
	buf_done(&out);
	while (n > 0) {
		uint8_t *at = buf_reserve(in, 65536);

		if (!at || buf_len(in) > REPLY_MAX)
			return err_set(err, -EFBIG, "the answer is too large");
		n = recv(fd, at, 65536, 0);
		if (n > 0)
			buf_added(in, (size_t)n);
	}
	if (n < 0)
		return err_set(err, -errno, "meshd did not answer: %s",
			       errno == EAGAIN ? "no reply within 10 s" : strerror(errno));
	return 0;
}

static int reply_parse(struct buf *in, struct buf *body, struct err *err)
{
	struct str s = buf_str(in), line, rest;
	const char *end = s.n ? memmem(s.p, s.n, "\r\n\r\n", 4) : NULL;
	uint64_t status;

	line = str_cut(s, ' ', &rest);
	if (!end || !str_starts(line, str_c("HTTP/1.")) || rest.n < 3 ||
	    !str_to_u64((struct str){ rest.p, 3 }, &status))
		return err_set(err, -EPROTO, "the answer is not HTTP: does something else listen there?");
	end += 4;
	if (buf_append(body, end, s.n - (size_t)(end - s.p)) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return (int)status;
}

int admin_request(const char *host, uint16_t port, const char *method, const char *path, struct buf *body,
		  struct err *err)
{
	struct buf in = { 0 };
	int fd = dial(host, port, err), r;

	if (fd < 0)
		return fd;
	r = exchange(fd, method, path, &in, err);
	close(fd);
	if (r == 0)
		r = reply_parse(&in, body, err);
	buf_done(&in);
	return r;
}
