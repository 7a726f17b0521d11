/* SPDX-License-Identifier: Apache-2.0 */
/* Reloads: what changes in the mesh, what stays, and what a fault leaves in place. */
#include <errno.h>
#include <fcntl.h>

#include "confdir_fixture.h"
#include "source/analyze.h"
#include "suite.h"

#define WE(NAME, SPEC) "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " NAME ", namespace: n, labels: {app: a}}\nspec: {" SPEC "}\n---\n"
#define SE(NAME, SPEC) "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " NAME ", namespace: n}\nspec: {hosts: [" NAME ".test], resolution: STATIC, " SPEC "}\n---\n"
#define AP(NAME, SPEC) "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " NAME ", namespace: n}\nspec: {" SPEC "}\n---\n"

static struct fixture f;

static void setup(void) { fixture_init(&f); }
static void teardown(void) { fixture_done(&f); }

static void load_ok(void)
{
	ck_assert_msg(fixture_load(&f) == 0, "%s", f.err.msg);
}

static struct workload *workload(const char *name)
{
	return mesh_workload_named(mesh_current(), str_c("n"), str_c(name));
}

static struct service *service(const char *key)
{
	return mesh_service(mesh_current(), str_c(key));
}

static bool find_policy(struct policy *p, void *arg)
{
	struct policy **ret = arg;

	*ret = p;
	return false;
}

static struct policy *policy(void)
{
	struct policy *p = NULL;

	mesh_each_policy(mesh_current(), find_policy, &p);
	return p;
}

static bool has_ip(const char *name, const char *ip)
{
	struct ip want;

	return workload(name) && !ip_parse(str_c(ip), &want) && ip_eq(&workload(name)->ips[0], &want);
}

START_TEST(test_empty)
{
	load_ok();
	ck_assert_uint_eq(confdir_objects(f.c), 0);
	ck_assert_str_eq(mesh_settings(mesh_current())->trust_domain, "cluster.local");
}
END_TEST

START_TEST(test_no_directory)
{
	struct confdir *c = confdir_new("/nonexistent/mesh", &f.settings);

	ck_assert_int_eq(confdir_load(c, &f.err), -ENOENT);
	ck_assert_str_eq(f.err.msg, "/nonexistent/mesh: cannot be opened: No such file or directory");
	confdir_free(c);
}
END_TEST

START_TEST(test_only_differences)
{
	struct workload *a, *b;
	struct service *s, *t;
	uint64_t generation;

	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1") WE("b", "address: 10.0.0.2"));
	fixture_write(&f, "s.yaml", SE("s", "workloadSelector: {labels: {app: a}}") SE("t", "endpoints: [{address: 10.0.0.7}]"));
	load_ok();
	a = workload("a");
	b = workload("b");
	s = service("n/s.test");
	t = service("n/t.test");
	generation = mesh_generation(mesh_current());
	ck_assert_int_eq(s->endpoints->n, 2);
	load_ok();
	ck_assert_uint_eq(mesh_generation(mesh_current()), generation);

	fixture_write(&f, "a.yaml", WE("b", "address: 10.0.0.3") WE("a", "address: 10.0.0.1") WE("c", "address: 10.0.0.4"));
	load_ok();
	ck_assert_uint_eq(mesh_generation(mesh_current()), generation + 1);
	ck_assert_ptr_eq(workload("a"), a);
	ck_assert_ptr_ne(workload("b"), b);
	ck_assert(has_ip("b", "10.0.0.3"));
	ck_assert_int_eq(service("n/s.test")->endpoints->n, 3);
	ck_assert_ptr_ne(service("n/s.test"), s);
	ck_assert_ptr_eq(service("n/t.test"), t);

	fixture_remove(&f, "a.yaml");
	load_ok();
	ck_assert_ptr_null(workload("a"));
	ck_assert_int_eq(service("n/s.test")->endpoints->n, 0);
}
END_TEST

