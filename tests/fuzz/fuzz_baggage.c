/* SPDX-License-Identifier: Apache-2.0 */
/* HBONE's headers: baggage, forwarded, XFCC, traceparent, authority. */
#include "hbone/baggage.h"
#include "http/xfcc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data, n }, host;
	struct baggage b = { 0 };
	struct buf out = { 0 };
	struct addr a;

	baggage_parse(in, &b);
	baggage_format(&b, &out);
	forwarded_host(in);
	forwarded_for(in);
	xfcc_caller(in, str_c("spiffe://a/b"));
	traceparent_valid(in);
	authority_parse(in, &a, &host);
	buf_done(&out);
	return 0;
}
