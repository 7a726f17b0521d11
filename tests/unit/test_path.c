/* SPDX-License-Identifier: Apache-2.0 */
#include "confdir_fixture.h"
#include "source/path.h"
#include "suite.h"

static struct fixture f;

static void setup(void) { fixture_init(&f); }
static void teardown(void) { fixture_done(&f); }

/* What is written of it; free() it. */
static char *walk(struct path_ask ask, bool json)
{
	struct buf out = { 0 };
	struct path path;
	struct err err;
	char *text;

	ask.method = ask.method ? ask.method : "GET";
	ask.path = ask.path ? ask.path : "/";
	ck_assert_msg(path_find(f.dir, &ask, &f.settings, &path, &err) == 0, "%s", err.msg);
	(json ? path_write_json : path_write_text)(&path, &out);
	path_done(&path);
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), 0);
	text = str_dup(buf_str(&out));
	buf_done(&out);
	return text;
}

static void expect(struct path_ask ask, const char *want)
{
	char *text = walk(ask, false);

	ck_assert_msg(strstr(text, want) != NULL, "%s to %s: want %s in\n%s", ask.from, ask.to, want, text);
	free(text);
}

static const char shop[] =
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: cart, namespace: shop}\nspec: {hosts: [cart.shop.svc.cluster.local], addresses: [10.0.0.1], "
	"location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}, {number: 9, name: tcp, protocol: TCP}], endpoints: [{address: 10.1.0.1}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: shop}\nspec: {hosts: [cart], http: [{name: a, match: [{uri: {prefix: /a}, headers: {x: {exact: '1'}}}], "
	"rewrite: {uri: /b}, timeout: 3s, route: [{destination: {host: cart}, weight: 1}, {destination: {host: gone}, weight: 3}]}, {match: [{uri: {exact: /r}}], redirect: {uri: /s}}, "
	"{match: [{uri: {prefix: /f}}], fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {host: cart}}]}, "
	"{match: [{uri: {prefix: /half}}], fault: {abort: {httpStatus: 418, percentage: {value: 50}}}, route: [{destination: {host: cart}}]}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: me, namespace: shop}\nspec: {address: 10.2.0.1, serviceAccount: mine}\n";

START_TEST(tells_the_routes)
{
	static char braces[20000] = "/";
	static const char *const x1[] = { "x: 1" }, *const other[] = { "Host: other.test" };
	static const struct { const char *to, *path; const char *const *headers; const char *want; } rows[] = {
		{ "cart:80", "/%61/b", x1, "route      a: path begins with /a, 1 conditions" }, { "cart:80", "/a", x1, "outbound|80||cart.shop.svc.cluster.local, 1 of 4\n" },
		{ "cart:80", "/a", x1, "gone.shop.svc.cluster.local, 3 of 4: does not exist, 503\n" }, { "cart:80", "/a/c?d", x1, "upstream   GET http://cart/b/c?d\n" },
		{ "cart:80", "/a", x1, "\nverdict: MIXED\n  75%: REFUSE status 503 by shop/me (sidecar): NO_CLUSTER outbound|80||gone.shop.svc.cluster.local\n  25%: ALLOW\n" },
		{ "cart.shop.svc.cluster.local:80", "/a", NULL, "\nverdict: REFUSE status 404 by shop/me (sidecar): NO_ROUTE cart.shop.svc.cluster.local:80\n" },
		{ "10.0.0.1:80", "/r", NULL, "\nverdict: ANSWER status 301 by shop/me (sidecar): DIRECT route " },
		{ "cart:80", "/f", NULL, "\nverdict: REFUSE status 418 by shop/me (sidecar): FAULT_ABORT route " },
		{ "cart:80", "/half", NULL, "\n  50%: REFUSE status 418 by shop/me (sidecar): FAULT_ABORT" },
		{ "cart:80", "/", other, "route      allow_any: path begins with /\n" }, { "cart:9", "/", NULL, "bytes      outbound|9||cart.shop.svc.cluster.local\n" },
		{ "cart:80", braces, x1, "none: 404" },      /* three times as long when it is normal */
		{ "1.2.3.4:99", "/", NULL, "unknown    no service is there: PassthroughCluster\n" }, { "1.2.3.4:99", "/", NULL, "\nverdict: ALLOW\n" },
	};

	memset(braces + 1, '{', sizeof(braces) - 2);
	fixture_write(&f, "mesh.d.yaml", shop);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect((struct path_ask){ .from = i & 1 ? "shop/mine" : "shop/me", .to = rows[i].to, .path = rows[i].path, .headers = rows[i].headers, .n_headers = rows[i].headers != NULL }, rows[i].want);
}
END_TEST

START_TEST(says_what_is_missing)
{
	static const char *const proxies[] = { "shop/me=gateway" };
	static const struct { const char *from, *to, *path, *want; int n; } rows[] = {
		{ "shop/you", "cart:80", "/", "no WorkloadEntry", 0 }, { "shop/me", "cart", "/", "--to", 0 }, { "shop/me", "cart:0", "/", "--to", 0 },
		{ "shop/me", ":80", "/", "--to", 0 }, { "shop/me", "cart:80", "/%00", "--path", 0 }, { "", "cart:80", "/", "no WorkloadEntry", 0 },
		{ "shop/me", "cart:80", "/", "--mode-of", 1 },
	};

	fixture_write(&f, "mesh.d.yaml", shop);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct path_ask ask = { .from = rows[i].from, .to = rows[i].to, .method = "GET", .path = rows[i].path, .proxies = proxies, .n_proxies = rows[i].n };
		struct path path;
		struct err err;

		ck_assert_int_lt(path_find(f.dir, &ask, &f.settings, &path, &err), 0);
		ck_assert_msg(strstr(err.msg, rows[i].want) != NULL, "%s", err.msg);
	}
	fixture_write(&f, "bad.yaml", "{");
	ck_assert_int_lt(path_find(f.dir, &(struct path_ask){ .from = "shop/me", .to = "cart:80", .method = "GET", .path = "/" }, &f.settings, &(struct path){ 0 }, &(struct err){ "" }), 0);
}
END_TEST