START_TEST(test_rewritten_alike)
{
	uint64_t generation;

	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1") AP("p", "rules: [{}]"));
	load_ok();
	generation = mesh_generation(mesh_current());
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1") AP("p", "rules: [{}]"));
	load_ok();
	ck_assert_uint_eq(mesh_generation(mesh_current()), generation);
}
END_TEST

static const struct { const char *name, *text; int rc; const char *message; } broken[] = {
	{ "a.yaml", "a:\n\tb: 1\n", -EINVAL, "/a.yaml:2: found character" },
	{ "a.yaml", WE("a", "address: 10.0.0.9") "kind: {half", -EINVAL, "/a.yaml:" },
	{ "b.yaml", "a: 1\na: 2\n", -EINVAL, "/b.yaml:2: the key 'a' is here a second time; the first is in line 1" },
	{ "b.json", "{\"a\": ", -EINVAL, "/b.json:2: did not find expected node content" },
};

/* What cannot be parsed holds the directory back, with all that changed beside it. */
START_TEST(test_held_back)
{
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1"));
	fixture_write(&f, "z.yaml", WE("z", "address: 10.0.0.1"));
	load_ok();
	fixture_write(&f, "z.yaml", WE("z", "address: 10.0.0.2"));
	fixture_write(&f, broken[_i].name, broken[_i].text);
	ck_assert_int_eq(fixture_load(&f), broken[_i].rc);
	ck_assert_msg(strstr(f.err.msg, broken[_i].message) != NULL, "%s", f.err.msg);
	ck_assert_str_eq(confdir_held_back(f.c), f.err.msg);
	ck_assert_uint_eq(confdir_count(f.c, FINDING_ERROR), 1);
	ck_assert(has_ip("a", "10.0.0.1"));
	ck_assert(has_ip("z", "10.0.0.1"));
	if (!strcmp(broken[_i].name, "a.yaml"))
		fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.3"));
	else
		fixture_remove(&f, broken[_i].name);
	load_ok();
	ck_assert_str_eq(confdir_held_back(f.c), "");
	ck_assert_uint_eq(confdir_count(f.c, FINDING_ERROR), 0);
	ck_assert(has_ip("z", "10.0.0.2"));
}
END_TEST

START_TEST(test_first_load_fails)
{
	fixture_write(&f, "a.yaml", "a: [");
	ck_assert_int_eq(fixture_load(&f), -EINVAL);
	ck_assert_uint_eq(confdir_loads(f.c), 0);
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1"));
	load_ok();
	ck_assert(has_ip("a", "10.0.0.1"));
}
END_TEST

START_TEST(test_too_large)
{
	char *path = xasprintf("%s/big.yaml", f.dir);
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	ck_assert_int_eq(ftruncate(fd, 100 << 20), 0);
	close(fd);
	free(path);
	ck_assert_int_eq(fixture_load(&f), -E2BIG);
	ck_assert_ptr_nonnull(strstr(f.err.msg, "/big.yaml: has 100 MiB, more than the limit of 64 MiB: split it"));
}
END_TEST

START_TEST(test_no_permission)
{
	char *path = xasprintf("%s/a.yaml", f.dir);

	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1"));
	load_ok();
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.2"));
	ck_assert_int_eq(chmod(path, 0), 0);
	if (geteuid() == 0) {   /* root reads it anyway: look through the eyes of nobody */
		ck_assert_int_eq(chmod(f.dir, 0755), 0);
		ck_assert_int_eq(seteuid(65534), 0);
	}
	ck_assert_int_eq(fixture_load(&f), -EACCES);
	ck_assert_int_eq(seteuid(getuid()), 0);
	ck_assert_ptr_nonnull(strstr(f.err.msg, "/a.yaml: cannot be opened: Permission denied"));
	ck_assert(has_ip("a", "10.0.0.1"));
	free(path);
}
END_TEST

