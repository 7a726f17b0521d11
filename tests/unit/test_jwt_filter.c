/* SPDX-License-Identifier: Apache-2.0 */
/* RequestAuthentication before a server: where tokens are found, what becomes of them, what a client is told. Keys and tokens are jwt.txt's. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/filters.h"

#include "model/mesh.h"
#include "policy/authz.h"
#include "policy/jwksource.h"
#include "policy/jwt_filter.h"
#include "suite.h"

static char *keys, *good, *forged, *elsewhere;      /* a JWKS; tokens */
static const struct filter chain[] = { { &jwt_filter, NULL }, { &authz_filter, NULL } };

static char *vector(const char *name)
{
	char path[512], *line = NULL, *found = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%.*s/jwt.txt", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (!found && (n = getline(&line, &cap, f)) > 0) {
		struct str rest, token, row = { line, (size_t)n - 1 }, title = str_cut(row, '|', &rest);

		str_cut(rest, '|', &token);
		if (name ? str_is(title, name) : line[0] == '{')
			found = str_dup(name ? token : row);
	}
	free(line);
	fclose(f);
	ck_assert_msg(found != NULL, "%s", name);
	return found;
}

static struct issuer { int fd; uint16_t port; atomic_int asked; const char *_Atomic body; const char *_Atomic head; } issuer;

static struct jwt_rule rule;
static struct workload *w;

static void publish(const struct jwt_rule *rules, int n)
{
	static const struct mesh_settings settings = { .trust_domain = "cluster.local", .root_ns = "istio-system", .mode = MODE_SIDECAR };
	struct mesh_edit *e = mesh_edit_begin();
	struct request_authn *a;
	struct err err;

	mesh_edit_settings(e, &settings);
	w = workload_new(&(struct workload){ .uid = "w", .ns = "prod", .name = "w" });
	mesh_put_workload(e, w);
	if (n) {
		a = request_authn_new(&(struct request_authn){ .key = "prod/a", .ns = "prod", .name = "a", .rules = rules, .n_rules = n });
		ck_assert_msg(jwt_compile(a, &err) == 0, "%s", err.msg);
		mesh_put_request_authn(e, a);
	}
	mesh_edit_publish(e);
	fr.who.local_workload = w;
}

static void setup(void)
{
	keys = vector(NULL);
	good = vector("RS256");
	forged = vector("another key");
	elsewhere = vector("no claims");
	rule = (struct jwt_rule){ .issuer = "https://id.test", .jwks = keys };
}

static void teardown(void)
{
	if (!issuer.fd)      /* its thread may still look at them */
		free(keys);
	free(good);
	free(forged);
	free(elsewhere);
}

static const char *request(const char *path, const char *fields)
{
	static char text[60000];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: shop.test\r\n%s\r\n", path, fields);
	return text;
}

static const char *field(const char *format, const char *token)
{
	static char text[50000];

	snprintf(text, sizeof(text), format, token);
	return text;
}

#define ck_has(where, text) ck_assert_msg(strstr(where, text) != NULL, "want '%s' in: %s", text, where)
#define ck_lacks(where, text) ck_assert_msg(strstr(where, text) == NULL, "want no '%s' in: %s", text, where)

START_TEST(no_token_passes)
{
	publish(&rule, 1);
	filters_ask(chain, 2, request("/", ""));
	ck_has(fr.got, "HTTP/1.1 200");
	filters_ask(chain, 2, request("/", "Authorization: Basic abc\r\n"));
	ck_has(fr.got, "HTTP/1.1 200");
	ck_has(fr.sent, "Basic abc");
}
END_TEST

START_TEST(good_token_is_taken_out)
{
	publish(&rule, 1);
	for (int i = 0; i < 2; i++) {      /* the second time it is remembered */
		filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", good)));
		ck_has(fr.got, "HTTP/1.1 200");
		ck_lacks(fr.sent, "uthorization");
	}
	rule.forward = true;
	publish(&rule, 1);
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_has(fr.sent, good);
}
END_TEST

