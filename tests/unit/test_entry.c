/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of a CA that answers later, well or badly. */
#include <check.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fakeca.h"
#include "identity/identity_int.h"
#include "shake.h"
#include "suite.h"

#define WEB "spiffe://td/ns/default/sa/web"
#define DB  "spiffe://td/ns/default/sa/db"

static struct loop *loop;
static struct fakeca ca;
static unsigned delay_ms;
static int running, most_running, cancelled, changes, lost, failures;
static char order[64 * 16];      /* the last letters of who was asked for */

struct ca_call {
	struct timer timer;
	char *texts[3];
	int n;
	struct err err;
	void (*on_reply)(void *arg, const struct ca_reply *reply);
	void *arg;
};

static void call_free(struct ca_call *c)
{
	timer_stop(&c->timer);
	for (int i = 0; i < 3; i++)
		free(c->texts[i]);
	free(c);
	running--;
}

static void on_answer(struct timer *t)
{
	struct ca_call *c = container_of(t, struct ca_call, timer);
	struct ca_call had = *c;
	struct str certs[3];

	memset(c->texts, 0, sizeof(c->texts));
	call_free(c);
	for (int i = 0; i < had.n; i++)
		certs[i] = str_c(had.texts[i]);
	had.on_reply(had.arg, &(struct ca_reply){ certs, (size_t)(had.n > 0 ? had.n : 0), had.n < 0 ? had.err.msg : NULL });
	for (int i = 0; i < had.n; i++)
		free(had.texts[i]);
}

static struct ca_call *sign(void *arg, struct str csr, struct str id, int64_t ttl_s,
			    void (*on_reply)(void *arg, const struct ca_reply *reply), void *reply_arg)
{
	struct ca_call *c = xcalloc(1, sizeof(*c));
	char *want = str_dup(id);

	ck_assert_ptr_eq(arg, &ca);
	ca.asked++;
	running++;
	most_running = running > most_running ? running : most_running;
	memcpy(order + strlen(order), want + strlen(want) - 2, 3);
	c->on_reply = on_reply;
	c->arg = reply_arg;
	timer_init(&c->timer, loop, on_answer);
	c->n = ca.mode == CA_REFUSES ? err_set(&c->err, -1, "the CA refused: who are you? (UNAUTHENTICATED)") :
		fakeca_sign(&ca, csr, want, ttl_s, c->texts, &c->err);
	ck_assert_msg(c->n >= 0 || ca.mode == CA_REFUSES, "%s", c->err.msg);
	if (ca.mode != CA_NOTHING)
		timer_start(&c->timer, delay_ms);
	free(want);
	return c;
}

static void cancel(void *arg, struct ca_call *c)
{
	cancelled++;
	call_free(c);
}

static const char *name(void *arg)
{
	return "the CA at test:15012";
}

static const struct ca_ops ca_ops = { sign, cancel, name };

static void on_change(struct identity *i, struct str id, struct tlsctx *old, void *arg)
{
	changes++;
	lost += identity_not_after(i, id) == 0;
}

static void on_failed(struct identity *i, struct str id, void *arg)
{
	ck_assert_int_eq(identity_state(i, id, NULL), IDENTITY_FAILED);
	failures++;
}

static const struct identity_ops ops = { on_change, on_failed };

static void setup(void)
{
	loop = loop_new(-1);
	fakeca_init(&ca);
	delay_ms = 1;
	running = most_running = cancelled = changes = lost = failures = 0;
	order[0] = '\0';
}

static void teardown(void)
{
	loop_free(loop);
	fakeca_done(&ca);
	ck_assert_int_eq(running, 0);
}

static struct identity *make(struct identity_conf conf)
{
	struct identity *i = NULL;
	struct err err;

	conf.ca = &ca_ops;
	conf.ca_arg = &ca;
	ck_assert_msg(identity_new(loop, &conf, &ops, NULL, &i, &err) == 0, "%s", err.msg);
	return i;
}

struct until {
	struct timer t;
	const int *what;
	int want, left;
};