START_TEST(test_bad_object_keeps_last_good)
{
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1"));
	fixture_write(&f, "p.yaml", AP("p", "rules: [{}]"));
	load_ok();
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.300"));
	fixture_write(&f, "p.yaml", AP("p", "action: MAYBE"));
	load_ok();
	ck_assert(has_ip("a", "10.0.0.1"));
	ck_assert(!policy()->broken);
	fixture_expect(&f, "a.yaml:4: error: WorkloadEntry n/a: spec.address: want an IP address or a host name, got '10.0.0.300'");
	fixture_expect(&f, "a.yaml:1: warning: WorkloadEntry n/a: its last good version stays in effect until it is mended");
	fixture_expect(&f, "p.yaml:1: warning: AuthorizationPolicy n/p: its last good version stays in effect");
	/* still so when another file changes, */
	fixture_write(&f, "b.yaml", WE("b", "address: 10.0.0.5"));
	load_ok();
	ck_assert(has_ip("a", "10.0.0.1"));
	/* and when the bad one changes and stays bad; */
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.301"));
	load_ok();
	ck_assert(has_ip("a", "10.0.0.1"));
	/* gone when it is taken away. */
	fixture_remove(&f, "a.yaml");
	fixture_write(&f, "p.yaml", AP("p", "action: DENY, rules: [{}]"));
	load_ok();
	ck_assert_ptr_null(workload("a"));
	ck_assert_int_eq(policy()->action, POLICY_DENY);
	ck_assert_uint_eq(confdir_count(f.c, FINDING_ERROR) + confdir_count(f.c, FINDING_WARNING), 0);
}
END_TEST

START_TEST(test_bad_policy_without_predecessor)
{
	fixture_write(&f, "p.yaml", AP("p", "rules: [{}], action: MAYBE, selector: {matchLabels: {app: a}}"));
	load_ok();
	ck_assert(policy()->broken);
	ck_assert_int_eq(policy()->scope, POLICY_SELECTOR);
	ck_assert_str_eq(policy()->selector[0].value, "a");
	ck_assert_str_eq(policy()->problem, "spec.action: want one of ALLOW, DENY, AUDIT, CUSTOM, got 'MAYBE'");
	ck_assert_ptr_nonnull(strstr(policy()->where, "/p.yaml:1"));
	fixture_write(&f, "p.yaml", AP("p", "rules: [{}]"));
	load_ok();
	ck_assert(!policy()->broken);
}
END_TEST

START_TEST(test_double)
{
	fixture_write(&f, "b.yaml", WE("a", "address: 10.0.0.2") AP("p", "action: DENY, rules: [{}]"));
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1") AP("p", "rules: [{}]"));
	load_ok();
	ck_assert(has_ip("a", "10.0.0.1"));
	ck_assert_int_eq(policy()->action, POLICY_ALLOW);
	fixture_expect(&f, "b.yaml:1: warning: WorkloadEntry n/a: left out, since the same object is in a.yaml:1");
	fixture_expect(&f, "b.yaml:6: error: AuthorizationPolicy n/p: left out, since the same object is in a.yaml:6");
	fixture_remove(&f, "a.yaml");
	load_ok();
	ck_assert(has_ip("a", "10.0.0.2"));
	ck_assert_int_eq(policy()->action, POLICY_DENY);
}
END_TEST