static const struct { const char *vector, *text, *details; int status; } bad[] = {
	{ "another key", "Jwt verification fails", "jwt_authn_access_denied{Jwt_verification_fails}", 401 },
	{ "no claims", "Jwt issuer is not configured", "jwt_authn_access_denied{Jwt_issuer_is_not_configured}", 401 },
	{ "time: exp 0", "Jwt is expired", "jwt_authn_access_denied{Jwt_is_expired}", 401 },
	{ "alg none", "Jwt header [alg] is not supported", "jwt_authn_access_denied{Jwt_header_[alg]_is_not_supported}", 401 },
	{ "HS256 by the public key as PEM", "Jwt verification fails", "jwt_authn_access_denied{Jwt_verification_fails}", 401 },
	{ "crit unknown", "Jwt header [crit] is not supported", "jwt_authn_access_denied{Jwt_header_[crit]_is_not_supported}", 401 },
	{ "kid of nobody", "Jwks doesn't have key to match kid or alg from Jwt", "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}", 401 },
	{ "form: two parts", "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections", "jwt_authn_access_denied{", 401 },
	{ "10 kB nested", "", "via_upstream", 200 },
};

START_TEST(bad_token_is_refused)
{
	char *token = vector(bad[_i].vector);

	publish(&rule, 1);
	filters_ask(chain, 2, request("/a?b=c", field("Authorization: Bearer %s\r\n", token)));
	ck_assert_int_eq(fr.status, bad[_i].status);
	ck_has(fr.details, bad[_i].details);
	ck_has(fr.got, bad[_i].text);
	if (bad[_i].status == 401) {
		ck_has(fr.got, "www-authenticate: Bearer realm=\"http://shop.test/a?b=c\", error=\"invalid_token\"");
		ck_assert_str_eq(fr.sent, "");
	}
	free(token);
}
END_TEST

START_TEST(audience)
{
	static const char *const wanted[] = { "other" };

	rule.audiences = wanted;
	rule.n_audiences = 1;
	publish(&rule, 1);
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_assert_int_eq(fr.status, 403);
	ck_has(fr.got, "Audiences in Jwt are not allowed");
}
END_TEST

START_TEST(locations)
{
	static const struct jwt_header headers[] = { { "x-jwt", "" }, { "x-pre", "Token " } };
	static const char *const params[] = { "tok" }, *const cookies[] = { "sid" };

	rule.headers = headers;
	rule.n_headers = 2;
	rule.params = params;
	rule.cookies = cookies;
	rule.n_params = rule.n_cookies = 1;
	publish(&rule, 1);
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", forged)));      /* not looked at */
	ck_assert_int_eq(fr.status, 200);
	filters_ask(chain, 2, request("/", field("X-Jwt: %s\r\n", good)));
	ck_assert_int_eq(fr.status, 200);
	ck_lacks(fr.sent, "jwt");
	filters_ask(chain, 2, request("/", field("X-Jwt: %s\r\n", forged)));
	ck_assert_int_eq(fr.status, 401);
	filters_ask(chain, 2, request("/", field("x-pre: Token  %s\r\n", good)));
	ck_assert_int_eq(fr.status, 200);
	ck_lacks(fr.sent, "x-pre");
	filters_ask(chain, 2, request(field("/p?a=1&tok=%s&b=2", good), ""));
	ck_assert_int_eq(fr.status, 200);
	ck_has(fr.sent, "GET /p?a=1&b=2 HTTP/1.1");
	filters_ask(chain, 2, request(field("/p?tok=%s", forged), ""));
	ck_assert_int_eq(fr.status, 401);
	filters_ask(chain, 2, request(field("/p?tok=%s", good), ""));
	ck_has(fr.sent, "GET /p HTTP/1.1");
	filters_ask(chain, 2, request("/", field("Cookie: a=b; sid=%s; c=d\r\n", good)));
	ck_assert_int_eq(fr.status, 200);
	filters_ask(chain, 2, request("/", field("Cookie: sid=%s\r\n", forged)));
	ck_assert_int_eq(fr.status, 401);
}
END_TEST

