/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/inpod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/log.h"
#include "source/zds.h"

#define FDS_MAX       8         /* of one packet; more are lost to MSG_CTRUNC */
#define TURN_PACKETS  64
#define BROKEN_MS     500       /* who breaks the protocol is not asked again sooner */

/* A pod that we were told of. */
struct entry {
	char *uid, *ns, *name, *service_account;   /* owned */
	struct netns_id id;
	int netns;                  /* owned while it is not up; the pod has it then */
	bool up, named;             /* named: in this snapshot */
	char problem[512];
};

struct inpod {
	struct loop *loop;
	const struct inpod_ops *ops;
	void *arg;
	struct sockaddr_un path;
	bool share_ports;
	struct map pods;            /* uid -> struct entry */
	ev_io io;
	int fd;                     /* -1: not connected */
	struct timer reconnect, retry;
	struct backoff backoff;
	char told[256];             /* the last reason for a lost connection that was logged */
	bool retired;
	bool complete;              /* this connection's snapshot is */
	uint64_t started, stopped;
};

static void changed(struct inpod *i)
{
	if (i->ops->on_change)
		i->ops->on_change(i->arg);
}

/* ---- pods ---- */

static struct entry *entry_new(struct inpod *i, const struct zds_request *q)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	e->uid = xstrdup(q->uid);
	e->ns = xstrdup(q->ns);
	e->name = xstrdup(q->name);
	e->service_account = xstrdup(q->service_account);
	e->netns = -1;
	map_put(&i->pods, str_c(e->uid), e);
	return e;
}

static void entry_free(struct entry *e)
{
	if (e->netns >= 0)
		close(e->netns);
	free(e->uid);
	free(e->ns);
	free(e->name);
	free(e->service_account);
	free(e);
}

static void entry_drop(struct inpod *i, struct entry *e)
{
	map_del(&i->pods, str_c(e->uid));
	if (e->up) {
		log_info(LOG_INPOD, "pod %s/%s (%s) is no longer served", e->ns, e->name, e->uid);
		i->ops->stop(str_c(e->uid), i->arg);
		i->stopped++;
	}
	entry_free(e);
}

/* False: it waits for another try, and e->problem says why. */
static bool entry_start(struct inpod *i, struct entry *e)
{
	struct pod_conf conf = {
		.id = e->uid, .ns = e->ns, .name = e->name, .service_account = e->service_account, .netns = e->netns,
		.share_ports = i->share_ports,
	};
	bool first = !e->problem[0];
	struct err err;

	if (i->ops->start(&conf, i->arg, &err) < 0) {
		snprintf(e->problem, sizeof(e->problem), "%.511s", err.msg);
		if (first)
			log_warn(LOG_INPOD, "pod %s/%s (%s) cannot be served yet: %s; tried again every %u s", e->ns, e->name, e->uid, err.msg,
				 LIMIT_POD_RETRY_MS / 1000);
		if (!timer_armed(&i->retry))
			timer_start(&i->retry, LIMIT_POD_RETRY_MS);
		return false;
	}
	e->netns = -1;
	e->up = true;
	e->problem[0] = '\0';
	i->started++;
	log_info(LOG_INPOD, "pod %s/%s (%s) is served", e->ns, e->name, e->uid);
	return true;
}

static void on_retry(struct timer *t)
{
	struct inpod *i = container_of(t, struct inpod, retry);

	map_each(slot, &i->pods) {
		struct entry *e = slot->value;

		if (!e->up)
			entry_start(i, e);
	}
	changed(i);
}

/* ---- requests: 0, or -errno with the nack's text; -EPROTO: the connection must go, too ---- */

static int add(struct inpod *i, const struct zds_request *q, int *fds, int n_fds, struct err *err)
{
	struct entry *e = map_get(&i->pods, str_c(q->uid));
	struct netns_id id;
	int r;

	if (n_fds != 1)
		return err_set(err, -EPROTO, "add of %s: want one network namespace as descriptor, got %d", q->uid, n_fds);
	if (!q->has_info)
		return err_set(err, -EPROTO, "add of %s: workload_info is missing", q->uid);
	r = netns_identify(fds[0], &id);
	if (r < 0)
		return err_set(err, r == -EPROTO ? -EINVAL : r, "add of %s: the descriptor is not a network namespace", q->uid);
	if (e && (e->id.dev != id.dev || e->id.ino != id.ino)) {
		log_info(LOG_INPOD, "pod %s has another network namespace: what runs in the old one is cut", q->uid);
		entry_drop(i, e);
		e = NULL;
	}
	if (!e) {
		e = entry_new(i, q);
		e->id = id;
		e->netns = fds[0];
		fds[0] = -1;
	}
	e->named = true;
	return e->up || entry_start(i, e) ? 0 : err_set(err, -EAGAIN, "failure to start proxy : %s", e->problem);
}