START_TEST(test_mesh_yaml)
{
	fixture_write(&f, "a.yaml", WE("a", "address: 10.0.0.1, serviceAccount: s"));
	fixture_write(&f, "mesh.yaml", "trustDomain: one.test\nconnect_timeout: 3s\nrootNamespace: root\ndefaultConfig: {concurrency: 2}\naccessLogFile: /x\n");
	load_ok();
	ck_assert_str_eq(workload("a")->identity, "spiffe://one.test/ns/n/sa/s");
	ck_assert_uint_eq(mesh_settings(mesh_current())->connect_timeout_ms, 3000);
	ck_assert_str_eq(confdir_settings(f.c)->root_ns, "root");
	fixture_expect(&f, "mesh.yaml:4: warning: MeshConfig: defaultConfig.concurrency: not honoured yet: use --concurrency");
	fixture_expect(&f, "mesh.yaml:5: info: MeshConfig: accessLogFile: has no effect in ztunnel mode");

	fixture_write(&f, "mesh.yaml", "trustDomain: two.test\ntrustDomainAliases: [one.test]\n");
	load_ok();
	ck_assert_str_eq(workload("a")->identity, "spiffe://two.test/ns/n/sa/s");
	ck_assert_int_eq(mesh_settings(mesh_current())->n_aliases, 1);

	fixture_write(&f, "mesh.yaml", "trustDomain: Two/test\nconnectTimeout: 1\n");
	load_ok();
	ck_assert_str_eq(workload("a")->trust_domain, "two.test");
	fixture_expect(&f, "mesh.yaml:2: error: MeshConfig: connectTimeout: want a duration of whole milliseconds");

	fixture_remove(&f, "mesh.yaml");
	load_ok();
	ck_assert_str_eq(workload("a")->trust_domain, "cluster.local");
	ck_assert_uint_eq(confdir_count(f.c, FINDING_ERROR), 0);
}
END_TEST

static const struct { const char *text, *message; } bad_mesh[] = {
	{ "trustDomain: a/b\n", "/mesh.yaml:1: MeshConfig: trustDomain: want a name of a-z, 0-9, - and ., got 'a/b'" },
	{ "rootNamespace: [x]\n", "/mesh.yaml:1: MeshConfig: rootNamespace: want a string, got a list" },
	{ "connectTimeout: 0s\n", "connectTimeout: want a duration from 1ms to 3600000ms, got '0s'" },
	{ "- a\n", "want a map, got a list" },
	{ "trustDomain: a\n---\ntrustDomain: b\n", "/mesh.yaml:3: MeshConfig: want one document in mesh.yaml, got more" },
	{ "defaultConfig: {proxyMetadata: {MESHD_ENFORCEMENT: none}}\n", "want istio, closed or strict, got 'none'" },
};

START_TEST(test_bad_mesh_yaml)
{
	fixture_write(&f, "mesh.yaml", bad_mesh[_i].text);
	ck_assert_int_eq(fixture_load(&f), -EINVAL);
	ck_assert_msg(strstr(f.err.msg, bad_mesh[_i].message) != NULL, "%s", f.err.msg);
}
END_TEST

START_TEST(test_strict_by_mesh_yaml)
{
	fixture_write(&f, "mesh.yaml", "defaultConfig: {proxyMetadata: {MESHD_ENFORCEMENT: strict}}\n");
	load_ok();
	ck_assert(mesh_settings(mesh_current())->stance == STANCE_STRICT);
}
END_TEST

/* A ConfigMap volume: data in a hidden folder that a link points to, and links to the files; an update swaps one link. */
START_TEST(test_kubernetes_volume)
{
	char *cmd = xasprintf("cd %s && mkdir ..v1 ..v2 && printf '%%s' '%s' >..v1/a.yaml && printf '%%s' '%s' >..v2/a.yaml && "
			      "ln -s ..v1 ..data && ln -s ..data/a.yaml a.yaml", f.dir,
			      "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: a, namespace: n}, spec: {address: 10.0.0.1}}",
			      "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: a, namespace: n}, spec: {address: 10.0.0.2}}");
	char *swap = xasprintf("cd %s && ln -s ..v2 ..tmp && mv -T ..tmp ..data", f.dir);

	ck_assert_int_eq(system(cmd), 0);
	load_ok();
	ck_assert(has_ip("a", "10.0.0.1"));
	ck_assert_uint_eq(confdir_objects(f.c), 1);
	ck_assert_int_eq(system(swap), 0);
	load_ok();
	ck_assert(has_ip("a", "10.0.0.2"));
	free(cmd);
	free(swap);
}
END_TEST

