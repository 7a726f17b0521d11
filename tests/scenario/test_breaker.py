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
