/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners that a Sidecar object asks for, as plans come and go. */
#include "modes/binds.h"

#include "base/log.h"
#include "tests/unit/pod_fixture.h"
#include "tests/unit/stages.h"

static struct podlab p;

static const char service[] = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\n"
	"spec: {hosts: [a.example], addresses: [10.0.0.1], ports: [{number: 80, name: http, protocol: HTTP}, {number: %u, name: http-a, protocol: HTTP}, "
	"{number: %u, name: http-b, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 10.1.0.1}]}\n---\n";
static uint16_t a, b;                    /* of the service, too: a listener is for services that have its port */

static char *sidecar(const char *more)
{
	char *se = xasprintf(service, a, b), *text = *more ? xasprintf("%sapiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: shop}\nspec:\n  workloadSelector: {labels: {app: me}}\n%s", se, more) :
		xstrdup(se);

	free(se);
	return text;
}

static void ask_for(const char *more)
{
	char *text = sidecar(more);

	fixture_write(&p.f, "test.yaml", text);
	podlab_load(&p);
	free(text);
	binds_renew(&p.pod);
}

/* A free port of loopback; kept: the listening socket has it, and shares it with nobody. */
static uint16_t port_of(int *kept)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&at, &len);
	if (kept)
		*kept = fd;
	else
		close(fd);
	return ntohs(at.sin_port);
}

static bool open_at(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool yes = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;

	reset_and_close(fd);
	return yes;
}

static char *egress(uint16_t port)
{
	return xasprintf("  egress:\n  - {port: {number: %u, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: [\"./*\"]}\n", port);
}

static void setup(void)
{
	log_set_levels(str_c("off"), NULL);
	podlab_init(&p, MODE_SIDECAR, "");
	binds_renew(&p.pod);
	ck_assert(list_empty(&p.pod.l7->binds));
}

static void teardown(void)
{
	podlab_done(&p);
}

START_TEST(follows_the_plan)
{
	struct addr at = { .port = a = port_of(NULL) };
	char *first = egress(a), *second = egress(b = port_of(NULL));

	ip_parse(str_c("127.0.0.1"), &at.ip);
	ask_for(first);
	ck_assert(open_at(a));
	ck_assert_ptr_nonnull(binds_outbound(plan_current(), &at));
	ck_assert_ptr_null(binds_inbound(plan_current(), &at));
	ask_for(second);
	ck_assert(!open_at(a) && open_at(b));
	ck_assert_ptr_null(binds_outbound(plan_current(), &at));
	ask_for("");
	ck_assert(!open_at(b) && list_empty(&p.pod.l7->binds));
	free(first);
	free(second);
}
END_TEST

/* Somebody else has the port: everything else goes on, and it is tried again with the next plan. */
START_TEST(a_taken_port)
{
	char *both;
	int other;

	a = port_of(&other);
	b = port_of(NULL);
	both = xasprintf("  egress:\n  - {port: {number: %u, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: [\"./*\"]}\n"
			       "  - {port: {number: %u, protocol: HTTP, name: other}, bind: 127.0.0.1, captureMode: NONE, hosts: [\"./*\"]}\n", a, b);
	ask_for(both);
	ck_assert(open_at(b));
	close(other);
	ck_assert(!open_at(a));
	binds_renew(&p.pod);
	ck_assert(open_at(a) && open_at(b));
	free(both);
}
END_TEST

/* The application's listeners end first, as clients must go elsewhere; the application itself still asks. */
START_TEST(drains_in_two_steps)
{
	uint16_t in = b = port_of(NULL), out = a = port_of(NULL);
	char *both = xasprintf("  ingress:\n  - {port: {number: %u, protocol: HTTP, name: http}, bind: 127.0.0.1, defaultEndpoint: \"127.0.0.1:1\", captureMode: NONE}\n"
			       "  egress:\n  - {port: {number: %u, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: [\"./*\"]}\n", in, out);

	ask_for(both);
	ck_assert(open_at(in) && open_at(out));
	binds_close(&p.pod, true);
	ck_assert(!open_at(in) && open_at(out));
	p.pod.draining = true;
	binds_renew(&p.pod);
	ck_assert(!open_at(in));
	binds_close(&p.pod, false);
	ck_assert(!open_at(out));
	free(both);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("binds");
	TCase *t = tcase_create("binds");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, follows_the_plan);
	tcase_add_test(t, a_taken_port);
	tcase_add_test(t, drains_in_two_steps);
	suite_add_tcase(s, t);
	return suite_run(s);
}
