/* SPDX-License-Identifier: Apache-2.0 */
/* `meshd authz test`: tables of requests and connections against a directory of policies, offline, by the engine that judges them in
 * the data plane. A file holds documents, each a table:
 *
 *   mode: sidecar                  # or ztunnel: how policies are read; sidecar when absent
 *   workload: prod/cart            # for tests that name none
 *   port: 8080
 *   tests:
 *   - name: the shop may read
 *     from: {principal: cluster.local/ns/web/sa/shop, address: 10.0.0.5}
 *     request: {method: GET, path: /items?x=1, host: cart.prod, headers: {x-team: [red]}, claims: {iss: https://id.test, sub: joe}}
 *     expect: ALLOW                # DENY; CUSTOM: a provider would be asked
 *     policy: prod/cart-readers    # the one that decides; any when absent
 *
 * Without `request` bytes are judged, as on a port that is not HTTP. Paths are normalised as mesh.yaml says. */
#ifndef SOURCE_AUTHZTEST_H
#define SOURCE_AUTHZTEST_H

#include "base/buf.h"
#include "base/err.h"
#include "model/mesh.h"

#define AUTHZTEST_FAILED 1

/* 0: all as expected; AUTHZTEST_FAILED: some not; negative with err: the directory or the file cannot be read. One line for each test that
 * fails, with what would have changed it, and one for all. */
int authztest_run(const char *dir, const char *file, const struct mesh_settings *base, struct buf *out, struct err *err);

#endif
