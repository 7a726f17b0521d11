/* SPDX-License-Identifier: Apache-2.0 */
/* Watches directories with inotify and says, after things have been quiet for a moment, that something changed: rename
 * into place, symlink swap (Kubernetes' ..data), editors, sub-folders made later. Also watches the folder of a single file. */
#ifndef IO_WATCH_H
#define IO_WATCH_H

#include "base/err.h"
#include "io/loop.h"

struct watch;
/* quiet_ms: silence needed before on_change; a steady stream of changes is reported at least every 10 × quiet_ms. */
struct watch *watch_new(struct loop *l, unsigned quiet_ms, void (*on_change)(void *arg), void *arg, struct err *err);
int watch_add_tree(struct watch *w, const char *dir, struct err *err);    /* recursive */
int watch_add_file(struct watch *w, const char *file, struct err *err);   /* its folder; also while it does not exist */
void watch_free(struct watch *w);

#endif
