/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf's wire format, field by field and without a copy: a push of 100 000 resources is read where it lies, while
 * protobuf-c would build all of them at once. https://protobuf.dev/programming-guides/encoding/ */
#ifndef SOURCE_WIRE_H
#define SOURCE_WIRE_H

#include "base/str.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire {
	struct str rest;             /* what is still to be read */
	unsigned field;              /* the present field's number */
	enum wire_type type;
	uint64_t number;             /* of every type but WIRE_BYTES */
	struct str bytes;            /* of WIRE_BYTES; lent from the message */
	bool bad;                    /* the message ended early, or is no protobuf */
};

static inline struct wire wire_of(struct str message)
{
	return (struct wire){ .rest = message };
}

/* The next field. False at the end, and when the message is bad. */
bool wire_next(struct wire *w);

#endif