static void until_tick(struct timer *t)
{
	struct until *u = container_of(t, struct until, t);

	if ((u->what && *u->what >= u->want) || u->left-- <= 0)
		loop_stop(loop);
	else
		timer_start(t, 10);
}

/* Runs the loop until *what reached want; what NULL: for that time. */
static void run(const int *what, int want, int ms)
{
	struct until u = { .what = what, .want = want, .left = ms / 10 };

	timer_init(&u.t, loop, until_tick);
	timer_start(&u.t, 10);
	loop_run(loop);
	if (what)
		ck_assert_int_ge(*what, want);
}

static void want(struct identity *i, const char *id)
{
	struct err err;

	ck_assert_msg(identity_want(i, str_c(id), IDENTITY_WARMUP, &err) == 0, "%s", err.msg);
}

static struct entry *entry_of(struct identity *i, const char *id)
{
	return map_get(&i->entries, str_c(id));
}

static enum fail meet(struct identity *i, const char *client, const char *server)
{
	struct tlsctx *a = identity_get(i, str_c(client)), *b = identity_get(i, str_c(server));
	struct shake s;
	enum fail fail;

	ck_assert(a && b);
	shake_init(&s, a, b);
	shake_run(&s);
	fail = s.cv.fail != FAIL_NONE ? s.cv.fail : s.sv.fail;
	shake_done(&s);
	tlsctx_unref(a);
	tlsctx_unref(b);
	return fail;
}

START_TEST(comes_later)
{
	struct identity *i = make((struct identity_conf){ 0 });

	want(i, WEB);
	want(i, WEB);
	want(i, DB);
	ck_assert_int_eq(identity_state(i, str_c(WEB), NULL), IDENTITY_PENDING);
	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	ck_assert_int_eq(ca.asked, 0);
	run(&changes, 2, 1000);
	ck_assert_int_eq(ca.asked, 2);
	ck_assert_int_eq(identity_state(i, str_c(WEB), NULL), IDENTITY_READY);
	ck_assert_int_gt(identity_not_after(i, str_c(WEB)), time(NULL) + 86000);
	ck_assert_int_gt(entry_of(i, WEB)->due, time(NULL) + 38800);      /* half of 24 h, ± 10 % */
	ck_assert_int_lt(entry_of(i, WEB)->due, time(NULL) + 47600);
	ck_assert_ptr_null(entry_of(i, WEB)->ctx);                       /* nobody has used it */
	ck_assert_int_eq(meet(i, WEB, DB), FAIL_NONE);
	ck_assert_ptr_nonnull(entry_of(i, WEB)->ctx);
	ca.middle = pki_ca(&ca.root, "istiod");                          /* ends earlier than what it signs */
	entry_refresh(entry_of(i, DB), NULL);
	run(&changes, 3, 1000);
	ck_assert_int_lt(entry_of(i, DB)->due, time(NULL) + 1990);
	identity_forget(i, str_c(WEB));
	ck_assert_int_eq(meet(i, WEB, DB), FAIL_NONE);
	identity_forget(i, str_c(WEB));
	ck_assert_int_eq(lost, 1);
	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	identity_free(i);
}
END_TEST

static const struct bad_row {
	enum fakeca_mode mode;
	const char *says;
} bad_rows[] = {
	{ CA_WRONG_ID, "the CA at test:15012 signed for spiffe://td/ns/istio-system/sa/ztunnel, but wanted is " WEB
		       "; a node's proxy must be listed in the CA's CA_TRUSTED_NODE_ACCOUNTS" },
	{ CA_EXPIRED, "certificate has expired (at depth 0" },
	{ CA_NOT_YET, "certificate is not yet valid (at depth 0" },
	{ CA_ROOTLESS, "not good under the roots that belong to it: unable to get local issuer certificate" },
	{ CA_LONE, "answered with a certificate and no root, so no peer could be verified; configure the CA to append" },
	{ CA_EMPTY, "answered without a certificate; is it an Istio CA?" },
	{ CA_GARBAGE, "sent what cannot be used: certificate 1 of the certificate chain is damaged" },
	{ CA_OTHER_KEY, "the private key does not belong to the certificate" },
	{ CA_NOTHING, "did not answer within 300 ms; check that it is reachable" },
	{ CA_REFUSES, "the CA refused: who are you?" },
};

