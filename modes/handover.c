/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "modes/pod.h"
#include "proto/handover.pb-c.h"

#define PROTOCOL    1
#define PACKET_MAX  8192
#define FDS_MAX     64      /* of one packet */

struct handover {
	struct loop *loop;
	struct proxy *proxy;
	const struct handover_ops *ops;
	void *arg;
	struct sockaddr_un path;
	ev_io accepting, reading;
	int listener;               /* -1: we do not hand over (yet, or any more) */
	int peer;                   /* the other meshd; -1: none */
	bool taking;                /* peer is the old one */
	struct netns_id peer_netns;
};

/* ---- packets ---- */

static bool send_message(int fd, const Handover__Message *m, const int *fds, int n_fds)
{
	uint8_t packet[PACKET_MAX];
	union { char room[CMSG_SPACE(FDS_MAX * sizeof(int))]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { packet, handover__message__get_packed_size(m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (iov.iov_len > sizeof(packet))
		return false;
	handover__message__pack(m, packet);
	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
		control.align = (struct cmsghdr){ CMSG_LEN((size_t)n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), fds, (size_t)n_fds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0;
}

/* A message, to be freed; NULL: none came. *n_fds descriptors are the caller's. */
static Handover__Message *receive_message(int fd, int flags, int fds[FDS_MAX], int *n_fds)
{
	uint8_t packet[PACKET_MAX];
	union { char room[CMSG_SPACE(FDS_MAX * sizeof(int))]; struct cmsghdr align; } control;
	struct iovec iov = { packet, sizeof(packet) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);

	*n_fds = 0;
	if (n == 0)
		errno = ECONNRESET;
	if (n <= 0)
		return NULL;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)*n_fds * sizeof(int));
	}
	errno = EPROTO;
	return msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? NULL : handover__message__unpack(NULL, (size_t)n, packet);
}

static bool send_plain(int fd, Handover__Message__WhatCase what)
{
	Handover__Message m = HANDOVER__MESSAGE__INIT;
	Handover__End end = HANDOVER__END__INIT;
	Handover__Serving serving = HANDOVER__SERVING__INIT;
	Handover__Released released = HANDOVER__RELEASED__INIT;

	m.what_case = what;
	if (what == HANDOVER__MESSAGE__WHAT_END)
		m.end = &end;
	else if (what == HANDOVER__MESSAGE__WHAT_SERVING)
		m.serving = &serving;
	else
		m.released = &released;
	return send_message(fd, &m, NULL, 0);
}

/* Only our own user: whoever has the sockets has the traffic. */
static bool is_ours(int fd, struct ucred *who)
{
	socklen_t n = sizeof(*who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &n) < 0)
		return false;
	if (who->uid == geteuid())
		return true;
	log_error(LOG_MAIN, "refused to hand over sockets to or from user %u (process %d): both must run as user %u", who->uid, who->pid, geteuid());
	return false;
}

/* ---- the old one ---- */

static bool send_pod(int fd, const struct pod_shared *s)
{
	for (int from = 0; from < s->n_sockets; from += FDS_MAX) {
		Handover__Message m = HANDOVER__MESSAGE__INIT;
		Handover__Sockets k = HANDOVER__SOCKETS__INIT;
		char *kinds[FDS_MAX];
		int fds[FDS_MAX], n = 0;

		for (int i = from; i < s->n_sockets && n < FDS_MAX; i++) {
			kinds[n] = (char *)pod_listener_name(s->sockets[i].kind);
			fds[n++] = s->sockets[i].fd;
		}
		k.pod = s->id;
		k.netns_dev = s->netns_id.dev;
		k.netns_ino = s->netns_id.ino;
		k.kinds = kinds;
		k.n_kinds = (size_t)n;
		m.what_case = HANDOVER__MESSAGE__WHAT_SOCKETS;
		m.sockets = &k;
		if (!send_message(fd, &m, fds, n))
			return false;
	}
	return true;
}

static bool send_all_pods(struct handover *h)
{
	map_each(slot, &h->proxy->pods)
		if (!send_pod(h->peer, slot->value))
			return false;
	return send_plain(h->peer, HANDOVER__MESSAGE__WHAT_END);
}