/* --- who stands where --- */

#define WE(NAME, IP, LABELS, MORE) "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " NAME ", namespace: m, labels: {app: " NAME LABELS "}}\nspec: {address: " IP MORE "}\n"
#define SVC(NAME, IP) "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " NAME ", namespace: m}\nspec: {hosts: [" NAME ".m.svc.cluster.local], addresses: [" IP "], " \
	"location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 9, name: tcp, protocol: TCP}], workloadSelector: {labels: {app: " NAME "}}}\n"
#define HBONE ", networking.istio.io/tunnel: http"
#define MTLS  ", security.istio.io/tlsMode: istio"

static const char everybody[] =
	WE("c-none", "10.2.0.1", "", "") WE("c-zt", "10.2.0.2", HBONE, ", serviceAccount: c-zt") WE("c-side", "10.2.0.3", MTLS, ", serviceAccount: c-side")
	WE("c-both", "10.2.0.4", HBONE MTLS, ", serviceAccount: c-both")
	WE("none", "10.1.0.1", "", "") WE("zt", "10.1.0.2", HBONE, ", serviceAccount: zt") WE("side", "10.1.0.3", MTLS, ", serviceAccount: side")
	WE("both", "10.1.0.4", HBONE MTLS, ", serviceAccount: both")
	SVC("none", "10.0.0.1") SVC("zt", "10.0.0.2") SVC("side", "10.0.0.3") SVC("both", "10.0.0.4");

