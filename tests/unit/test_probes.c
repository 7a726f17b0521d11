/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelet's probes: what is read of them, and an application that answers, is silent, or is not there. */
#include "src/probes.h"

#include <stdio.h>

#include "base/log.h"
#include "tests/unit/stages.h"

static struct loop *l;
static struct probes *probes;
static struct h1server *status_port;
static int app, port;                        /* the application's listening socket */
static char answer[4096];

static void on_probe(struct h1server_request *rq, void *arg)
{
	struct ip ip;

	ip_parse(str_c("127.0.0.1"), &ip);
	probes_answer(probes, rq, &ip);
}

static const struct h1server_route routes[] = { { "GET", "/app-health/*", on_probe } };
static const struct h1server_site site = { .routes = routes, .n_routes = 1 };

static void setup(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	struct addr any = { .port = 0 };
	struct err err;

	log_set_levels(str_c("off"), NULL);
	l = loop_new(-1);
	ip_parse(str_c("127.0.0.1"), &any.ip);
	ck_assert_int_eq(h1server_open(l, &any, &site, &status_port, &err), 0);
	app = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(app, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(app, 4), 0);
	getsockname(app, (struct sockaddr *)&at, &len);
	port = ntohs(at.sin_port);
}

static void teardown(void)
{
	h1server_close(status_port);
	probes_free(probes);
	probes = NULL;
	close(app);
	turn(l);
	loop_free(l);
}

/* %d is the application's port. */
static void configure(const char *json)
{
	char text[1024];
	struct err err;

	snprintf(text, sizeof(text), json, port);
	ck_assert_msg(probes_new(l, text, 0, &probes, &err) == 0, "%s", err.msg);
}

static int kubelet(const char *path)
{
	struct sockaddr_storage sa;
	struct addr at;
	char text[512];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	h1server_addr(status_port, &at);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&at, AF_INET, &sa)), 0);
	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: 10.0.0.1:15020\r\nUser-Agent: kube-probe/1.31\r\nConnection: keep-alive\r\nTE: trailers\r\n\r\n", path);
	ck_assert_int_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	turn(l);
	return fd;
}

/* The status of what the kubelet is told within so many turns (20 ms each); 0: nothing. */
static int told(int fd, int turns)
{
	int status = 0;
	ssize_t n = -1;

	for (int i = 0; i < turns && n <= 0; i++) {
		turn(l);
		n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	}
	answer[n > 0 ? n : 0] = '\0';
	sscanf(answer, "HTTP/1.1 %d", &status);
	close(fd);
	return status;
}