START_TEST(default_locations)
{
	publish(&rule, 1);
	filters_ask(chain, 2, request(field("/p?access_token=%s", good), ""));
	ck_assert_int_eq(fr.status, 200);
	filters_ask(chain, 2, request(field("/p?access_token=%s", forged), ""));
	ck_assert_int_eq(fr.status, 401);
}
END_TEST

START_TEST(what_it_says_goes_on)
{
	static const char *const sub[] = { "sub" }, *const exp[] = { "exp" }, *const none[] = { "none" };
	static const struct jwt_claim_header claims[] = { { "x-sub", sub, 1 }, { "x-exp", exp, 1 }, { "x-none", none, 1 } };

	rule.payload_header = "x-payload";
	rule.claim_headers = claims;
	rule.n_claim_headers = 3;
	publish(&rule, 1);
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\nx-sub: root\r\nX-Payload: evil\r\nx-none: evil\r\n", good)));
	ck_has(fr.sent, "x-sub: joe\r\n");
	ck_has(fr.sent, "x-exp: 4102444800\r\n");
	ck_has(fr.sent, "x-payload: eyJpc3MiOi");
	ck_lacks(fr.sent, "evil");
	ck_lacks(fr.sent, "root");
	filters_ask(chain, 2, request("/", "x-sub: root\r\nx-payload: evil\r\n"));
	ck_assert_int_eq(fr.status, 200);
	ck_lacks(fr.sent, "root");
	ck_lacks(fr.sent, "evil");
}
END_TEST

START_TEST(several_rules)
{
	struct jwt_rule rules[2] = { rule, rule };

	rules[1].issuer = "https://other.test";
	publish(rules, 2);
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_assert_int_eq(fr.status, 200);
	rules[0].issuer = "https://other.test";
	rules[1].issuer = "https://id.test";
	publish(rules, 2);
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_assert_int_eq(fr.status, 200);
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", forged)));
	ck_has(fr.got, "Jwt verification fails");
	filters_ask(chain, 2, request("/", field("Authorization: Bearer %s\r\n", elsewhere)));
	ck_has(fr.got, "Jwt issuer is not configured");
	filters_ask(chain, 2, request("/", ""));
	ck_assert_int_eq(fr.status, 200);
}
END_TEST

START_TEST(preflight)
{
	publish(&rule, 1);
	filters_open(chain, 2);
	filters_say(&fr.down, "OPTIONS / HTTP/1.1\r\nHost: h\r\nOrigin: x\r\nAccess-Control-Request-Method: GET\r\nAuthorization: Bearer junk\r\n\r\n");
	filters_finish();
	ck_assert_int_eq(fr.status, 200);
	filters_open(chain, 2);
	filters_say(&fr.down, "OPTIONS / HTTP/1.1\r\nHost: h\r\nOrigin: x\r\nAuthorization: Bearer junk\r\n\r\n");
	filters_finish();
	ck_assert_int_eq(fr.status, 401);
}
END_TEST

START_TEST(broken_refuses)
{
	struct mesh_edit *e;

	publish(NULL, 0);
	e = mesh_edit_begin();
	mesh_put_request_authn(e, request_authn_new(&(struct request_authn){ .key = "prod/a", .ns = "prod", .name = "a", .broken = true, .problem = "x" }));
	mesh_edit_publish(e);
	filters_ask(chain, 2, request("/", ""));
	ck_assert_int_eq(fr.status, 403);
}
END_TEST

/* --- keys by URI --- */