START_TEST(carries)
{
	static const struct { const char *from, *to, *want; } rows[] = {
		{ "m/c-none", "none:80", "plaintext to 10.1.0.1:8080 of m/none\n2 server m/none (none)" }, { "m/c-none", "zt:80", "plaintext to 10.1.0.2:8080 of m/zt\n2 server m/zt (ztunnel)" },
		{ "m/c-none", "side:80", "plaintext to 10.1.0.3:8080 of m/side\n2 server m/side (sidecar)" }, { "192.0.2.9", "side.m.svc.cluster.local:80", "plaintext to 10.1.0.3:8080" },
		{ "m/c-zt", "none:80", "plaintext to 10.1.0.1:8080" }, { "m/c-zt", "zt:80", "HBONE to 10.1.0.2:8080" }, { "m/c-zt", "side:80", "Istio mTLS to 10.1.0.3:8080" },
		{ "m/c-zt", "both:80", "HBONE to 10.1.0.4:8080 of m/both\n2 server m/both (sidecar)" },
		{ "m/c-side", "none:80", "plaintext to 10.1.0.1:8080" }, { "m/c-side", "zt:80", "HBONE to 10.1.0.2:8080" }, { "m/c-side", "side:80", "Istio mTLS to 10.1.0.3:8080" },
		{ "m/c-both", "both:80", "HBONE to 10.1.0.4:8080" }, { "m/c-both", "side:9", "Istio mTLS to 10.1.0.3:9" },
	};

	fixture_write(&f, "m.yaml", everybody);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		expect((struct path_ask){ .from = rows[i].from, .to = rows[i].to }, rows[i].want);
		expect((struct path_ask){ .from = rows[i].from, .to = rows[i].to }, "\nverdict: ALLOW\n");
	}
}
END_TEST

/* What --mode-of says counts, for either end. */
START_TEST(is_told_what_files_cannot_say)
{
	static const char *const server[] = { "m/side=none" }, *const client[] = { "m/c-side=none" };

	fixture_write(&f, "m.yaml", everybody);
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80", .proxies = client, .n_proxies = 1 }, "plaintext to 10.1.0.3:8080");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80", .proxies = server, .n_proxies = 1 }, "verdict: REFUSE status 503 by m/side (none): TLS");
}
END_TEST

#define DENY(NAME, RULES) "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny-" NAME ", namespace: m}\nspec: {selector: {matchLabels: {app: " NAME "}}, action: DENY, rules: [" RULES "]}\n"

/* Who denies, with what for the client: an answer, a closed connection, or the 503 of who handles requests before. */
START_TEST(judges)
{
	static const struct { const char *from, *to, *path, *want; } rows[] = {
		{ "m/c-zt", "side:80", "/no", "DENY status 403 by m/side (sidecar): DENIED AuthorizationPolicy m/deny-side rule 1" }, { "m/c-zt", "side:80", "/yes", "ALLOW" },
		{ "m/c-side", "both:80", "/no", "DENY status 403 by m/both (sidecar): DENIED AuthorizationPolicy m/deny-both rule 1" }, { "m/c-side", "both:80", "/yes", "ALLOW" },
		{ "m/c-zt", "zt:80", "/", "ALLOW" }, { "m/c-none", "zt:80", "/", "ALLOW" },
		{ "m/c-side", "zt:80", "/", "DENY status 503 by m/zt (ztunnel): DENIED AuthorizationPolicy m/deny-zt rule 1" },
		{ "m/c-side", "zt:9", "/", "DENY status 0 by m/zt (ztunnel): DENIED AuthorizationPolicy m/deny-zt rule 1" },
		{ "m/c-both", "zt:80", "/", "DENY status 503 by m/zt (ztunnel): DENIED AuthorizationPolicy m/deny-zt rule 2" },
	};

	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "p.yaml", DENY("side", "{to: [{operation: {paths: [/no]}}]}") DENY("both", "{to: [{operation: {paths: [/no]}}]}")
		      DENY("zt", "{from: [{source: {principals: [cluster.local/ns/m/sa/c-side]}}]}, {from: [{source: {principals: ['*/c-both']}}]}"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *want = xasprintf("\nverdict: %s\n", rows[i].want);

		expect((struct path_ask){ .from = rows[i].from, .to = rows[i].to, .path = rows[i].path }, want);
		free(want);
	}
}
END_TEST

/* connection.sni is what the client's sidecar asks for. */
START_TEST(sni)
{
	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "p.yaml", DENY("side", "{when: [{key: connection.sni, values: [outbound_.80_._.side.m.svc.cluster.local]}]}"));
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "verdict: DENY status 403 by m/side");
	expect((struct path_ask){ .from = "m/c-none", .to = "side:80" }, "verdict: ALLOW");
}
END_TEST