static void del(struct inpod *i, const struct zds_request *q)
{
	struct entry *e = map_get(&i->pods, str_c(q->uid));

	if (!e)
		log_debug(LOG_INPOD, "asked to delete the pod %s, which is not here", q->uid);
	else if (i->complete)
		entry_drop(i, e);
	else
		e->named = false;
}

static int keep(struct inpod *i, const struct zds_request *q, struct err *err)
{
	struct entry *e = map_get(&i->pods, str_c(q->uid));

	if (i->complete)
		return err_set(err, -EPROTO, "keep of %s after the snapshot", q->uid);
	if (e)
		e->named = true;
	else
		log_warn(LOG_INPOD, "asked to keep the pod %s, which is not here: the CNI must add it", q->uid);
	return 0;
}

static struct entry *unnamed(const struct inpod *i)
{
	map_each(slot, &i->pods) {
		struct entry *e = slot->value;

		if (!e->named)
			return e;
	}
	return NULL;
}

static int snapshot(struct inpod *i, struct err *err)
{
	struct entry *e;

	if (i->complete)
		return err_set(err, -EPROTO, "a second snapshot");
	while ((e = unnamed(i)) != NULL)
		entry_drop(i, e);
	i->complete = true;
	backoff_reset(&i->backoff);
	log_info(LOG_INPOD, "the CNI's snapshot is complete: %zu pods on this node", i->pods.len);
	return 0;
}

static int handle(struct inpod *i, const struct zds_request *q, int *fds, int n_fds, struct err *err)
{
	if (q->kind == ZDS_UNKNOWN)
		return err_set(err, -EOPNOTSUPP, "this message is not known here (ZDS version 1)");
	if (q->kind == ZDS_ADD && i->retired)
		return err_set(err, -EOPNOTSUPP, "this process is being replaced");
	if (q->kind != ZDS_ADD && n_fds)
		return err_set(err, -EPROTO, "a descriptor came with a message that wants none");
	switch (q->kind) {
	case ZDS_ADD:
		return add(i, q, fds, n_fds, err);
	case ZDS_DEL:
		del(i, q);
		return 0;
	case ZDS_KEEP:
		return keep(i, q, err);
	default:
		return snapshot(i, err);
	}
}

/* ---- the connection ---- */

static void lost(struct inpod *i, unsigned at_least_ms, const char *why)
{
	unsigned wait_ms = backoff_next(&i->backoff);

	if (i->fd >= 0) {
		ev_io_stop(i->loop->ev, &i->io);
		close(i->fd);
		i->fd = -1;
	}
	i->complete = false;
	if (i->retired)
		return;
	timer_start(&i->reconnect, wait_ms > at_least_ms ? wait_ms : at_least_ms);
	if (strcmp(why, i->told) != 0)
		log_warn(LOG_INPOD, "no connection to the CNI at %s: %s; pods stay as they are, and it is tried again (INPOD_UDS names the socket of "
			 "istio-cni's node agent, which must run on this node)", i->path.sun_path, why);
	snprintf(i->told, sizeof(i->told), "%.255s", why);
	changed(i);
}

static bool send_packet(struct inpod *i, struct buf *packet)
{
	ssize_t n = send(i->fd, buf_data(packet), buf_len(packet), MSG_NOSIGNAL | MSG_DONTWAIT);

	buf_done(packet);
	return n >= 0;
}

/* Appends the descriptors that came with a packet to fds; at most FDS_MAX. */
static int take_fds(struct msghdr *msg, int *fds)
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (int k = 0; k < count && n < FDS_MAX; k++)
			memcpy(&fds[n++], CMSG_DATA(c) + (size_t)k * sizeof(int), sizeof(int));
	}
	return n;
}

/* One packet. False: nothing is there, or the connection is gone. */
static bool receive(struct inpod *i)
{
	char data[ZDS_PACKET_MAX];
	union { char room[CMSG_SPACE(FDS_MAX * sizeof(int))]; struct cmsghdr align; } control;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(i->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fds[FDS_MAX], n_fds, r;
	struct zds_request q;
	struct buf answer = { 0 };
	struct err err = { "" };

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			lost(i, 0, n == 0 ? "it closed the connection" : strerror(errno));
		return false;
	}
	n_fds = take_fds(&msg, fds);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		r = err_set(&err, -EPROTO, "a packet of more than %d bytes or %d descriptors, or there is no descriptor left for it (ulimit -n)", ZDS_PACKET_MAX, FDS_MAX);
	else
		r = zds_parse(data, (size_t)n, &q, &err);
	if (r == 0)
		r = handle(i, &q, fds, n_fds, &err);
	for (int k = 0; k < n_fds; k++)
		if (fds[k] >= 0)
			close(fds[k]);
	zds_ack(&answer, err.msg);
	if (r < 0 && r != -EAGAIN)
		log_error(LOG_INPOD, "refused a message of the CNI: %s; is its version one that goes with this one?", err.msg);
	if (!send_packet(i, &answer)) {
		lost(i, 0, strerror(errno));
		return false;
	}
	if (r == -EPROTO) {
		lost(i, BROKEN_MS, err.msg);
		return false;
	}
	changed(i);
	return true;
}