/* The first certificate is bad: said at once, tried again, good in the end. */
START_TEST(bad_answer)
{
	const struct bad_row *row = &bad_rows[_i];
	struct identity *i = make((struct identity_conf){ .ca_reply_ms = 300 });
	struct err err;

	ca.mode = row->mode;
	want(i, WEB);
	run(&failures, 1, 1000);
	ck_assert_int_eq(identity_state(i, str_c(WEB), &err), IDENTITY_FAILED);
	ck_assert_msg(strstr(err.msg, row->says) != NULL, "%s", err.msg);
	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	ck_assert_int_lt(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), 0);
	ck_assert_int_eq(cancelled, row->mode == CA_NOTHING);
	ca.mode = CA_GOOD;
	run(&changes, 1, 3000);
	ck_assert_int_eq(identity_state(i, str_c(WEB), &err), IDENTITY_READY);
	ck_assert_int_eq(failures, 1);
	identity_free(i);
}
END_TEST

/* A renewal is bad: the old one is used to its end, and no longer. */
START_TEST(bad_renewal)
{
	static const enum fakeca_mode modes[] = { CA_WRONG_ID, CA_NOTHING, CA_REFUSES };
	struct identity *i = make((struct identity_conf){ .ca_reply_ms = 300 });
	int64_t end;

	ca.ttl_s = 4;
	want(i, WEB);
	want(i, DB);
	run(&changes, 2, 1000);
	end = identity_not_after(i, str_c(WEB));
	ca.mode = modes[_i];
	run(&ca.asked, 4, 4000);
	run(NULL, 0, 400);
	ck_assert_int_eq(identity_not_after(i, str_c(WEB)), end);
	ck_assert_int_eq(identity_state(i, str_c(WEB), NULL), IDENTITY_READY);
	ck_assert_int_eq(meet(i, WEB, DB), FAIL_NONE);
	run(&lost, 2, 4000);
	ck_assert_int_ge(time(NULL), end);
	ck_assert_int_lt(time(NULL), end + 3);
	ck_assert_ptr_null(identity_get(i, str_c(WEB)));
	ck_assert_int_eq(identity_state(i, str_c(WEB), NULL), IDENTITY_FAILED);
	ca.mode = CA_GOOD;
	changes = 0;
	run(&changes, 2, 6000);
	ck_assert_int_eq(identity_state(i, str_c(WEB), NULL), IDENTITY_READY);
	identity_free(i);
}
END_TEST

/* Certificates of a few seconds: always one, however often it is replaced. */
START_TEST(short_life)
{
	struct identity *i = make((struct identity_conf){ 0 });

	time_t start = time(NULL);

	ca.ttl_s = 3;
	want(i, WEB);
	run(&changes, 1, 1000);
	for (int n = 0; n < 60; n++) {
		ck_assert_int_eq(meet(i, WEB, WEB), FAIL_NONE);
		run(NULL, 0, 100);
	}
	ck_assert_int_ge(changes, 4);
	ck_assert_int_le(changes, 3 + (int)(time(NULL) - start));
	ck_assert_int_eq(lost, 0);
	identity_free(i);
}
END_TEST

START_TEST(priorities)
{
	struct identity *i = make((struct identity_conf){ 0 });
	char id[64];

	delay_ms = 50;
	for (int n = 10; n < 22; n++) {
		snprintf(id, sizeof(id), "spiffe://td/ns/a/sa/b%d", n);
		ck_assert_int_eq(identity_want(i, str_c(id), n < 20 ? IDENTITY_WARMUP : IDENTITY_BACKGROUND, NULL), 0);
	}
	ck_assert_int_eq(identity_want(i, str_c("spiffe://td/ns/a/sa/now99"), IDENTITY_NOW, NULL), 0);
	ck_assert_ptr_null(identity_get(i, str_c("spiffe://td/ns/a/sa/b21")));     /* a connection waits */
	run(&changes, 13, 2000);
	ck_assert_int_eq(most_running, 8);
	ck_assert_str_eq(order, "21" "99" "101112131415" "16171819" "20");
	identity_free(i);
}
END_TEST