START_TEST(strict_wants_mutual_tls)
{
	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "pa.yaml", "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: m}\nspec: {mtls: {mode: STRICT}}\n");
	expect((struct path_ask){ .from = "m/c-none", .to = "side:80" }, "verdict: DENY status 0 by m/side (sidecar): DENIED mTLS is required (PeerAuthentication m/p)");
	expect((struct path_ask){ .from = "m/c-none", .to = "zt:80" }, "verdict: DENY status 0 by m/zt (ztunnel): DENIED mTLS is required (PeerAuthentication m/p)");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "verdict: ALLOW");
	expect((struct path_ask){ .from = "m/c-zt", .to = "zt:80" }, "verdict: ALLOW");
}
END_TEST

/* Without a token; with what is none; tokens whose keys are elsewhere are believed, and it says so. */
START_TEST(reads_tokens)
{
	static const char *const bad[] = { "authorization: Bearer x" };

	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "j.yaml", "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: j, namespace: m}\n"
		      "spec: {selector: {matchLabels: {app: side}}, jwtRules: [{issuer: me, jwks: '{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"1\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}'}]}\n");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "jwt        RequestAuthentication m/j: Jwt is missing\n");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "verdict: ALLOW");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80", .headers = bad, .n_headers = 1 }, "verdict: DENY status 401 by m/side (sidecar): JWT RequestAuthentication m/j: Jwt");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:9", .headers = bad, .n_headers = 1 }, "verdict: ALLOW");
	fixture_write(&f, "j.yaml", "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: j, namespace: m}\nspec: {selector: {matchLabels: {app: side}}, jwtRules: [{issuer: me, jwks: x}]}\n");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "verdict: DENY status 403 by m/side (sidecar): UNSAFE_CONFIG RequestAuthentication m/j could not be loaded: ");
}
END_TEST

/* Who would be asked is said; who cannot be refuses. */
START_TEST(custom)
{
	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "mesh.yaml", "extensionProviders: [{name: there, envoyExtAuthzHttp: {service: side.m.svc.cluster.local, port: 80}}]\n");
	fixture_write(&f, "p.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ask, namespace: m}\nspec: {selector: {matchLabels: {app: side}}, action: CUSTOM, provider: {name: there}, rules: [{}]}\n");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "custom     AuthorizationPolicy m/ask rule 1 asks there, who may refuse\n");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "verdict: ALLOW\n");
	fixture_remove(&f, "mesh.yaml");
	expect((struct path_ask){ .from = "m/c-side", .to = "side:80" }, "verdict: DENY status 403 by m/side (sidecar): EXT_DENIED AuthorizationPolicy m/ask rule 1: its provider cannot be asked\n");
}
END_TEST

START_TEST(closed_and_no_waypoint)
{
	f.settings.stance = STANCE_CLOSED;
	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "w.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: m, labels: {istio.io/use-waypoint: gone}}\n");
	expect((struct path_ask){ .from = "m/c-zt", .to = "zt:80" }, "verdict: REFUSE status 0 by m/c-zt (ztunnel): NO_WAYPOINT m/gone");
	expect((struct path_ask){ .from = "m/c-none", .to = "zt:80" }, "verdict: REFUSE status 0 by m/zt (ztunnel): NOT_WAYPOINT m/gone");
}
END_TEST

/* --- through a waypoint --- */

static const char waypoint[] =
	WE("wp", "10.3.0.1", HBONE, ", serviceAccount: wp")
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: wp, namespace: m}\nspec: {clusterIP: 10.0.0.9, ports: [{port: 15008, name: hbone}], selector: {app: wp}}\n"
	"---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: m, labels: {istio.io/waypoint-for: all}}\n"
	"spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n"
	"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: m, labels: {istio.io/use-waypoint: wp}}\n"
	"---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: no, namespace: m}\nspec: {targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: wp}], "
	"action: DENY, rules: [{to: [{operation: {paths: [/no]}}]}, {from: [{source: {notPrincipals: [cluster.local/ns/m/sa/c-zt]}}], to: [{operation: {paths: [/me]}}]}]}\n"
	"---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: m}\nspec: {hosts: [zt.m.svc.cluster.local], http: [{match: [{uri: {prefix: /r}}], redirect: {uri: /s}}, "
	"{headers: {request: {set: {x-way: 'yes'}}}, rewrite: {uri: /new}, route: [{destination: {host: zt.m.svc.cluster.local}}]}]}\n";

