/* SPDX-License-Identifier: Apache-2.0 */
/* x-forwarded-client-cert (Envoy's format): a list of elements "By=…;Hash=…;Subject=\"…\";URI=…", each added by a proxy, By, that saw the
 * certificate of its peer. A waypoint says so for whom it asks. Parser of bytes from outside. */
#ifndef HTTP_XFCC_H
#define HTTP_XFCC_H

#include "base/buf.h"
#include "base/str.h"

void xfcc_format(struct str by, struct str caller, struct buf *out);     /* an element */
/* The URI, a SPIFFE ID, of the last element, if that is by's; whatever is not clear: empty. Whether `by` is believed is not decided here. */
struct str xfcc_caller(struct str value, struct str by);

#endif
