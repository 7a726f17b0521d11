# SPDX-License-Identifier: Apache-2.0
"""Certificates of every kind, good and bad, from a CA of our own made with openssl."""
import os
from harness import TD, sh

CONF = """[ca]
default_ca = d
[d]
dir = {d}
database = {d}/index.txt
serial = {d}/serial
crlnumber = {d}/crlnumber
new_certs_dir = {d}
certificate = {d}/root.pem
private_key = {d}/root.key
default_md = sha256
default_days = 1
default_crl_days = 30
unique_subject = no
policy = p
copy_extensions = none
[p]
organizationName = optional
commonName = optional
[req]
distinguished_name = dn
[dn]
[root]
basicConstraints = critical,CA:TRUE,pathlen:1
keyUsage = critical,keyCertSign,cRLSign
"""


class Pki:
    def __init__(self, dir, name="root"):
        self.d = f"{dir}/pki-{name}"
        os.mkdir(self.d)
        for f, text in (("openssl.cnf", CONF.format(d=self.d)), ("index.txt", ""), ("serial", "1000\n"), ("crlnumber", "01\n")):
            open(f"{self.d}/{f}", "w").write(text)
        self.root = f"{self.d}/root.pem"
        self.ssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{self.d}/root.key",
                 "-out", self.root, "-days", "30", "-subj", f"/O={name}", "-extensions", "root", "-config", f"{self.d}/openssl.cnf")

    def ssl(self, *args):
        return sh("openssl", *args)

    def leaf(self, name, *uris, start=None, end=None, eku="serverAuth,clientAuth"):
        """(cert, key, root). uris defaults to the identity of service account `name` in namespace default."""
        f = f"{self.d}/{name}"
        uris = uris or (f"spiffe://{TD}/ns/default/sa/{name}",)
        san = "subjectAltName=critical," + ",".join(u if ":" in u and u.startswith(("DNS:", "IP:")) else f"URI:{u}" for u in uris) + "\n"
        open(f"{f}.ext", "w").write((san if uris != ("",) else "") +
             f"keyUsage=critical,digitalSignature\nextendedKeyUsage={eku}\nbasicConstraints=critical,CA:FALSE\n")
        self.ssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{f}.key",
                 "-out", f"{f}.csr", "-subj", f"/O={name[:30]}", "-config", f"{self.d}/openssl.cnf")
        when = (["-startdate", start] if start else []) + (["-enddate", end] if end else [])
        self.ssl("ca", "-batch", "-notext", "-config", f"{self.d}/openssl.cnf", "-in", f"{f}.csr", "-out", f"{f}.pem", "-extfile", f"{f}.ext", *when)
        return f"{f}.pem", f"{f}.key", self.root

    def intermediate(self, name):
        """(cert, key) of a CA under the root."""
        f = f"{self.d}/{name}"
        with open(f"{f}.ext", "w") as e:
            e.write("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n")
        self.ssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{f}.key",
                 "-out", f"{f}.csr", "-subj", f"/O={name}", "-config", f"{self.d}/openssl.cnf")
        self.ssl("ca", "-batch", "-notext", "-config", f"{self.d}/openssl.cnf", "-in", f"{f}.csr", "-out", f"{f}.pem", "-extfile", f"{f}.ext", "-days", "20")
        return f"{f}.pem", f"{f}.key"

    def revoke(self, cert, crl):
        """Revokes and writes the CRL by rename."""
        self.ssl("ca", "-config", f"{self.d}/openssl.cnf", "-revoke", cert)
        self.crl(crl)

    def crl(self, crl):
        self.ssl("ca", "-config", f"{self.d}/openssl.cnf", "-gencrl", "-out", f"{crl}.tmp")
        os.rename(f"{crl}.tmp", crl)