static const struct { const char *cmd; int rc; const char *message; size_t objects; } layouts[] = {
	{ "mkdir -p x/y && cp a.src x/y/a.yml", 0, "", 1 },
	{ "cp a.src .a.yaml && mkdir .x && cp a.src .x/a.yaml && cp a.src a.txt", 0, "", 0 },
	{ "mkdir real.d && cp a.src real.d/a.yaml && mkdir x && mv real.d .hidden && ln -s ../.hidden x/link", 0, "", 1 },
	{ "ln -s nowhere a.yaml", -ENOENT, "/a.yaml: is a link that points nowhere", 0 },
	{ "mkdir x && ln -s .. x/up", -ELOOP, "folders deep", 0 },
	{ "mkdir x && mkfifo x/a.yaml", -EINVAL, "/x/a.yaml: is no regular file", 0 },
	{ ": >a.yaml", 0, "", 0 },
	{ "mkdir x && cp a.src x/mesh.yaml", 0, "", 1 },
};

START_TEST(test_layout)
{
	char *cmd = xasprintf("cd %s && %s", f.dir, layouts[_i].cmd);

	fixture_write(&f, "a.src", WE("a", "address: 10.0.0.1"));
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_msg(fixture_load(&f) == layouts[_i].rc, "%s: %s", layouts[_i].cmd, f.err.msg);
	ck_assert_msg(strstr(f.err.msg, layouts[_i].message) != NULL, "%s", f.err.msg);
	ck_assert_uint_eq(confdir_objects(f.c), layouts[_i].objects);
	free(cmd);
}
END_TEST

/* The same addresses whatever the order and the files. */
START_TEST(test_automatic_addresses)
{
	char one[4][ADDR_TEXT], text[ADDR_TEXT];

	fixture_write(&f, "a.yaml", SE("a", "") SE("b", ""));
	load_ok();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(service("n/a.test")->n_vips, 2);
		ip_format(&service("n/a.test")->vips[i].cidr.ip, one[i]);
		ip_format(&service("n/b.test")->vips[i].cidr.ip, one[2 + i]);
	}
	ck_assert(str_starts(str_c(one[0]), str_c("240.240.")));
	ck_assert(str_starts(str_c(one[1]), str_c("2001:2::")));
	ck_assert_str_ne(one[0], one[2]);
	fixture_write(&f, "a.yaml", SE("b", ""));
	fixture_write(&f, "b.yaml", SE("c", "") SE("a", ""));
	load_ok();
	ck_assert_str_eq(ip_format(&service("n/a.test")->vips[0].cidr.ip, text), one[0]);
	ck_assert_str_eq(ip_format(&service("n/b.test")->vips[1].cidr.ip, text), one[3]);
}
END_TEST

START_TEST(test_warnings_are_counted)
{
	struct buf b = { 0 };
	char *text;

	for (int i = 0; i < 100; i++)
		buf_printf(&b, "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w%d}\nspec: {address: 10.0.0.1, colour: x}\n---\n", i);
	fixture_write_bytes(&f, "a.yaml", buf_data(&b), buf_len(&b));
	buf_done(&b);
	load_ok();
	ck_assert_uint_eq(confdir_count(f.c, FINDING_WARNING), 100);
	fixture_expect(&f, "spec.colour: unknown field: it is ignored (and 97 more)");
	text = fixture_findings(&f);
	ck_assert_uint_lt(strlen(text), 500);
	free(text);
}
END_TEST

START_TEST(test_dump)
{
	struct buf b = { 0 };

	fixture_write(&f, "a.yaml", WE("a", "address: '1\"2'"));
	load_ok();
	confdir_dump(f.c, &b);
	buf_append(&b, "", 1);
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&b), "\"kind\":\"WorkloadEntry\",\"namespace\":\"n\",\"name\":\"a\",\"path\":\"spec.address\""));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&b), "\"message\":\"want an IP address or a host name, got '1\\\"2'\""));
	buf_done(&b);
}
END_TEST