static void *serve(void *arg)
{
	char in[4096], out[64];
	const char *body;
	int c;

	while ((c = accept(issuer.fd, NULL, NULL)) >= 0) {
		ssize_t n = read(c, in, sizeof(in) - 1);

		in[n > 0 ? n : 0] = '\0';
		body = atomic_load(&issuer.body);
		atomic_fetch_add(&issuer.asked, 1);
		if (strstr(in, "openid-configuration")) {
			snprintf(in, sizeof(in), "{\"jwks_uri\":\"http://127.0.0.1:%u/keys\"}", issuer.port);
			body = in;
		}
		dprintf(c, "%s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", atomic_load(&issuer.head), strlen(body));
		send(c, body, strlen(body), MSG_NOSIGNAL);
		shutdown(c, SHUT_WR);
		while (read(c, out, sizeof(out)) > 0)
			;
		close(c);
	}
	return NULL;
}

static void issuer_open(const char *body, const char *head)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a);
	pthread_t t;

	issuer.fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(issuer.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(getsockname(issuer.fd, (struct sockaddr *)&a, &n), 0);
	ck_assert_int_eq(listen(issuer.fd, 8), 0);
	issuer.port = ntohs(a.sin_port);
	atomic_store(&issuer.asked, 0);
	atomic_store(&issuer.body, body);
	atomic_store(&issuer.head, head);
	ck_assert_int_eq(pthread_create(&t, NULL, serve, NULL), 0);
	pthread_detach(t);
	if (!fr.loop)
		fr.loop = loop_new(-1);
	jwksource_start(fr.loop, &(struct jwksource_conf){ .roots = str_c("SYSTEM") });
}

/* Lets a request that waits for keys wait. */
static void ask_and_wait(const char *text)
{
	filters_open(chain, 2);
	filters_say(&fr.down, text);
	for (int i = 0; i < 400 && !buf_len(&fr.up.out) && !buf_len(&fr.down.out); i++) {
		usleep(10000);
		filters_turn();
	}
	filters_finish();
}

static char uri[64];

static void by_uri(const char *path)
{
	snprintf(uri, sizeof(uri), "http://127.0.0.1:%u%s", issuer.port, path);
	rule.jwks = "";
	rule.jwks_uri = uri;
	rule.timeout_ms = 2000;
	publish(&rule, 1);
}

