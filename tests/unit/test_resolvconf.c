/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "dns/resolvconf.h"

#include "suite.h"

static void expect(const struct resolvconf *c, const char *want)
{
	char got[512] = "", text[ADDR_TEXT];

	for (int i = 0; i < c->n_servers; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", addr_format(&c->servers[i], text));
	for (int i = 0; i < c->n_search; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "+%s ", c->search[i]);
	ck_assert_str_eq(got, want);
}

START_TEST(text)
{
	static const struct { const char *text, *want; } rows[] = {
		{ "", "" },
		{ "nameserver 10.0.0.53\n", "10.0.0.53:53 " },
		{ "# c\n; c\nnameserver\t127.0.0.53\noptions edns0 trust-ad\nsearch .", "127.0.0.53:53 " },
		{ "nameserver fd00::53\r\nnameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\n", "[fd00::53]:53 1.1.1.1:53 2.2.2.2:53 " },
		{ "nameserver fe80::1%eth0\nnameserver nonsense\nnameserver\nnameserver 9.9.9.9", "9.9.9.9:53 " },
		{ "search a b\nsearch Shop.svc.Cluster.local. svc.cluster.local\n", "+shop.svc.cluster.local +svc.cluster.local " },
		{ "domain lan.test\n", "+lan.test " },
		{ "nameservers 1.1.1.1\nsearchx a\n", "" },
	};
	struct resolvconf c;

	resolvconf_init(&c, NULL);
	ck_assert_str_eq(c.path, "/etc/resolv.conf");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		resolvconf_parse(&c, str_c(rows[i].text));
		expect(&c, rows[i].want);
	}
	resolvconf_done(&c);
}
END_TEST

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(follows_the_file)
{
	char path[] = "/tmp/resolvconf.XXXXXX", other[64];
	struct resolvconf c;

	close(mkstemp(path));
	snprintf(other, sizeof(other), "%s.new", path);
	resolvconf_init(&c, path);
	put(path, "nameserver 1.1.1.1\n");
	resolvconf_refresh(&c, 10000);
	expect(&c, "1.1.1.1:53 ");
	put(other, "nameserver 2.2.2.2\n");
	rename(other, path);
	resolvconf_refresh(&c, 10500);           /* not yet */
	expect(&c, "1.1.1.1:53 ");
	resolvconf_refresh(&c, 11000);
	expect(&c, "2.2.2.2:53 ");
	unlink(path);                            /* what it said holds */
	resolvconf_refresh(&c, 13000);
	expect(&c, "2.2.2.2:53 ");
	put(path, "");
	resolvconf_refresh(&c, 15000);
	expect(&c, "");
	unlink(path);
	resolvconf_done(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resolvconf");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, text);
	tcase_add_test(tc, follows_the_file);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
