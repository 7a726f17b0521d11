# SPDX-License-Identifier: Apache-2.0
"""DNS for tests: messages by hand, and real name servers on hosts of a lab."""
import random, socket, struct, subprocess
from harness import eventually, need_program

A, SOA, MX, TXT, AAAA, SRV, RRSIG, DNSKEY, HTTPS, ANY = 1, 6, 15, 16, 28, 33, 46, 48, 65, 255


def question(name, type, id=None, edns=None, flags=0x0100):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".") if l) + b"\0"
    opt = b"" if edns is None else b"\0" + struct.pack("!HHIH", 41, edns, 0x8000, 0)
    return struct.pack("!6H", random.randrange(65536) if id is None else id, flags, 1, 0, 0, bool(opt)) + labels + struct.pack("!HH", type, 1) + opt


def udp(host, server, q, timeout=3, port=53):
    with host:
        s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        s.settimeout(timeout)
        s.connect((server, port))
        s.send(q)
        return s.recv(65535)


def tcp(host, server, *qs, timeout=3, port=53):
    """One answer, or a list of them."""
    out = []
    with host.connect(server, port, timeout) as s:
        s.sendall(b"".join(struct.pack("!H", len(q)) + q for q in qs))
        f = s.makefile("rb")
        for _ in qs:
            out.append(f.read(struct.unpack("!H", f.read(2))[0]))
    return out if len(qs) > 1 else out[0]


def counts(answer):
    """(rcode, answers, authorities)"""
    return answer[3] & 15, *struct.unpack("!HH", answer[6:10])


def resolver(host, lab, text):
    path = f"{lab.dir}/resolv.conf-{host.name}"
    with open(path, "w") as f:
        f.write(text)
    return path


def asks(host, conf, *cmd, check=True):
    """Runs cmd on the host with this resolv.conf."""
    return host.run("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', conf, *cmd, check=check)


class Upstream:
    """A real name server on a host; start() waits until it answers."""
    def __init__(self, lab, host, *cmd, ip=None):
        self.proc = host.popen(*cmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(f"{lab.dir}/upstream-{host.name}", "a"))
        lab.closing.append(self)
        eventually(lambda: udp(host, ip or host.v4, question("ready.test", A), 0.2), 10, what=f"{cmd[0]} answers")

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


def dnsmasq(lab, host, *args):
    need_program("dnsmasq")
    return Upstream(lab, host, "dnsmasq", "-k", "-C", "/dev/null", "-p", "53", "--no-resolv", "--no-hosts", "--user=root",
                    f"--pid-file={lab.dir}/dnsmasq-{host.name}.pid", "--address=/plain.test/10.1.1.1", "--txt-record=plain.test,a text",
                    "--mx-host=api.example.test,mail.example.test,10", "--edns-packet-max=4096", *args)


def signed_zone(lab):
    """example.test with signatures (which nobody checks here), and an RRset too large for 512 bytes."""
    path = f"{lab.dir}/example.test"
    text = ("$ORIGIN example.test.\n$TTL 300\n@ IN SOA ns hostmaster 1 7200 1800 86400 60\n@ IN NS ns\nns IN A 10.1.1.53\nwww IN A 10.1.1.80\n"
            f"@ IN DNSKEY 257 3 13 {'A' * 86}==\nwww IN AAAA fd01::80\nalias IN CNAME www\n_s._tcp IN SRV 1 2 80 www\n" +
            "".join(f"large IN TXT \"{i:02} {'x' * 100}\"\n" for i in range(20)))
    for owner, type, labels in (("@", "SOA", 2), ("@", "NS", 2), ("@", "DNSKEY", 2), ("www", "A", 3), ("www", "AAAA", 3), ("alias", "CNAME", 3),
                                ("large", "TXT", 3)):
        text += f"{owner} IN RRSIG {type} 13 {labels} 300 20380101000000 20240101000000 1234 example.test. {'B' * 86}==\n"
    with open(path, "w") as f:
        f.write(text)
    return path


def unbound(lab, host):
    need_program("unbound")
    zone, conf = signed_zone(lab), f"{lab.dir}/unbound.conf"
    with open(conf, "w") as f:
        f.write(f"""server:
  interface: 0.0.0.0
  interface: ::0
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{lab.dir}"
  pidfile: "{lab.dir}/unbound.pid"
  use-syslog: no
  rrset-roundrobin: no
  module-config: "iterator"
  local-zone: "test." nodefault
  local-zone: "ready.test" static
  local-zone: "cluster.local" static
  local-zone: "gone.test" always_nxdomain
auth-zone:
  name: example.test
  zonefile: "{zone}"
  for-upstream: yes
  for-downstream: yes
  fallback-enabled: no
""")
    return Upstream(lab, host, "unbound", "-d", "-c", conf)
