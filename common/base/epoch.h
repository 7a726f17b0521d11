/* SPDX-License-Identifier: Apache-2.0 */
/* Deferred reclamation: readers look at shared immutable objects only between epoch_wake and epoch_sleep; an object that
 * was unlinked is freed when each reader has passed a turn or sleeps. Readers never wait and never lock. */
#ifndef BASE_EPOCH_H
#define BASE_EPOCH_H

#include <stdatomic.h>

struct epoch_reader {
	_Alignas(64) atomic_ulong turn;   /* odd: awake */
	struct epoch_reader *next;
};

void epoch_join(struct epoch_reader *r);      /* starts asleep; call before the first wake, once per thread */
void epoch_leave(struct epoch_reader *r);
void epoch_wake(struct epoch_reader *r);      /* before touching shared objects, once per loop turn */
void epoch_sleep(struct epoch_reader *r);     /* before blocking */
/* Calls free_fn(obj) once no reader can see obj any more. One writer thread. Frees what is due at once, the rest in a
 * later call of epoch_retire or epoch_collect. */
void epoch_retire(void *obj, void (*free_fn)(void *obj));
int epoch_collect(void);                      /* returns how many still wait */
/* The same from any thread: freed by a later call of the writer, on its thread. */
void epoch_defer(void *obj, void (*free_fn)(void *obj));

#endif