START_TEST(through_a_waypoint)
{
	static const struct { const char *from, *to, *path, *want; } rows[] = {
		{ "m/c-zt", "zt:80", "/no", "verdict: DENY status 403 by m/wp (waypoint): DENIED AuthorizationPolicy m/no rule 1\n" },
		{ "m/c-zt", "zt:80", "/", "HBONE to 10.0.0.2:80 of m/wp\n2 waypoint m/wp (waypoint) spiffe://cluster.local/ns/m/sa/wp\n  asked      10.0.0.2:80, m/zt.m.svc.cluster.local\n  reads      requests\n" },
		{ "m/c-zt", "zt:80", "/", "HBONE to 10.1.0.2:8080 of m/zt\n3 server m/zt (ztunnel)" }, { "m/c-zt", "zt:80", "/", "app        GET http://zt/new to 10.1.0.2:8080" },
		{ "m/c-zt", "zt:80", "/me", "verdict: ALLOW\n" }, { "m/c-both", "zt:80", "/r", "verdict: ANSWER status 301 by m/" },
		{ "m/c-zt", "side:80", "/", "Istio mTLS to 10.1.0.3:8080 of m/side\n3 server m/side (sidecar)" }, { "m/c-zt", "none:80", "/", "plaintext to 10.1.0.1:8080 of m/none\n3 server m/none (none)" },
		{ "m/c-zt", "zt:9", "/no", "reads      bytes\n" }, { "m/c-zt", "10.1.0.2:8080", "/no", "2 waypoint m/wp (waypoint) spiffe://cluster.local/ns/m/sa/wp\n  asked      10.1.0.2:8080\n" },
		{ "m/c-none", "zt:80", "/no", "bypass     of the waypoint m/wp.m.svc.cluster.local: allowed" },
	};

	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "w.yaml", waypoint);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect((struct path_ask){ .from = rows[i].from, .to = rows[i].to, .path = rows[i].path }, rows[i].want);
}
END_TEST

/* Out of the mesh: the Host or the TLS of the client names the server, within the wildcard. */
START_TEST(egress)
{
	static const char *const evil[] = { "host: evil.test" };

	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "w.yaml", waypoint);
	fixture_write(&f, "e.yaml", "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: wild, namespace: m}\nspec: {hosts: ['*.example.test'], location: MESH_EXTERNAL, resolution: DYNAMIC_DNS, "
		      "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}\n");
	expect((struct path_ask){ .from = "m/c-zt", .to = "a.example.test:80" }, "plaintext to a.example.test:80\n3 server a.example.test:80 (none)");
	expect((struct path_ask){ .from = "m/c-zt", .to = "a.example.test:443" }, "reads      bytes\n");
	expect((struct path_ask){ .from = "m/c-zt", .to = "a.example.test:80", .headers = evil, .n_headers = 1 }, "verdict: REFUSE status 404 by m/wp (waypoint): HOST_OUTSIDE evil.test\n");
	expect((struct path_ask){ .from = "m/c-zt", .to = "a.example.test:81" }, "REFUSE status 0 by m/");
}
END_TEST

/* A sidecar that uses waypoints has no routes of its own for such services: one L7 step, not two. */
START_TEST(a_sidecar_through_a_waypoint)
{
	f.settings.waypoint_use = WAYPOINTS_USED;
	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "w.yaml", waypoint);
	expect((struct path_ask){ .from = "m/c-side", .to = "zt:80" }, "HBONE to 10.0.0.2:80 of m/wp\n2 waypoint m/wp (waypoint)");
	expect((struct path_ask){ .from = "m/c-side", .to = "zt:80", .path = "/no" }, "verdict: DENY status 403 by m/wp (waypoint): DENIED AuthorizationPolicy m/no rule 1\n");
	expect((struct path_ask){ .from = "m/c-both", .to = "zt:80", .path = "/me" }, "verdict: DENY status 403 by m/wp (waypoint): DENIED AuthorizationPolicy m/no rule 2\n");
	expect((struct path_ask){ .from = "m/c-side", .to = "zt:80", .path = "/r" }, "verdict: ANSWER status 301 by m/wp (waypoint)");
	expect((struct path_ask){ .from = "m/c-side", .to = "10.1.0.2:8080" }, "HBONE to 10.1.0.2:8080 of m/wp\n2 waypoint");
}
END_TEST