static void drop_peer(struct handover *h)
{
	if (h->peer < 0)
		return;
	ev_io_stop(h->loop->ev, &h->reading);
	close(h->peer);
	h->peer = -1;
}

static void stop_listening(struct handover *h)
{
	if (h->listener < 0)
		return;
	ev_io_stop(h->loop->ev, &h->accepting);
	close(h->listener);
	h->listener = -1;
}

static void give_all(struct handover *h)
{
	struct netns_id own = { 0 };
	int peer = h->peer;

	netns_identify(NETNS_OWN, &own);
	stop_listening(h);
	h->ops->on_taken(own.dev == h->peer_netns.dev && own.ino == h->peer_netns.ino, h->arg);
	send_plain(peer, HANDOVER__MESSAGE__WHAT_RELEASED);
	drop_peer(h);
}

static void on_old_message(struct handover *h, const Handover__Message *m)
{
	if (m->what_case == HANDOVER__MESSAGE__WHAT_TAKE) {
		h->peer_netns = (struct netns_id){ m->take->netns_dev, m->take->netns_ino };
		if (!send_all_pods(h))
			drop_peer(h);
	} else if (m->what_case == HANDOVER__MESSAGE__WHAT_SERVING) {
		give_all(h);
	}
}

/* ---- the new one ---- */

static void listen_here(struct handover *h);

static void released(struct handover *h)
{
	drop_peer(h);
	h->taking = false;
	proxy_disinherit(h->proxy);
	listen_here(h);
	h->ops->on_released(h->arg);
}

static void on_readable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct handover *h = w->data;
	int fds[FDS_MAX], n_fds;
	Handover__Message *m = receive_message(h->peer, MSG_DONTWAIT, fds, &n_fds);

	if (!m && errno == EAGAIN)
		return;
	for (int i = 0; i < n_fds; i++)
		close(fds[i]);
	if (h->taking && (!m || m->what_case == HANDOVER__MESSAGE__WHAT_RELEASED))
		released(h);
	else if (!m)
		drop_peer(h);        /* it changed its mind: we go on as before */
	else if (!h->taking)
		on_old_message(h, m);
	if (m)
		handover__message__free_unpacked(m, NULL);
}

static void watch_peer(struct handover *h)
{
	ev_io_init(&h->reading, on_readable, h->peer, EV_READ);
	h->reading.data = h;
	ev_io_start(h->loop->ev, &h->reading);
}

static void on_accept(struct ev_loop *ev, ev_io *w, int revents)
{
	struct handover *h = w->data;
	struct timeval patience = { .tv_sec = LIMIT_HANDOVER_MS / 1000 };
	struct ucred who;
	int fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (h->peer >= 0 || !is_ours(fd, &who)) {
		close(fd);
		return;
	}
	log_info(LOG_MAIN, "process %d asks for our listening sockets", who.pid);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	h->peer = fd;
	watch_peer(h);
}

/* Takes the place of a socket that an older process left. */
static void listen_here(struct handover *h)
{
	struct sockaddr_un fresh = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(fresh.sun_path, sizeof(fresh.sun_path), "%.*s.new", (int)sizeof(fresh.sun_path) - 5, h->path.sun_path);
	unlink(fresh.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&fresh, sizeof(fresh)) < 0 || listen(fd, 4) < 0 || rename(fresh.sun_path, h->path.sun_path) < 0) {
		log_warn(LOG_MAIN, "an upgrade of this process would lose connections: cannot listen on %s: %s", h->path.sun_path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	h->listener = fd;
	ev_io_init(&h->accepting, on_accept, fd, EV_READ);
	h->accepting.data = h;
	ev_io_start(h->loop->ev, &h->accepting);
}

static int connect_old(struct handover *h)
{
	struct timeval patience = { .tv_sec = LIMIT_HANDOVER_MS / 1000 };
	struct ucred who;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&h->path, sizeof(h->path)) == 0 && is_ours(fd, &who))
		return fd;
	close(fd);
	return -ENOENT;
}

