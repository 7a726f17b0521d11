/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/intake.h"

bool intake_is_http(enum port_protocol p)
{
	return p == PROTOCOL_HTTP || p == PROTOCOL_HTTP2 || p == PROTOCOL_GRPC;
}

enum intake intake_of(enum port_protocol p, enum mtls_mode m, bool tunnelled, enum intake_first first)
{
	bool tls = first == FIRST_TLS || first == FIRST_ISTIO_TLS;

	if (tls && !tunnelled && m != MTLS_DISABLE && (m != MTLS_PERMISSIVE || first == FIRST_ISTIO_TLS))
		return INTAKE_END_TLS;
	if (tls)
		return intake_is_http(p) ? INTAKE_REFUSE_TLS : INTAKE_BYTES;
	if (m == MTLS_STRICT && !tunnelled)
		return INTAKE_REFUSE_PLAIN;
	return intake_is_http(p) || (p == PROTOCOL_AUTO && first == FIRST_REQUEST) ? INTAKE_REQUESTS : INTAKE_BYTES;
}