static void on_readable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct inpod *i = w->data;

	for (int k = 0; k < TURN_PACKETS && receive(i); k++)
		;
}

static void on_reconnect(struct timer *t)
{
	struct inpod *i = container_of(t, struct inpod, reconnect);
	struct buf hello = { 0 };

	i->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	zds_hello(&hello);
	if (i->fd < 0 || connect(i->fd, (struct sockaddr *)&i->path, sizeof(i->path)) < 0) {
		buf_done(&hello);
		lost(i, 0, strerror(errno));
		return;
	}
	ev_io_init(&i->io, on_readable, i->fd, EV_READ);
	i->io.data = i;
	ev_io_start(i->loop->ev, &i->io);
	map_each(slot, &i->pods)
		((struct entry *)slot->value)->named = false;
	if (!send_packet(i, &hello)) {
		lost(i, 0, strerror(errno));
		return;
	}
	log_info(LOG_INPOD, "connected to the CNI at %s", i->path.sun_path);
	i->told[0] = '\0';
	changed(i);
}

/* ---- life ---- */

int inpod_new(struct loop *control, const struct inpod_conf *conf, const struct inpod_ops *ops, void *arg, struct inpod **ret, struct err *err)
{
	struct inpod *i;

	if (strlen(conf->path) >= sizeof(i->path.sun_path))
		return err_set(err, -ENAMETOOLONG, "INPOD_UDS: a socket's path has at most %zu bytes, got '%s'", sizeof(i->path.sun_path) - 1, conf->path);
	i = xcalloc(1, sizeof(*i));
	i->loop = control;
	i->ops = ops;
	i->arg = arg;
	i->fd = -1;
	i->share_ports = conf->share_ports;
	i->path.sun_family = AF_UNIX;
	snprintf(i->path.sun_path, sizeof(i->path.sun_path), "%s", conf->path);
	i->backoff = (struct backoff){ .min_ms = LIMIT_ZDS_BACKOFF_MIN_MS, .max_ms = LIMIT_ZDS_BACKOFF_MAX_MS };
	timer_init(&i->reconnect, control, on_reconnect);
	timer_init(&i->retry, control, on_retry);
	*ret = i;
	return 0;
}

void inpod_start(struct inpod *i)
{
	if (i->fd < 0 && !timer_armed(&i->reconnect))
		timer_start(&i->reconnect, 0);
}

void inpod_retire(struct inpod *i)
{
	i->retired = true;
	timer_stop(&i->reconnect);
	timer_stop(&i->retry);
}

void inpod_free(struct inpod *i)
{
	if (!i)
		return;
	timer_stop(&i->reconnect);
	timer_stop(&i->retry);
	if (i->fd >= 0) {
		ev_io_stop(i->loop->ev, &i->io);
		close(i->fd);
	}
	map_each(slot, &i->pods)
		entry_free(slot->value);
	map_done(&i->pods);
	free(i);
}

/* ---- what others ask ---- */

struct inpod_counts inpod_counts(const struct inpod *i)
{
	struct inpod_counts c = { .started = i->started, .stopped = i->stopped };

	map_each(slot, &i->pods)
		(*(((struct entry *)slot->value)->up ? &c.active : &c.pending))++;
	return c;
}

bool inpod_ready(const struct inpod *i, struct buf *why)
{
	unsigned pending = inpod_counts(i).pending;

	if (i->fd < 0)
		buf_printf(why, "not connected to the CNI at %s", i->path.sun_path);
	else if (!i->complete)
		buf_puts(why, "the CNI has not said yet which pods there are");
	else if (pending)
		buf_printf(why, "%u pods could not be started", pending);
	else
		return true;
	return false;
}

void inpod_each(const struct inpod *i, void (*fn)(const struct inpod_pod *p, void *arg), void *arg)
{
	map_each(slot, &i->pods) {
		const struct entry *e = slot->value;
		struct inpod_pod p = { e->uid, e->ns, e->name, e->service_account, e->up, e->problem };

		fn(&p, arg);
	}
}
