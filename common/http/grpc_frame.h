/* SPDX-License-Identifier: Apache-2.0 */
/* What gRPC puts into HTTP/2: length-prefixed messages, and the status in trailers. */
#ifndef HTTP_GRPC_FRAME_H
#define HTTP_GRPC_FRAME_H

#include "base/buf.h"
#include "http/grpc.h"

#define GRPC_PREFIX_BYTES 5

/* Embed it, zeroed apart from limit and arg. */
struct grpc_frame {
	size_t limit;             /* of one message */
	struct buf part;          /* a message that is still arriving, with its prefix */
	/* msg is lent. False: stop, nothing more is wanted. */
	bool (*on_message)(struct grpc_frame *f, struct str msg);
};

/* Takes bytes as they come. Other than GRPC_OK: the stream cannot be read on, err says why. */
enum grpc_code grpc_frame_feed(struct grpc_frame *f, const uint8_t *p, size_t n, struct err *err);
bool grpc_frame_partial(const struct grpc_frame *f);      /* the stream ended in the middle of a message */
void grpc_frame_done(struct grpc_frame *f);
void grpc_frame_prefix(size_t n, uint8_t ret[GRPC_PREFIX_BYTES]);   /* n < 4 GiB */

/* "14" to the code; GRPC_UNKNOWN for what is none. */
enum grpc_code grpc_status_parse(struct str text);
/* grpc-message: percent-decoded where that is possible, control characters become blanks. */
void grpc_message_parse(struct str text, struct buf *out);
enum grpc_code grpc_code_of_http(int status);             /* a reply without grpc-status */
enum grpc_code grpc_code_of_h2(uint32_t error);           /* RST_STREAM */

#endif
