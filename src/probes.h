/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelet's probes of the application, which injection leads to the status port (ISTIO_KUBE_APP_PROBERS): they are made here, from
 * the address that capture leaves alone, and so need neither a certificate nor a policy. */
#ifndef SRC_PROBES_H
#define SRC_PROBES_H

#include "base/err.h"
#include "http/h1server.h"
#include "io/loop.h"

struct probes;

/* json as ISTIO_KUBE_APP_PROBERS has it; mark: of sockets; 0: none. */
int probes_new(struct loop *l, const char *json, unsigned mark, struct probes **ret, struct err *err);
void probes_free(struct probes *p);          /* NULL ok */
/* Answers rq, whose path names a probe; ip: of the application. */
void probes_answer(struct probes *p, struct h1server_request *rq, const struct ip *ip);

#endif
