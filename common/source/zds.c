/* SPDX-License-Identifier: Apache-2.0 */
#include "source/zds.h"

#include <errno.h>
#include <stdio.h>

#include "proto/zds.pb-c.h"

#define ERROR_MAX 512     /* of an ack: it must fit into a packet */

static int copy(const char *from, const char *what, char *to, size_t room, struct err *err)
{
	if (strlen(from) >= room)
		return err_set(err, -EPROTO, "%s is longer than %zu bytes", what, room - 1);
	for (const char *c = from; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return err_set(err, -EPROTO, "%s has control characters", what);
	snprintf(to, room, "%s", from);
	return 0;
}

static int copy_uid(const char *uid, struct zds_request *ret, struct err *err)
{
	return uid[0] ? copy(uid, "uid", ret->uid, sizeof(ret->uid), err) : err_set(err, -EPROTO, "uid is missing");
}

static int copy_add(const Zds__AddWorkload *a, struct zds_request *ret, struct err *err)
{
	const Zds__WorkloadInfo *w = a->workload_info;
	int r = copy_uid(a->uid, ret, err);

	ret->has_info = w != NULL;
	if (r < 0 || !w)
		return r;
	if (!w->name[0] || !w->namespace_[0])
		return err_set(err, -EPROTO, "workload_info: name and namespace are wanted");
	r = copy(w->name, "workload_info.name", ret->name, sizeof(ret->name), err);
	if (r == 0)
		r = copy(w->namespace_, "workload_info.namespace", ret->ns, sizeof(ret->ns), err);
	if (r == 0)
		r = copy(w->service_account, "workload_info.service_account", ret->service_account, sizeof(ret->service_account), err);
	return r;
}

int zds_parse(const void *packet, size_t n, struct zds_request *ret, struct err *err)
{
	Zds__WorkloadRequest *m = zds__workload_request__unpack(NULL, n, packet);
	struct zds_request q = { .kind = ZDS_UNKNOWN };
	int r = 0;

	if (!m)
		return err_set(err, -EPROTO, "not a WorkloadRequest");
	switch (m->payload_case) {
	case ZDS__WORKLOAD_REQUEST__PAYLOAD_ADD:
		q.kind = ZDS_ADD;
		r = copy_add(m->add, &q, err);
		break;
	case ZDS__WORKLOAD_REQUEST__PAYLOAD_DEL:
		q.kind = ZDS_DEL;
		r = copy_uid(m->del->uid, &q, err);
		break;
	case ZDS__WORKLOAD_REQUEST__PAYLOAD_KEEP:
		q.kind = ZDS_KEEP;
		r = copy_uid(m->keep->uid, &q, err);
		break;
	case ZDS__WORKLOAD_REQUEST__PAYLOAD_SNAPSHOT_SENT:
		q.kind = ZDS_SNAPSHOT;
		break;
	default:
		break;
	}
	zds__workload_request__free_unpacked(m, NULL);
	if (r == 0)
		*ret = q;
	return r;
}

void zds_hello(struct buf *out)
{
	Zds__ZdsHello m = ZDS__ZDS_HELLO__INIT;
	uint8_t packet[16];

	m.version = ZDS__VERSION__V1;
	buf_append(out, packet, zds__zds_hello__pack(&m, packet));
}

void zds_ack(struct buf *out, const char *error)
{
	Zds__WorkloadResponse m = ZDS__WORKLOAD_RESPONSE__INIT;
	Zds__Ack ack = ZDS__ACK__INIT;
	char text[ERROR_MAX];
	uint8_t packet[ERROR_MAX + 32];

	snprintf(text, sizeof(text), "%s", error);
	ack.error = text;
	m.payload_case = ZDS__WORKLOAD_RESPONSE__PAYLOAD_ACK;
	m.ack = &ack;
	buf_append(out, packet, zds__workload_response__pack(&m, packet));
}