/* The keys of jwt.txt without its secret, which a server may not publish anyway. */
START_TEST(fetched_and_rotated)
{
	char *token;

	issuer_open("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"before\",\"n\":\"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDpre\",\"e\":\"AQAB\"}]}",
		    "HTTP/1.1 200 OK");
	by_uri("/keys");
	ask_and_wait(request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_has(fr.got, "Jwks doesn't have key to match kid or alg from Jwt");
	ck_assert_int_ge(atomic_load(&issuer.asked), 1);
	atomic_store(&issuer.body, keys);
	usleep((LIMIT_JWKS_AGAIN_MS + 100) * 1000);
	ask_and_wait(request("/", field("Authorization: Bearer %s\r\n", good)));      /* an unknown key id: they are fetched anew */
	ck_has(fr.got, "HTTP/1.1 200");
	/* The issuer is away: the last keys stay. */
	atomic_store(&issuer.head, "HTTP/1.1 500 Oops");
	usleep((LIMIT_JWKS_AGAIN_MS + 100) * 1000);
	token = vector("kid of nobody");
	ask_and_wait(request("/", field("Authorization: Bearer %s\r\n", token)));
	free(token);
	ck_assert_int_eq(fr.status, 401);
	token = vector("ES256");
	ask_and_wait(request("/", field("Authorization: Bearer %s\r\n", token)));
	free(token);
	ck_has(fr.got, "HTTP/1.1 200");
	jwksource_stop();
}
END_TEST

START_TEST(discovered)
{
	char text[64];

	issuer_open(keys, "HTTP/1.1 200 OK");
	snprintf(text, sizeof(text), "http://127.0.0.1:%u/", issuer.port);
	rule.jwks = "";
	rule.issuer = text;
	publish(&rule, 1);
	ask_and_wait(request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_has(fr.got, "Jwt issuer is not configured");
	for (int i = 0; i < 200 && atomic_load(&issuer.asked) < 2; i++) {
		usleep(10000);
		filters_turn();
	}
	ck_assert_int_eq(atomic_load(&issuer.asked), 2);
	jwksource_stop();
}
END_TEST

static const struct { const char *body, *head, *url; } unusable[] = {
	{ "<html>", "HTTP/1.1 200 OK", NULL },
	{ "{\"keys\":[]}", "HTTP/1.1 200 OK", NULL },
	{ NULL, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/", NULL },
	{ NULL, "HTTP/1.1 404 Not Found", NULL },
	{ NULL, "HTTP/9 x", NULL },
	{ NULL, "", "http://169.254.169.254/keys" },
	{ NULL, "", "http://[fe80::1]/keys" },
	{ NULL, "", "ftp://127.0.0.1/keys" },
	{ NULL, "", "http://127.0.0.1:1/keys" },
};

START_TEST(unusable_keys)
{
	issuer_open(unusable[_i].body ? unusable[_i].body : keys, unusable[_i].head);
	by_uri("/keys");
	if (unusable[_i].url) {
		rule.jwks_uri = unusable[_i].url;
		publish(&rule, 1);
	}
	ask_and_wait(request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_assert_int_eq(fr.status, 401);
	ck_has(fr.got, "Jwks remote fetch is failed");
	ask_and_wait(request("/", ""));
	ck_assert_int_eq(fr.status, 200);
	jwksource_stop();
}
END_TEST

/* The rule becomes one that cannot be loaded while a request waits for its keys, from a server that never answers. */
START_TEST(broken_while_it_waits)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a);
	struct mesh_edit *e;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	issuer.port = ntohs(a.sin_port);
	if (!fr.loop)
		fr.loop = loop_new(-1);
	jwksource_start(fr.loop, &(struct jwksource_conf){ .roots = str_c("SYSTEM") });
	by_uri("/keys");
	filters_open(chain, 2);
	filters_say(&fr.down, request("/", field("Authorization: Bearer %s\r\n", good)));
	filters_turn();
	ck_assert_uint_eq(buf_len(&fr.down.out), 0);
	e = mesh_edit_begin();
	mesh_put_request_authn(e, request_authn_new(&(struct request_authn){ .key = "prod/a", .ns = "prod", .name = "a", .broken = true, .problem = "x" }));
	mesh_edit_publish(e);
	for (int i = 0; i < 1000 && !buf_len(&fr.up.out) && !buf_len(&fr.down.out); i++) {
		usleep(10000);
		filters_turn();
	}
	filters_finish();
	ck_assert_int_eq(fr.status, 403);
	ck_assert_str_eq(fr.sent, "");
	jwksource_stop();
	close(fd);
}
END_TEST

START_TEST(huge_keys)
{
	static char text[LIMIT_JWKS_BYTES + 100];      /* the issuer's thread may still look at it */

	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, keys, strlen(keys));
	issuer_open(text, "HTTP/1.1 200 OK");
	by_uri("/keys");
	ask_and_wait(request("/", field("Authorization: Bearer %s\r\n", good)));
	ck_has(fr.got, "Jwks remote fetch is failed");
	jwksource_stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jwt_filter");
	TCase *t = tcase_create("jwt_filter");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, no_token_passes);
	tcase_add_test(t, good_token_is_taken_out);
	tcase_add_loop_test(t, bad_token_is_refused, 0, ARRAY_LEN(bad));
	tcase_add_test(t, audience);
	tcase_add_test(t, locations);
	tcase_add_test(t, default_locations);
	tcase_add_test(t, what_it_says_goes_on);
	tcase_add_test(t, several_rules);
	tcase_add_test(t, preflight);
	tcase_add_test(t, broken_refuses);
	tcase_add_test(t, fetched_and_rotated);
	tcase_add_test(t, discovered);
	tcase_add_loop_test(t, unusable_keys, 0, ARRAY_LEN(unusable));
	tcase_add_test(t, broken_while_it_waits);
	tcase_add_test(t, huge_keys);
	suite_add_tcase(s, t);
	return suite_run(s);
}
