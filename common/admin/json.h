/* SPDX-License-Identifier: Apache-2.0 */
/* Writes indented JSON. key: the member's name inside an object, NULL inside an array and at the top. */
#ifndef ADMIN_JSON_H
#define ADMIN_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct json {
	struct buf *out;
	int depth;
	bool more;      /* something precedes in this object or array */
};

void json_open(struct json *j, const char *key, char bracket);   /* '{' or '[' */
void json_close(struct json *j, char bracket);                   /* '}' or ']' */
void json_str(struct json *j, const char *key, struct str value);
void json_text(struct json *j, const char *key, const char *value);
void json_number(struct json *j, const char *key, uint64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_nil(struct json *j, const char *key);
/* The value itself is appended to j->out by the caller. */
void json_key(struct json *j, const char *key);

#endif
