/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/mx.h"

#include <stdlib.h>

#include "base/buf.h"
#include "telemetry/peermeta.h"
#include "tls/tls.h"

enum reading { READ_HEAD, READ_BODY, READ_OVER /* more than LIMIT_PEER_BYTES */, READ_DONE };

struct mx {
	struct stage stage;
	struct stage *below;         /* owned until done */
	struct buf own;              /* our frame; empty: written */
	struct buf early;            /* written before OPEN */
	struct buf in;               /* of the peer's frame; kept when peer borrows from it */
	struct peer peer;
	size_t body_bytes;           /* that are still to come */
	enum reading reading;
	bool open, known, shut, done;
	bool (*agreed)(const struct stage *below);
	mx_peer_fn *on_peer;
	void *arg;
	struct deferred grave, notify;
};

static struct mx *mx_of(struct stage *s)
{
	return container_of(s, struct mx, stage);
}

static void write_out(struct mx *m, struct buf *b)
{
	struct iovec iov = { buf_data(b), buf_len(b) };

	if (iov.iov_len)
		stage_write(m->below, &iov, 1);
	buf_done(b);
}

static void introduce(struct mx *m)
{
	write_out(m, &m->own);
}

static void pass_on(struct mx *m, const uint8_t *p, size_t n)
{
	struct iovec iov = { (void *)p, n };

	if (n && !m->done)
		stage_emit(&m->stage, STAGE_DATA, &iov, 1);
}

static void take_body(struct mx *m)
{
	m->reading = READ_DONE;
	m->known = peermeta_parse_body(buf_str(&m->in), &m->peer);
	if (!m->known)
		buf_done(&m->in);
	else if (m->on_peer)
		m->on_peer(m->arg, &m->peer);
}

/* Of the frame; the rest is the peer's own. Returns how many bytes it took. */
static size_t take(struct mx *m, const uint8_t *p, size_t n)
{
	size_t want = m->reading == READ_HEAD ? PEERMETA_FRAME_HEAD - buf_len(&m->in) : m->body_bytes;
	size_t part = n < want ? n : want;

	if (m->reading == READ_OVER) {
		m->body_bytes -= part;
		m->reading = m->body_bytes ? READ_OVER : READ_DONE;
		return part;
	}
	if (buf_append(&m->in, p, part) < 0)
		return 0;
	if (m->reading == READ_BODY) {
		m->body_bytes -= part;
		if (!m->body_bytes)
			take_body(m);
		return part;
	}
	switch (peermeta_frame_head(buf_str(&m->in), &m->body_bytes)) {
	case 1:
		break;
	case 0:
		buf_consume(&m->in, buf_len(&m->in));
		m->reading = m->body_bytes > LIMIT_PEER_BYTES ? READ_OVER : READ_BODY;
		if (!m->body_bytes)
			m->reading = READ_DONE;
		break;
	default:
		/* The peer agreed on the protocol and does not speak it: all is his own. */
		m->reading = READ_DONE;
		pass_on(m, buf_data(&m->in), buf_len(&m->in));
		buf_done(&m->in);
	}
	return part;
}

static void on_data(struct mx *m, const struct iovec *iov, int n)
{
	introduce(m);
	if (m->reading == READ_DONE) {
		stage_emit(&m->stage, STAGE_DATA, iov, n);
		return;
	}
	for (int i = 0; i < n && !m->done; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left && m->reading != READ_DONE && !m->done) {
			size_t took = take(m, p, left);

			if (!took) {
				m->stage.fail = FAIL_MEMORY;
				stage_emit(&m->stage, STAGE_CLOSED, NULL, 0);
				return;
			}
			p += took;
			left -= took;
		}
		pass_on(m, p, left);
	}
}

static void on_open(struct mx *m)
{
	m->open = true;
	if (m->agreed(m->below)) {
		introduce(m);
	} else {
		buf_done(&m->own);
		m->reading = READ_DONE;
	}
	write_out(m, &m->early);
	stage_set_queued(&m->stage, m->below->queued);
	if (m->shut)
		stage_shut(m->below);
}

