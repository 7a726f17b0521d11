/* SPDX-License-Identifier: Apache-2.0 */
/* What clients send of traces, request ids and addresses. First byte: which header. */
#include "telemetry/remote.h"
#include "telemetry/trace.h"
#include "telemetry/why.h"
#include "tests/unit/exchange_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const names[] = { "traceparent", "b3", "x-b3-traceid", "x-forwarded-for", "x-request-id" };
	struct exchange x;
	struct exchange_client client;
	struct trace t;
	struct str in;

	if (!n)
		return 0;
	in = (struct str){ (const char *)data + 1, n - 1 };
	exchange_fixture(&x, &client);
	fields_set(&x.request_fields, names[data[0] % ARRAY_LEN(names)], in);
	if (data[0] % ARRAY_LEN(names) == 2)
		fields_set(&x.request_fields, "x-b3-spanid", in);
	trace_begin(&t, &x, true, true);
	remote_addr(&x, data[0] >> 6);
	why_id_parse(in);
	if (uuid_reason(in))
		uuid_number(in);
	arena_done(&x.arena);
	return 0;
}
