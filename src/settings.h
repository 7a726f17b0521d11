/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment says of the mesh, before any file is read. */
#ifndef SRC_SETTINGS_H
#define SRC_SETTINGS_H

#include <stdbool.h>

#include "base/err.h"
#include "model/mesh.h"

int settings_read(struct mesh_settings *ret, struct err *err);
bool env_is_true(const char *name);     /* "true" or "1" */
bool env_is_false(const char *name);    /* "false" or "0" */

#endif