static void on_below(struct stage *below, enum stage_event ev, const struct iovec *iov, int n)
{
	struct mx *m = below->arg;

	switch (ev) {
	case STAGE_DATA:
		on_data(m, iov, n);
		return;
	case STAGE_EOF:
		/* He ended in the middle of what may have been a frame, or his own. */
		if (m->reading == READ_HEAD)
			pass_on(m, buf_data(&m->in), buf_len(&m->in));
		m->reading = READ_DONE;
		if (!m->known)
			buf_done(&m->in);
		break;
	case STAGE_DRAINED:
		stage_set_queued(&m->stage, below->queued);
		return;
	case STAGE_CLOSED:
		m->stage.fail = below->fail;
		break;
	case STAGE_OPEN:
		on_open(m);
		break;
	}
	if (!m->done)
		stage_emit(&m->stage, ev, NULL, 0);
}

static void report(struct deferred *d)
{
	stage_emit(&container_of(d, struct mx, notify)->stage, STAGE_CLOSED, NULL, 0);
}

/* A write never calls back. */
static void fail_later(struct mx *m)
{
	m->stage.fail = FAIL_MEMORY;
	m->notify.run = report;
	loop_defer(m->stage.loop, &m->notify);
}

static void mx_write(struct stage *s, const struct iovec *iov, int n)
{
	struct mx *m = mx_of(s);

	if (m->done)
		return;
	if (!m->open) {
		if (buf_append_iov(&m->early, iov, n, 0) < 0)
			fail_later(m);
		stage_set_queued(s, buf_len(&m->early));
		return;
	}
	introduce(m);
	stage_write(m->below, iov, n);
	stage_set_queued(s, m->below->queued);
}

static void mx_want(struct stage *s, bool read)
{
	stage_want(mx_of(s)->below, read);
}

static void mx_shut(struct stage *s)
{
	struct mx *m = mx_of(s);

	m->shut = true;
	if (!m->open)
		return;
	introduce(m);
	stage_shut(m->below);
}

static void mx_free(struct deferred *d)
{
	struct mx *m = container_of(d, struct mx, grave);

	buf_done(&m->in);
	buf_done(&m->own);
	buf_done(&m->early);
	free(m);
}

static void mx_done(struct stage *s, enum fail why)
{
	struct mx *m = mx_of(s);

	if (m->done)
		return;
	m->done = true;
	stage_done(m->below, why);
	m->grave.run = mx_free;
	loop_bury(s->loop, &m->grave);
}

static const struct stage_ops mx_stage = { .name = "mx", .write = mx_write, .want = mx_want, .shut = mx_shut, .done = mx_done };

static struct stage *make(struct stage *below, struct str own, bool open, mx_peer_fn *on_peer, void *arg)
{
	struct mx *m = calloc(1, sizeof(*m));

	if (!m || buf_append(&m->own, own.p, own.n) < 0) {
		free(m);
		stage_done(below, FAIL_MEMORY);
		return NULL;
	}
	m->stage = (struct stage){ .ops = &mx_stage, .loop = below->loop, .queued = below->queued };
	m->below = below;
	m->open = open;
	m->on_peer = on_peer;
	m->arg = arg;
	below->on_event = on_below;
	below->arg = m;
	return &m->stage;
}

struct stage *mx_server(struct stage *below, struct str own, mx_peer_fn *on_peer, void *arg)
{
	return make(below, own, true, on_peer, arg);
}

struct stage *mx_client(struct stage *below, struct str own, bool (*agreed)(const struct stage *below))
{
	struct stage *s = make(below, own, false, NULL, NULL);

	if (s)
		mx_of(s)->agreed = agreed;
	return s;
}

void mx_on_peer(struct stage *s, mx_peer_fn *on_peer, void *arg)
{
	struct mx *m = mx_of(s);

	if (s->ops != &mx_stage)
		return;
	m->on_peer = on_peer;
	m->arg = arg;
	if (m->known)
		on_peer(arg, &m->peer);
}

bool mx_agreed(const struct stage *tls)
{
	return str_is(tls_alpn(tls), "istio-peer-exchange");
}

struct stage *mx_below(struct stage *s)
{
	return s->ops == &mx_stage ? mx_of(s)->below : s;
}
