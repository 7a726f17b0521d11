/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery responses as bytes, over a channel that swallows what is sent. */
#include "base/log.h"
#include "source/ads.h"

struct grpc_call {
	const struct grpc_call_ops *ops;
	void *arg;
};

static struct grpc_call call;

struct grpc_call *grpc_start(struct grpc *g, const char *path, const struct grpc_call_ops *ops, void *arg, unsigned deadline_ms)
{
	call = (struct grpc_call){ ops, arg };
	return &call;
}

void grpc_send(struct grpc_call *c, const void *p, size_t n) { }
void grpc_cancel(struct grpc_call *c) { }
const char *grpc_code_name(enum grpc_code code) { return ""; }

static void nothing(void *arg) { }
static void on_removed(void *arg, struct str name) { }
static void each(void *arg, void (*fn)(void *fn_arg, struct str name, struct str version), void *fn_arg) { }

static int on_resource(void *arg, const struct ads_resource *r, struct err *err)
{
	return r->value.n % 2 ? err_set(err, -22, "odd") : 0;
}

static const struct ads_type_ops ops = { nothing, on_resource, on_removed, nothing, each };

static void on_done(void *arg, enum ads_answer answer) { }

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return log_set_levels(str_c("off"), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct ads_type type = { "t", &ops, NULL, true };
	struct loop *loop = loop_new(-1);
	struct ads *ads;
	struct err err;

	if (ads_new(&(struct ads_conf){ .loop = loop, .node_id = "x", .types = &type, .n_types = 1 }, &ads, &err) == 0) {
		ads_start(ads);
		ads_want(ads, 0, str_c("a"), 1000, on_done, NULL);
		call.ops->on_message(&call, (struct str){ (const char *)data, n }, call.arg);
		ads_free(ads);
	}
	loop_free(loop);
	return 0;
}
