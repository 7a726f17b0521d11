/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration directory consists of; for confdir*.c only. */
#ifndef SOURCE_CONFDIR_INT_H
#define SOURCE_CONFDIR_INT_H

#include <sys/stat.h>

#include "base/map.h"
#include "model/meshconfig.h"
#include "source/conf.h"
#include "source/confdir.h"
#include "source/confscan.h"
#include "source/link.h"

struct conf_file {
	unsigned refs;
	unsigned id;
	const char *path;
	struct stat st;
	bool fresh;               /* read by the present load */
	struct conf_obj **objs;   /* references held */
	size_t n, cap;
	struct report report;
};

/* All that one successful load leaves. */
struct state {
	struct conf_file **files;
	size_t n_files;
	struct conf_file *mesh;           /* mesh.yaml; NULL: there is none */
	struct mesh_settings settings;
	struct mesh_config *config;       /* holds the settings' strings, but for those of the base; NULL: no mesh.yaml */
	struct conf_obj **live;           /* sorted by kind and key_hash; one of each; references held */
	uint64_t *live_hash;              /* key_hash of each */
	size_t n_live;
	struct report cross;              /* findings about more than one object */
	struct link_set set;
};

struct confdir {
	char *dir;
	struct mesh_settings base;
	struct state s;
	uint64_t loads;
	struct map ids;                   /* path -> its place in `paths`, plus one */
	const char **paths;
	size_t n_paths;
	char *held_back;                  /* "" when the last load succeeded */
	struct report held;               /* what the files of a load that was held back said */
};

/* Fills next's settings and files from what the scan found, taking over what is unchanged. Goes on after a file that cannot
 * be parsed, to name them all in c->held; the first is in err. */
int confdir_read_files(struct confdir *c, const struct confscan *scan, struct state *next, struct err *err);
bool confdir_same_settings(const struct mesh_settings *a, const struct mesh_settings *b);
/* conf_load's find over a state. */
struct conf_obj *confdir_live_find(void *state, enum conf_kind kind, const char *ns, const char *name);

#endif
