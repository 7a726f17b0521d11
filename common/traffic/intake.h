/* SPDX-License-Identifier: Apache-2.0 */
/* What a sidecar does with a connection to its workload, by the bytes that it begins with: the table of modes/README.md. Pure. */
#ifndef TRAFFIC_INTAKE_H
#define TRAFFIC_INTAKE_H

#include "model/object.h"

enum intake_first {
	FIRST_BYTES,
	FIRST_REQUEST,               /* HTTP/1 or HTTP/2 */
	FIRST_TLS,                   /* not Istio's */
	FIRST_ISTIO_TLS,             /* with Istio's ALPN */
};

enum intake {
	INTAKE_BYTES,
	INTAKE_REQUESTS,
	INTAKE_END_TLS,              /* Istio's mutual TLS is ended; what is in it is judged next */
	INTAKE_REFUSE_PLAIN,         /* STRICT */
	INTAKE_REFUSE_TLS,           /* the port's protocol is HTTP */
};

bool intake_is_http(enum port_protocol p);
/* tunnelled: it came by HBONE, so that who it is was shown before. */
enum intake intake_of(enum port_protocol p, enum mtls_mode m, bool tunnelled, enum intake_first first);

#endif
