# SPDX-License-Identifier: Apache-2.0
"""Sessions: what is hashed decides who answers, by ring hash and by Maglev."""
from balance import cart, get, hosts, who
from harness import Lab, eventually


def sessions(lab, by, table=""):
    """The client, and the endpoints."""
    cart(lab, f"trafficPolicy: {{loadBalancer: {{consistentHash: {{{by}{table}}}}}}}")
    front, *backs = hosts(lab)
    for h in backs:
        h.serve_http(8080)
    return front, backs


def homes(ask, n=12):
    """Who answers each of n users; always the same one."""
    out = {}
    for user in range(n):
        seen = {ask(user) for _ in range(3)}
        assert len(seen) == 1, f"user {user}: {seen}"
        out[user] = seen.pop()
    assert len(set(out.values())) > 1, out
    return out


def test_header():
    with Lab() as lab:
        front, backs = sessions(lab, "httpHeaderName: x-user")
        homes(lambda user: get(front, headers={"x-user": f"user-{user}"})[1])
        assert len(who(front, 12)) > 1                # nothing to hash: anybody


def test_header_by_maglev_and_a_host_that_goes():
    with Lab() as lab:
        front, backs = sessions(lab, "httpHeaderName: x-user", ", maglev: {tableSize: 1009}")

        def ask(user):
            return get(front, headers={"x-user": f"user-{user}"})[1]
        before = homes(ask, 30)
        lab.remove("workload-two.json")
        eventually(lambda: "two" not in {ask(user) for user in range(30)}, 10, what="who went gets nothing")
        after = homes(ask, 30)
        stayed = [user for user in before if before[user] != "two"]
        assert sum(before[user] == after[user] for user in stayed) > 0.7 * len(stayed), (before, after)


def test_cookie():
    with Lab() as lab:
        front, backs = sessions(lab, "httpCookie: {name: home, ttl: 60s, path: /}")
        cookie = get(front)[2]["set-cookie"]
        assert cookie.startswith("home=") and "Max-Age=60" in cookie and "Path=/" in cookie, cookie
        assert len(who(front, 10, headers={"Cookie": "a=b; " + cookie.split(";")[0]})) == 1
        # Who has one gets no other.
        assert get(front, headers={"Cookie": "home=mine"})[2].get("set-cookie") is None
        homes(lambda user: get(front, headers={"Cookie": f"home={user}"})[1])


def test_query():
    with Lab() as lab:
        front, backs = sessions(lab, "httpQueryParameterName: user", ", maglev: {}")
        homes(lambda user: get(front, f"/?x=1&user=u{user}")[1])


def test_source_address():
    with Lab() as lab:
        front, backs = sessions(lab, "useSourceIp: true")
        assert len(who(front, 10)) == 1