START_TEST(forgotten_early)
{
	struct identity *i = make((struct identity_conf){ 0 });

	want(i, WEB);
	identity_forget(i, str_c(WEB));          /* not asked yet */
	want(i, DB);
	delay_ms = 100;
	run(&ca.asked, 1, 1000);
	identity_forget(i, str_c(DB));           /* under way */
	ck_assert_int_eq(cancelled, 1);
	run(NULL, 0, 200);
	ck_assert_int_eq(ca.asked, 1);
	ck_assert_int_eq(changes, 0);
	want(i, WEB);
	run(&ca.asked, 2, 1000);
	identity_free(i);                        /* with a request under way */
	ck_assert_int_eq(cancelled, 2);
}
END_TEST

START_TEST(root_rotation)
{
	struct identity *i = make((struct identity_conf){ 0 });
	struct pki b = pki_ca(NULL, "new root"), a = ca.root;
	char *roots_a = ca.roots, *roots_b = pki_pem(b.cert), *both = xasprintf("%s%s", roots_a, roots_b);
	struct tlsctx *old, *now;
	struct shake s;

	want(i, WEB);
	want(i, DB);
	run(&changes, 2, 1000);
	old = identity_get(i, str_c(WEB));
	now = identity_get(i, str_c(DB));
	shake_init(&s, old, now);
	shake_run(&s);
	ck_assert(s.client_ok && s.server_ok);
	tlsctx_unref(now);

	/* The new root signs DB; WEB, which has not been renewed, trusts it at once. */
	ca.root = b;
	ca.roots = both;
	entry_refresh(entry_of(i, DB), NULL);
	run(&changes, 4, 1000);          /* DB is new, and WEB's context */
	ck_assert_int_eq(meet(i, WEB, DB), FAIL_NONE);
	ck_assert_int_eq(meet(i, DB, WEB), FAIL_NONE);
	now = identity_get(i, str_c(WEB));
	ck_assert_ptr_ne(now, old);
	ck_assert(tlsctx_peer_still_valid(now, s.client));       /* live connections go on */
	ck_assert(tlsctx_peer_still_valid(now, s.server));
	tlsctx_unref(now);

	/* The old root goes with the last certificate that brought it. */
	ca.roots = roots_b;
	entry_refresh(entry_of(i, DB), NULL);
	run(NULL, 0, 100);
	ck_assert_int_eq(meet(i, DB, WEB), FAIL_NONE);
	entry_refresh(entry_of(i, WEB), NULL);
	run(NULL, 0, 100);
	ck_assert_int_eq(meet(i, WEB, DB), FAIL_NONE);
	ck_assert_uint_eq(i->roots.texts.len, 1);
	now = identity_get(i, str_c(WEB));
	shake_done(&s);
	shake_init(&s, old, now);
	shake_run(&s);
	ck_assert_int_eq(s.sv.fail, FAIL_TLS);
	shake_done(&s);
	tlsctx_unref(now);
	tlsctx_unref(old);
	ck_assert_int_eq(lost, 0);
	identity_free(i);
	pki_done(&a);
	free(roots_a);
	free(both);
}
END_TEST

static void put(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	fputs(text, f);
	fclose(f);
}

/* What WEB says of a client with the context peer. */
static enum fail hears(const struct tlsctx *peer, struct identity *i)
{
	struct tlsctx *own = identity_get(i, str_c(WEB));
	struct shake s;
	enum fail fail;

	shake_init(&s, peer, own);
	shake_run(&s);
	fail = s.sv.fail;
	shake_done(&s);
	tlsctx_unref(own);
	return fail;
}