static int keep_sockets(struct handover *h, const Handover__Sockets *k, const int *fds, int n_fds)
{
	struct netns_id id = { k->netns_dev, k->netns_ino };
	int n = 0;

	for (int i = 0; i < n_fds; i++) {
		if (i < (int)k->n_kinds && proxy_inherit(h->proxy, str_c(k->pod), &id, str_c(k->kinds[i]), fds[i]))
			n++;
		else
			close(fds[i]);   /* nothing that is known here */
	}
	return n;
}

/* The number of sockets; -1: it broke off. */
static int receive_all(struct handover *h, int fd)
{
	int fds[FDS_MAX], n_fds, n = 0;

	for (;;) {
		Handover__Message *m = receive_message(fd, 0, fds, &n_fds);
		bool sockets = m && m->what_case == HANDOVER__MESSAGE__WHAT_SOCKETS;
		bool end = m && m->what_case == HANDOVER__MESSAGE__WHAT_END;

		if (sockets)
			n += keep_sockets(h, m->sockets, fds, n_fds);
		for (int i = 0; !sockets && i < n_fds; i++)
			close(fds[i]);
		if (m)
			handover__message__free_unpacked(m, NULL);
		if (!m || end)
			return m ? n : -1;
	}
}

int handover_take(struct handover *h)
{
	Handover__Message m = HANDOVER__MESSAGE__INIT;
	Handover__Take take = HANDOVER__TAKE__INIT;
	struct netns_id own = { 0 };
	int n, fd = connect_old(h);

	if (fd < 0)
		return 0;
	netns_identify(NETNS_OWN, &own);
	take.version = PROTOCOL;
	take.netns_dev = own.dev;
	take.netns_ino = own.ino;
	m.what_case = HANDOVER__MESSAGE__WHAT_TAKE;
	m.take = &take;
	n = send_message(fd, &m, NULL, 0) ? receive_all(h, fd) : -1;
	if (n < 0) {
		log_warn(LOG_MAIN, "the running meshd did not hand over its sockets: %s", strerror(errno));
		proxy_disinherit(h->proxy);
		close(fd);
		return 0;
	}
	h->peer = fd;
	h->taking = true;
	watch_peer(h);
	log_info(LOG_MAIN, "took over %d listening sockets of the running meshd", n);
	return n;
}

void handover_serving(struct handover *h)
{
	if (!h->taking) {
		if (h->listener < 0)
			listen_here(h);
	} else if (!send_plain(h->peer, HANDOVER__MESSAGE__WHAT_SERVING)) {
		released(h);
	}
}

bool handover_pending(const struct handover *h)
{
	return h->taking;
}

/* ---- life ---- */

static int use_dir(const char *dir, struct err *err)
{
	struct stat st;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make the directory %s: %s", dir, strerror(errno));
	if (lstat(dir, &st) < 0)
		return err_set(err, -errno, "cannot use the directory %s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(err, -EPERM, "%s must be a directory that only user %u may enter (chmod 0700)", dir, geteuid());
	return 0;
}

int handover_new(struct loop *control, struct proxy *proxy, const char *dir, const struct handover_ops *ops, void *arg,
		 struct handover **ret, struct err *err)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	struct handover *h;
	int r = use_dir(dir, err);

	if (r < 0)
		return r;
	if (snprintf(path.sun_path, sizeof(path.sun_path) - 4, "%s/handover.sock", dir) >= (int)sizeof(path.sun_path) - 4)
		return err_set(err, -ENAMETOOLONG, "%s: the name is too long for a socket in it", dir);
	h = xcalloc(1, sizeof(*h));
	*h = (struct handover){ .loop = control, .proxy = proxy, .ops = ops, .arg = arg, .path = path, .listener = -1, .peer = -1 };
	*ret = h;
	return 0;
}

void handover_free(struct handover *h)
{
	if (!h)
		return;
	if (h->listener >= 0)
		unlink(h->path.sun_path);
	stop_listening(h);
	drop_peer(h);
	free(h);
}
