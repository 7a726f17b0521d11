/* SPDX-License-Identifier: Apache-2.0 */
/* A server fed with bytes: the first byte says how they are cut into reads. */
#include "http/conn.h"
#include "http/h1.h"
#include "tests/unit/memstage.h"

static const struct http_field no_fields[1];

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct http_stream *hs = container_of(s, struct http_stream, stage);
	volatile size_t sum = 0;     /* every lent byte is read */

	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < iov[i].iov_len; k++)
			sum += ((const uint8_t *)iov[i].iov_base)[k];
	(void)sum;
	if (ev == STAGE_OPEN) {
		for (int i = 0; i < hs->head->n_fields; i++)
			sum += hs->head->fields[i].name.n && hs->head->fields[i].name.p[0];
		stage_want(s, true);
	} else if (ev == STAGE_EOF) {
		http_trailer(hs, "x");
		http_reply(hs, &(struct http_head){ .status = 200, .fields = no_fields, .end = true });
		*(struct http_stream **)s->arg = NULL;
		stage_done(s, FAIL_NONE);
	} else if (ev == STAGE_CLOSED) {
		*(struct http_stream **)s->arg = NULL;
		stage_done(s, FAIL_NONE);
	}
}

static void on_request(struct h1 *h, struct http_stream *s, void *arg)
{
	s->stage.on_event = on_stream;
	s->stage.arg = arg;
	*(struct http_stream **)arg = s;
}

static void on_closed(struct h1 *h, enum fail why, void *arg)
{
}

static const struct h1_ops ops = { .on_request = on_request, .on_closed = on_closed };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_stream *live = NULL;
	struct loop *l = loop_new(-1);
	struct memstage below;
	struct h1 *h;

	memstage_init(&below, l);
	h = h1_new(&below.stage, true, &http_conn_default, &ops, &live);
	if (n > 1)
		memstage_feed(&below, data + 1, n - 1, data[0] + 1u);
	if (!below.done)
		memstage_event(&below, STAGE_EOF, FAIL_NONE);
	if (live)
		stage_done(&live->stage, FAIL_DRAIN);
	if (!below.done)
		h1_close(h, FAIL_NONE);
	memstage_turn(&below);
	buf_done(&below.out);
	loop_free(l);
	return 0;
}