#define WAY "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: n}\nspec: {gatewayClassName: istio-waypoint}\n---\n"
#define SE_WITH_WAYPOINT "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: n, labels: {istio.io/use-waypoint: wp}}\n" \
	"spec: {hosts: [s.test], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: s}}}\n---\n"
#define WE_WITH(LABEL, AT) "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: s, namespace: n}\nspec: {address: " AT ", labels: {app: s, " LABEL "}}\n"
static const struct { const char *text; int status; const char *part; } analyses[] = {
	{ WE("a", "address: 10.0.0.1"), 0, "1 objects, 0 errors, 0 warnings.\n" },
	{ WE("a", "address: 10.0.0.1, colour: x"), 0, "1 objects, 0 errors, 1 warnings.\n" },
	{ WE("a", "address: 1.2.3"), ANALYZE_FOUND, "/a.yaml:4: error: WorkloadEntry n/a: spec.address: want an IP address or a host name, got '1.2.3'\n" },
	{ WAY SE_WITH_WAYPOINT WE_WITH("", "10.0.0.1"), 0, "Sidecars send what is for a service with a waypoint there, since all workloads with a proxy speak HBONE" },
	{ WAY SE_WITH_WAYPOINT WE_WITH("security.istio.io/tlsMode: istio", "10.0.0.1"), 0, "Sidecars pass by the waypoints of services, as Istio's do" },
	{ "a: [\n", ANALYZE_FOUND, "The directory would not be loaded.\n0 objects, 1 errors, 0 warnings.\n" },
};

/* Nothing of it stays for who loads next, in whatever mode; and it can be loaded again. */
START_TEST(test_withdraw)
{
	fixture_write(&f, "a.yaml", WE("w", "address: 10.0.0.1") SE("s", "ports: [{number: 80, name: http}], endpoints: [{address: 10.0.0.2}]") AP("p", "action: DENY, rules: [{}]"));
	load_ok();
	ck_assert_ptr_nonnull(workload("w"));
	confdir_withdraw(f.c);
	ck_assert_ptr_null(workload("w"));
	ck_assert_ptr_null(service("n/s.test"));
	ck_assert_ptr_null(policy());
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), 0);
	load_ok();
	ck_assert_ptr_nonnull(workload("w"));
}
END_TEST

START_TEST(test_analyze)
{
	struct buf b = { 0 };

	fixture_write(&f, "a.yaml", analyses[_i].text);
	ck_assert_int_eq(analyze_dir(f.dir, &f.settings, &b), analyses[_i].status);
	buf_append(&b, "", 1);
	ck_assert_msg(strstr((char *)buf_data(&b), analyses[_i].part) != NULL, "%s", (char *)buf_data(&b));
	buf_done(&b);
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("confdir");
	TCase *t = tcase_create("confdir");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_no_directory);
	tcase_add_test(t, test_only_differences);
	tcase_add_test(t, test_rewritten_alike);
	tcase_add_loop_test(t, test_held_back, 0, ARRAY_LEN(broken));
	tcase_add_test(t, test_first_load_fails);
	tcase_add_test(t, test_too_large);
	tcase_add_test(t, test_no_permission);
	tcase_add_test(t, test_bad_object_keeps_last_good);
	tcase_add_test(t, test_bad_policy_without_predecessor);
	tcase_add_test(t, test_double);
	tcase_add_test(t, test_mesh_yaml);
	tcase_add_loop_test(t, test_bad_mesh_yaml, 0, ARRAY_LEN(bad_mesh));
	tcase_add_test(t, test_strict_by_mesh_yaml);
	tcase_add_test(t, test_kubernetes_volume);
	tcase_add_loop_test(t, test_layout, 0, ARRAY_LEN(layouts));
	tcase_add_test(t, test_automatic_addresses);
	tcase_add_test(t, test_warnings_are_counted);
	tcase_add_test(t, test_dump);
	tcase_add_test(t, test_withdraw);
	tcase_add_loop_test(t, test_analyze, 0, ARRAY_LEN(analyses));
	suite_add_tcase(s, t);
	return suite_run(s);
}
