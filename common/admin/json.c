/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/json.h"

static void new_line(struct json *j)
{
	buf_append(j->out, "\n                                ", (size_t)(1 + 2 * (j->depth < 16 ? j->depth : 16)));
}

void json_key(struct json *j, const char *key)
{
	if (j->more)
		buf_append(j->out, ",", 1);
	if (j->depth)
		new_line(j);
	if (key) {
		buf_json_str(j->out, str_c(key));
		buf_append(j->out, ": ", 2);
	}
	j->more = true;
}

void json_open(struct json *j, const char *key, char bracket)
{
	json_key(j, key);
	buf_append(j->out, &bracket, 1);
	j->depth++;
	j->more = false;
}

void json_close(struct json *j, char bracket)
{
	j->depth--;
	if (j->more)
		new_line(j);
	buf_append(j->out, &bracket, 1);
	j->more = true;
}

void json_str(struct json *j, const char *key, struct str value)
{
	json_key(j, key);
	buf_json_str(j->out, value);
}

void json_text(struct json *j, const char *key, const char *value)
{
	json_str(j, key, str_c(value));
}

void json_number(struct json *j, const char *key, uint64_t value)
{
	json_key(j, key);
	buf_printf(j->out, "%llu", (unsigned long long)value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	json_key(j, key);
	buf_puts(j->out, value ? "true" : "false");
}

void json_nil(struct json *j, const char *key)
{
	json_key(j, key);
	buf_puts(j->out, "null");
}