START_TEST(roots_of_a_file)
{
	char file[] = "/tmp/test_entry.XXXXXX";
	struct pki other = pki_ca(NULL, "other"), leaf = pki_issue(&other, &(struct pki_spec){ .san = "URI:" DB });
	char *roots = pki_pem(other.cert), *cert = pki_pem(leaf.cert), *key = pki_key_pem(leaf.key);
	struct identity *i = NULL;
	struct tlsctx *peer;
	struct err err;
	struct tlsctx_conf conf = {
		.cert_chain_pem = str_c(cert), .key_pem = str_c(key), .roots_pem = str_c(roots), .more_roots_pem = str_c(ca.roots),
	};

	ck_assert_int_eq(tlsctx_new(&conf, &peer, &err), 0);
	close(mkstemp(file));
	ck_assert_int_lt(identity_new(loop, &(struct identity_conf){ .ca = &ca_ops, .ca_arg = &ca, .root_file = file }, &ops, NULL, &i, &err), 0);
	ck_assert_msg(strstr(err.msg, "the root certificates is empty") != NULL, "%s", err.msg);
	put(file, ca.roots);
	i = make((struct identity_conf){ .root_file = file });
	want(i, WEB);
	run(&changes, 1, 1000);
	ck_assert_int_eq(hears(peer, i), FAIL_TLS);
	put(file, "half a file");
	run(NULL, 0, 500);
	put(file, roots);
	for (int n = 0; n < 100 && hears(peer, i) != FAIL_NONE; n++)
		run(NULL, 0, 50);
	ck_assert_int_eq(hears(peer, i), FAIL_NONE);
	put(file, "");
	run(NULL, 0, 500);
	ck_assert_int_eq(hears(peer, i), FAIL_NONE);
	put(file, ca.roots);
	for (int n = 0; n < 100 && hears(peer, i) == FAIL_NONE; n++)
		run(NULL, 0, 50);
	ck_assert_int_eq(hears(peer, i), FAIL_TLS);
	identity_free(i);
	tlsctx_unref(peer);
	unlink(file);
	pki_done(&other);
	pki_done(&leaf);
	free(roots);
	free(cert);
	free(key);
}
END_TEST

START_TEST(unused_contexts_go)
{
	struct identity *i = make((struct identity_conf){ .ctx_idle_ms = 200 });
	struct tlsctx *c;

	want(i, WEB);
	run(&changes, 1, 1000);
	c = identity_get(i, str_c(WEB));
	run(NULL, 0, 500);
	ck_assert_ptr_eq(entry_of(i, WEB)->ctx, c);      /* a connection has it */
	tlsctx_unref(c);
	run(NULL, 0, 500);
	ck_assert_ptr_null(entry_of(i, WEB)->ctx);
	ck_assert_int_eq(meet(i, WEB, WEB), FAIL_NONE);
	ck_assert_int_eq(changes, 1);
	identity_free(i);
}
END_TEST

START_TEST(trust_domains)
{
	struct identity *i = make((struct identity_conf){ 0 });
	struct str domains[] = { str_c("other"), str_c("td") };
	const char *foreign = "spiffe://other/ns/default/sa/web";

	want(i, WEB);
	want(i, foreign);
	run(&changes, 2, 1000);
	ck_assert_int_eq(meet(i, WEB, foreign), FAIL_TLS);
	identity_set_trust(i, domains, 2);
	ck_assert_int_eq(changes, 4);
	ck_assert_int_eq(meet(i, WEB, foreign), FAIL_NONE);
	ck_assert_int_eq(meet(i, foreign, WEB), FAIL_NONE);
	identity_set_trust(i, domains, 1);
	ck_assert_int_eq(meet(i, foreign, WEB), FAIL_TLS);
	ck_assert_int_eq(lost, 0);
	identity_free(i);
}
END_TEST

/* ---- what is left in memory of a key ---- */

#define MASK 0x5a      /* what is looked for lies in memory only masked */

struct traces {
	uint8_t raw[32], limbs[32], pem[26];
};

