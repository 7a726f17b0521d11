# SPDX-License-Identifier: Apache-2.0
"""Circuit breakers count for the process, whatever worker has the connection."""
import concurrent.futures, threading
from balance import cart, get, hosts
from harness import Lab, eventually


def test_pending_requests():
    with Lab() as lab:
        cart(lab, "trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}")
        front, one = hosts(lab, names=("one",))
        go = threading.Event()
        app = one.serve_http(8080, lambda handler, got: got["path"] == "/slow" and not go.wait(20))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            first = pool.submit(get, front, "/slow")
            eventually(lambda: app.requests, what="the one connection is in use")
            # One waits for it; the others are refused at once.
            jobs, done = [pool.submit(get, front, "/slow") for _ in range(7)], []
            for j in concurrent.futures.as_completed(jobs, 20):
                done.append(j.result()[0])
                if len(done) == 6:
                    go.set()
        assert done == [503] * 6 + [200] and first.result()[0] == 200, done
        assert get(front)[0] == 200


def test_requests():
    with Lab() as lab:
        cart(lab, "trafficPolicy: {connectionPool: {http: {http2MaxRequests: 3}}}")
        front, one = hosts(lab, names=("one",))
        go = threading.Event()
        one.serve_http(8080, lambda handler, got: got["path"] == "/slow" and not go.wait(20))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            jobs, done = [pool.submit(get, front, "/slow") for _ in range(8)], []
            for j in concurrent.futures.as_completed(jobs, 20):
                done.append(j.result()[0])
                if len(done) == 5:
                    go.set()
        assert done == [503] * 5 + [200] * 3, done
        assert get(front)[0] == 200


def retried(lab, pool):
    """Four requests whose first tries fail and whose second ones wait: the statuses, in the order of their coming; the first three came
    while one waited."""
    cart(lab, f"trafficPolicy: {{{pool}}}")
    lab.write("route.yaml", """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: default}
spec:
  hosts: [cart.default.svc.cluster.local]
  http: [{retries: {attempts: 2, retryOn: 5xx}, route: [{destination: {host: cart.default.svc.cluster.local}}]}]
""")
    front, one = hosts(lab, names=("one",))
    go = threading.Event()

    def app(handler, got):
        if dict((k.lower(), v) for k, v in got["headers"]).get("x-envoy-attempt-count", "1") == "1":
            handler.answer(503)
            return True
        return not go.wait(20)
    one.serve_http(8080, app)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs, done = [pool.submit(get, front) for _ in range(4)], []
        for j in concurrent.futures.as_completed(jobs, 20):
            done.append(j.result()[0])
            if len(done) == 3:
                go.set()
    return done


def test_retries():
    with Lab() as lab:
        assert retried(lab, "connectionPool: {http: {maxRetries: 1}}") == [503, 503, 503, 200]


def test_retry_budget():
    with Lab() as lab:
        assert retried(lab, "retryBudget: {percent: 1, minRetryConcurrency: 1}") == [503, 503, 503, 200]
