/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that the tables of several kinds share: how Istio's own validation judges the small things. Each reports through the walk,
 * under `path` relative to it, and returns whether the value is good. */
#ifndef SOURCE_CHECK_H
#define SOURCE_CHECK_H

#include "source/crd.h"

/* A host: "reviews" becomes "reviews.NS.svc.DOMAIN" with the walk's namespace; what has a dot or begins with a star stays. The
 * text is kept in the walk's arena. NULL: reported. */
const char *check_host(struct field_walk *w, const char *path, const char *host, bool wildcard);
/* In place, each of a list. */
bool check_hosts(struct field_walk *w, const char *path, struct field_strings *hosts, bool wildcard);
bool check_export_to(struct field_walk *w, const char *path, const struct field_strings *to);
bool check_selector(struct field_walk *w, const char *path, const struct label *v, int n);
/* Of policies: which workloads. targets: crd_target; NULL: the kind has none. */
bool check_targets(struct field_walk *w, const struct crd_selector *selector, const struct field_list *targets, const struct crd_target *target);
/* As the model has them; in `a`. Those that are wrong are left out. */
const struct target_ref *check_target_refs(struct arena *a, const struct field_list *targets, const struct crd_target *target, int *n);
/* Waypoints read what has targets, and nothing else does. False: it has no effect in this mode, which is said. */
bool check_has_effect(struct field_walk *w, bool has_targets);
bool check_regex(struct field_walk *w, const char *path, const char *text);
bool check_header_name(struct field_walk *w, const char *path, const char *name);
/* Of set and add: the name, which must be no pseudo-header but :authority, and the value with its %VARIABLES%. */
bool check_header_op(struct field_walk *w, const char *path, const char *name, const char *value);
bool check_subnets(struct field_walk *w, const char *path, const struct field_strings *v);
bool check_subset_name(struct field_walk *w, const char *path, const char *name);
bool check_no_empty(struct field_walk *w, const char *path, const struct field_strings *v);
/* Envoy's %OPERATORS%, and CEL, as the telemetry room reads them. */
bool check_format(struct field_walk *w, const char *path, const char *text);
bool check_cel(struct field_walk *w, const char *path, const char *text);
bool check_url(struct field_walk *w, const char *path, const char *url);        /* http or https */

#endif