/* By hand: a decoder might leave copies of its own. PKCS #8 of a P-256 key has the private number at byte 36. */
static void note_key(struct identity *i, const char *id, struct traces *ret)
{
	const char *pem = entry_of(i, id)->svid->set.key.p, *line = strchr(pem, '\n') + 1;
	uint8_t der[96];

	EVP_DecodeBlock(der, (const uint8_t *)line, 64);
	EVP_DecodeBlock(der + 48, (const uint8_t *)line + 65, 64);
	ck_assert_int_eq(der[34], 0x04);
	ck_assert_int_eq(der[35], 32);
	for (int k = 0; k < 32; k++)
		ret->raw[k] = ret->limbs[31 - k] = der[36 + k] ^ MASK;
	OPENSSL_cleanse(der, sizeof(der));
	for (int k = 0; k < 26; k++)      /* bytes 48 to 67 of it, as text */
		ret->pem[k] = (uint8_t)line[65 + k] ^ MASK;
}

static int count(const uint8_t *at, size_t n, const uint8_t *masked, size_t len)
{
	int found = 0;

	for (const uint8_t *p = at, *end = at + n - len; n >= len && (p = memchr(p, masked[0] ^ MASK, (size_t)(end - p) + 1)); p++) {
		size_t k = 1;

		while (k < len && p[k] == (masked[k] ^ MASK))
			k++;
		found += k == len;
		if (p == end)
			break;
	}
	return found;
}

/* How often the key is found, in any form, in all that this process can write to. */
static int find_key(const struct traces *t)
{
	size_t block = 1 << 20, overlap = 64;
	uint8_t *buf = mmap(NULL, block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int mem = open("/proc/self/mem", O_RDONLY), found = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512], mode[8];

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w' || to - from > 1ul << 30 ||
		    (from <= (unsigned long)buf && (unsigned long)buf < to && to - from == block))
			continue;
		for (unsigned long at = from; at < to; at += block - overlap) {
			unsigned long n = to - at < block ? to - at : block;
			ssize_t got;

			/* The kernel may have joined the buffer's mapping with another. */
			if (at < (unsigned long)buf + block && (unsigned long)buf < at + n)
				continue;
			got = pread(mem, buf, n, (off_t)at);
			if (got > 0)
				found += count(buf, (size_t)got, t->raw, 32) + count(buf, (size_t)got, t->limbs, 32) +
					 count(buf, (size_t)got, t->pem, sizeof(t->pem));
		}
	}
	fclose(maps);
	close(mem);
	munmap(buf, block);
	return found;
}

START_TEST(key_is_wiped)
{
	struct identity *i = make((struct identity_conf){ 0 });
	struct traces web, db, renewed;
	struct tlsctx *ctx;

	want(i, WEB);
	want(i, DB);
	run(&changes, 2, 1000);
	note_key(i, WEB, &web);
	note_key(i, DB, &db);
	ck_assert_int_eq(find_key(&web), 1);                      /* the text, once */
	ck_assert_int_eq(meet(i, WEB, DB), FAIL_NONE);
	ck_assert_int_ge(find_key(&web), 2);                      /* and in the context */
	ctx = identity_get(i, str_c(WEB));
	identity_forget(i, str_c(WEB));
	ck_assert_int_eq(meet(i, DB, DB), FAIL_NONE);
	ck_assert_int_ge(find_key(&web), 1);                      /* a connection has it still */
	tlsctx_unref(ctx);
	ck_assert_int_eq(find_key(&web), 0);
	ck_assert_int_ge(find_key(&db), 2);

	entry_refresh(entry_of(i, DB), NULL);
	run(&changes, 4, 1000);
	note_key(i, DB, &renewed);
	ck_assert_int_eq(find_key(&db), 0);
	ck_assert_int_ge(find_key(&renewed), 1);
	identity_free(i);
	ck_assert_int_eq(find_key(&renewed), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("entry");
	TCase *tc = tcase_create("entry");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, comes_later);
	tcase_add_loop_test(tc, bad_answer, 0, ARRAY_LEN(bad_rows));
	tcase_add_loop_test(tc, bad_renewal, 0, 3);
	tcase_add_test(tc, short_life);
	tcase_add_test(tc, priorities);
	tcase_add_test(tc, forgotten_early);
	tcase_add_test(tc, root_rotation);
	tcase_add_test(tc, roots_of_a_file);
	tcase_add_test(tc, unused_contexts_go);
	tcase_add_test(tc, trust_domains);
	tcase_add_test(tc, key_is_wiped);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