/* Where waypoints are used a sidecar judges whom its own waypoint speaks for; else, as in Istio, the waypoint. */
START_TEST(a_sidecar_behind_its_waypoint)
{
	static const char only[] = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: only, namespace: m}\nspec: {selector: {matchLabels: {app: both}}, "
		"rules: [{from: [{source: {principals: [cluster.local/ns/m/sa/c-both]}}]}]}\n";

	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "w.yaml", waypoint);
	fixture_write(&f, "p.yaml", only);
	f.settings.waypoint_use = WAYPOINTS_SKIPPED;
	expect((struct path_ask){ .from = "m/c-zt", .to = "both:80" }, "verdict: DENY status 403 by m/both (sidecar): DENIED no allow policy matched\n");
	f.settings.waypoint_use = WAYPOINTS_USED;
	expect((struct path_ask){ .from = "m/c-both", .to = "both:80" }, "caller     spiffe://cluster.local/ns/m/sa/c-both, says its waypoint\n");
	expect((struct path_ask){ .from = "m/c-both", .to = "both:80" }, "verdict: ALLOW\n");
	expect((struct path_ask){ .from = "m/c-zt", .to = "both:80" }, "verdict: DENY status 403 by m/both (sidecar): DENIED no allow policy matched\n");
}
END_TEST

/* Closed, the destination admits only its waypoint; the waypoint itself is not passed by. */
START_TEST(closed_with_a_waypoint)
{
	f.settings.stance = STANCE_CLOSED;
	fixture_write(&f, "m.yaml", everybody);
	fixture_write(&f, "w.yaml", waypoint);
	expect((struct path_ask){ .from = "m/c-zt", .to = "zt:80" }, "verdict: ALLOW");
	expect((struct path_ask){ .from = "m/c-none", .to = "zt:80" }, "verdict: REFUSE status 0 by m/zt (ztunnel): NOT_WAYPOINT m/wp.m.svc.cluster.local");
	expect((struct path_ask){ .from = "m/c-zt", .to = "both:80" }, "verdict: ALLOW");
}
END_TEST

START_TEST(as_json)
{
	char *text;

	fixture_write(&f, "m.yaml", everybody);
	text = walk((struct path_ask){ .from = "m/c-zt", .to = "zt:80", .path = "/\"" }, true);
	ck_assert_msg(strstr(text, "\"role\": \"server\", \"workload\": \"m/zt\", \"mode\": \"ztunnel\"") != NULL, "%s", text);
	ck_assert_msg(strstr(text, "\"carried\": \"HBONE\", \"to\": \"10.1.0.2:8080\", \"endpoints\": [\"m/zt\"], \"next\": {") != NULL, "%s", text);
	ck_assert_msg(strstr(text, "\"outcomes\": [{\"share\": 1, \"verdict\": {\"kind\": \"ALLOW\"}}]}\n") != NULL, "%s", text);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("path");
	TCase *t = tcase_create("path");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tells_the_routes);
	tcase_add_test(t, says_what_is_missing);
	tcase_add_test(t, carries);
	tcase_add_test(t, is_told_what_files_cannot_say);
	tcase_add_test(t, judges);
	tcase_add_test(t, sni);
	tcase_add_test(t, strict_wants_mutual_tls);
	tcase_add_test(t, reads_tokens);
	tcase_add_test(t, custom);
	tcase_add_test(t, closed_and_no_waypoint);
	tcase_add_test(t, through_a_waypoint);
	tcase_add_test(t, egress);
	tcase_add_test(t, a_sidecar_through_a_waypoint);
	tcase_add_test(t, a_sidecar_behind_its_waypoint);
	tcase_add_test(t, closed_with_a_waypoint);
	tcase_add_test(t, as_json);
	suite_add_tcase(s, t);
	return suite_run(s);
}