/* What the application gets; the connection stays. */
static int taken(char text[2048])
{
	ssize_t n;
	int fd = accept(app, NULL, NULL);

	ck_assert_int_ge(fd, 0);
	turn(l);
	n = recv(fd, text, 2047, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return fd;
}

static const struct {
	const char *json, *why;
} refused[] = {
	{ "[]", "want one object" }, { "{\"/a\": {\"tcpSocket\": {\"port\": 1}}}\n---\n{\"/b\": {\"tcpSocket\": {\"port\": 1}}, \"/c\": {\"tcpSocket\": {\"port\": 2}}}", "want one object" },
	{ "{\"/app-health/x/livez\": {}}", "/app-health/x/livez: want httpGet" }, { "{\"/a\": {\"httpGet\": {\"path\": \"/\"}}}", "/a: want" },
	{ "{\"/a\": {\"httpGet\": {\"port\": \"http\"}}}", "/a: want" }, { "{\"/a\": {\"tcpSocket\": {\"port\": 65536}}}", "/a: want" },
	{ "{\"/a\": {\"exec\": {\"command\": [\"x\"]}}}", "/a: want" }, { "{\"/a\": ", "ISTIO_KUBE_APP_PROBERS" },
	{ "{\"/a\": {\"grpc\": {\"port\": 1, \"service\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}}",
	  "/a: the service's name" },
};

START_TEST(refuses)
{
	struct err err;

	memset(&err, '!', sizeof(err));
	ck_assert_int_lt(probes_new(l, refused[_i].json, 0, &probes, &err), 0);
	ck_assert_msg(strstr(err.msg, refused[_i].why) != NULL, "%.200s", err.msg);
}
END_TEST

START_TEST(http)
{
	char got[2048];
	int fd, app_fd;

	configure("{\"/app-health/a/livez\": {\"httpGet\": {\"path\": \"live?x=1\", \"port\": %d, \"httpHeaders\": [{\"name\": \"Host\", \"value\": \"a.example\"}, "
		  "{\"name\": \"X-A\", \"value\": \"b\"}]}}}");
	fd = kubelet("/app-health/a/livez");
	app_fd = taken(got);
	ck_assert_msg(strncmp(got, "GET /live?x=1 HTTP/1.1\r\nHost: a.example\r\n", 41) == 0, "%s", got);
	ck_assert(strcasestr(got, "\r\nx-a: b\r\n") && strcasestr(got, "\r\nuser-agent: kube-probe/1.31\r\n"));
	ck_assert(!strcasestr(got, "10.0.0.1") && !strcasestr(got, "\r\nte:") && !strcasestr(got, "keep-alive"));
	ck_assert_int_gt(send(app_fd, "HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\n\r\ntea", 46, 0), 0);
	ck_assert_int_eq(told(fd, 20), 418);
	ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\ntea"));
	close(app_fd);
	ck_assert_int_eq(told(kubelet("/app-health/a/other"), 20), 404);
}
END_TEST

START_TEST(tcp)
{
	configure("{\"/app-health/a/livez\": {\"tcpSocket\": {\"port\": %d}}, \"/app-health/b/livez\": {\"tcpSocket\": {\"port\": 1}}}");
	ck_assert_int_eq(told(kubelet("/app-health/a/livez"), 20), 200);
	ck_assert_int_eq(told(kubelet("/app-health/b/livez"), 20), 500);
}
END_TEST

static const char *const kinds[] = { "httpGet", "grpc" };

/* It accepts, and says nothing: within a second, which is what Kubernetes takes where nothing is said. */
START_TEST(silent)
{
	char text[256];
	int fd;

	snprintf(text, sizeof(text), "{\"/app-health/a/livez\": {\"%s\": {\"port\": %%d}}}", kinds[_i]);
	configure(text);
	fd = kubelet("/app-health/a/livez");
	ck_assert_int_eq(told(fd, 400), 500);
}
END_TEST

/* The kubelet goes, or we end, while the application still thinks. */
START_TEST(gone)
{
	char text[256], got[2048];
	int fd, app_fd;

	snprintf(text, sizeof(text), "{\"/app-health/a/livez\": {\"%s\": {\"port\": %%d}, \"timeoutSeconds\": 4000}}", kinds[_i]);
	configure(text);
	reset_and_close(kubelet("/app-health/a/livez"));
	app_fd = taken(got);
	turn(l);
	ck_assert(recv(app_fd, got, sizeof(got), MSG_DONTWAIT) == 0 || errno == ECONNRESET);   /* nobody waits for the answer */
	close(app_fd);
	fd = kubelet("/app-health/a/livez");
	ck_assert_int_eq(told(dup(fd), 60), 0);                              /* 4000 s are not over */
	probes_free(probes);
	probes = NULL;
	ck_assert_int_eq(told(fd, 20), 500);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("probes");
	TCase *c = tcase_create("probes");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, refuses, 0, (int)ARRAY_LEN(refused));
	tcase_add_test(c, http);
	tcase_add_test(c, tcp);
	tcase_add_loop_test(c, silent, 0, (int)ARRAY_LEN(kinds));
	tcase_add_loop_test(c, gone, 0, (int)ARRAY_LEN(kinds));
	suite_add_tcase(s, c);
	return suite_run(s);
}
