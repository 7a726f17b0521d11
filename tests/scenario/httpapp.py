# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 application of a host, that tells what it got: Host.serve_http."""
import http.server, json, socket, socketserver, threading


class HttpApp:
    def __init__(self, host, port, fn):
        app, self.requests = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

            def body(self):
                if n := self.headers.get("content-length"):
                    return self.rfile.read(int(n))
                data = b""
                while "chunked" in self.headers.get("transfer-encoding", "") and (n := int(self.rfile.readline().split(b";")[0], 16)):
                    data += self.rfile.read(n)
                    self.rfile.readline()
                while "transfer-encoding" in self.headers and self.rfile.readline().strip():
                    pass
                return data

            def answer(self, status=200, body=b"", headers={}):
                self.send_response(status)
                for k, v in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(k, v)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def any(self):
                got = {"host": host.name, "method": self.command, "path": self.path, "headers": [list(h) for h in self.headers.items()],
                       "body_bytes": len(self.body())}
                app.requests.append(got)
                if not (fn and fn(self, got)):
                    self.answer(body=json.dumps(got).encode())

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = any

            def log_message(self, *args):
                pass

        class Threads(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6
            daemon_threads = True
            request_queue_size = 1024

            def server_bind(self):
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                socketserver.TCPServer.server_bind(self)
        with host:
            self.server = Threads(("::", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
