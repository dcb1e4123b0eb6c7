#!/usr/bin/env python3
"""A peer of the edge that signs what it likes, and the https server that its signatures lead to (identity_attacks.sh):
attacker.py EDGE OWN FORBIDDEN [once-more]. It serves https at OWN:8443 and FORBIDDEN:8443, connects to EDGE:5064 as partner.test, sends a request to
bob@example.com for each attack, and prints "ATTACK STATUS REASON MILLISECONDS"; at the end how often FORBIDDEN was connected to.
once-more: what it signed before, again, and something new, to an edge that has been restarted since."""
import base64
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from peer_link import connect, final, message  # noqa: E402

EDGE, OWN, FORBIDDEN = sys.argv[1:4]
SIGNED = "signed.once"
HERE = "https://partner.test:8443"
SDP = ("v=0\r\no=- 1 1 IN IP4 10.77.0.3\r\ns=-\r\nc=IN IP4 10.77.0.3\r\nt=0 0\r\nm=audio 4000 UDP/TLS/RTP/SAVP 0\r\n"
       "a=setup:actpass\r\na=fingerprint:sha-256 %s\r\n")
KEYS = ":".join(["AB"] * 32)


def read(name):
    with open("certs/" + name, "rb") as f:
        return f.read()


# --- the server ---

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *args):
        pass

    def send(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/pem-certificate-chain")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, argument = self.path[1:].partition("?")
        try:
            if path == "to":
                self.send_response(302)
                self.send_header("Location", argument)
                self.end_headers()
            elif path == "loop":
                self.send_response(302)
                self.send_header("Location", "/loop?%d" % (int(argument or 0) + 1))
                self.end_headers()
            elif path == "endless":
                self.send(b"")
                while True:
                    self.wfile.write(b"-" * 65536)
            elif path == "slow":
                self.send(b"")
                while True:
                    self.wfile.write(b"-")
                    time.sleep(0.2)
            elif path == "chain":
                self.send(read("good.crt") + read("stir.crt") * 60)
            else:
                self.send(read(path + ".crt"))
        except (OSError, ssl.SSLError):
            pass


def serve(address):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("certs/partner.test.crt", "certs/partner.test.key")
    server = http.server.ThreadingHTTPServer((address, 8443), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


forbidden = socket.create_server((FORBIDDEN, 8443))
forbidden.setblocking(False)


def forbidden_count():
    count = 0
    try:
        while True:
            forbidden.accept()[0].close()
            count += 1
    except BlockingIOError:
        return count


# --- signatures ---

def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def es256(key, data):
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "certs/%s.key" % key], input=data, capture_output=True, check=True).stdout
    n = der[3]
    r, s = der[4:4 + n], der[6 + n:]
    return b"".join(x.lstrip(b"\0").rjust(32, b"\0") for x in (r, s))


def identity(url=HERE + "/good", key="good", alg="ES256", age=0, dest="sip:bob@example.com", orig="sip:zoe@partner.test", header=None,
             claims=None, keys=KEYS.replace(":", ""), sign=None, body=None):
    head = {"alg": alg, "typ": "passport", "x5u": url}
    head.update(header or {})
    says = {"dest": {"uri": [dest]}, "iat": int(time.time()) - age, "mky": [{"alg": "sha-256", "dig": keys}], "orig": {"uri": orig}}
    says.update(claims or {})
    if body is None:
        body = json.dumps(says, separators=(",", ":"), sort_keys=True)
    token = b64(json.dumps(head, separators=(",", ":"), sort_keys=True).encode()) + "." + b64(body.encode())
    signature = es256(key, token.encode()) if sign is None else sign(token.encode())
    return "%s.%s;info=<%s>;alg=%s" % (token, b64(signature), url, alg)


# --- requests ---

def request(link, name, value, sender="sip:zoe@partner.test", keys=KEYS):
    body = SDP % keys
    lines = ["Via: SIP/2.0/TLS 10.77.0.3:9;branch=z9hG4bK" + name, "Max-Forwards: 70", "From: <%s>;tag=%s" % (sender, name),
             "To: <sip:bob@example.com>", "Call-ID: " + name,  "Contact: <sip:zoe@10.77.0.3:9;transport=tls>"]
    if value:
        lines.append("Identity: " + value)
    lines.append("Content-Type: application/sdp")
    begun = time.monotonic()
    link.sendall(message("INVITE", lines, body.encode()))
    closing = [line for line in lines if line.split(":")[0] in ("Via", "Max-Forwards", "From", "To", "Call-ID")]
    status, why = final(link, name, message("CANCEL", closing))
    took = (time.monotonic() - begun) * 1000
    link.sendall(message("ACK", closing))
    print(name, status, why, int(took), flush=True)


def hs256(token):
    return hmac.new(read("good.crt"), token, hashlib.sha256).digest()


def deep(depth):
    return '{"dest":%s}' % ("[" * depth + "]" * depth)


serve(OWN)
if sys.argv[4:]:
    link = connect(EDGE)
    with open(SIGNED) as f:
        request(link, "restart", f.read())
    request(link, "restarted", identity())
    sys.exit()
once = identity()
with open(SIGNED, "w") as f:
    f.write(once)
twice = '{"dest":{"uri":["sip:bob@example.com"]},"iat":%d,"orig":{"uri":"sip:zoe@partner.test"},"orig":{"uri":"sip:boss@partner.test"}}'
link = connect(EDGE)
request(link, "valid", once)
slow = threading.Thread(target=lambda: request(connect(EDGE), "slow", identity(url=HERE + "/slow")))
slow.start()
attacks = {
    "meanwhile": dict(value=identity(age=1)),
    "replay": dict(value=once),
    "absent": dict(value=None),
    "stale": dict(value=identity(age=90)),
    "future": dict(value=identity(age=-90)),
    "dest": dict(value=identity(age=2, dest="sip:alice@example.com")),
    "keys": dict(value=identity(age=3), keys="00:" + KEYS[3:]),
    "from": dict(value=identity(age=4), sender="sip:boss@partner.test"),
    "authority": dict(value=identity(age=5, orig="sip:zoe@elsewhere.test"), sender="sip:zoe@elsewhere.test"),
    "private-literal": dict(value=identity(url="https://%s:8443/good" % FORBIDDEN)),
    "private-name": dict(value=identity(url="https://forbidden.test:8443/good")),
    "private-loopback": dict(value=identity(url="https://127.0.0.1:8443/good")),
    "private-mapped": dict(value=identity(url="https://[::ffff:127.0.0.1]:8443/good")),
    "redirect-private": dict(value=identity(url=HERE + "/to?https://%s:8443/good" % FORBIDDEN)),
    "redirect-name": dict(value=identity(url=HERE + "/to?https://forbidden.test:8443/good")),
    "redirect-http": dict(value=identity(url=HERE + "/to?http://partner.test:8443/good")),
    "redirect-endless": dict(value=identity(url=HERE + "/to?/endless")),
    "redirect-loop": dict(value=identity(url=HERE + "/loop")),
    "http": dict(value=identity(url="http://partner.test:8443/good")),
    "file": dict(value=identity(url="file:///etc/passwd")),
    "endless": dict(value=identity(url=HERE + "/endless")),
    "chain": dict(value=identity(url=HERE + "/chain")),
    "expired": dict(value=identity(url=HERE + "/expired", key="expired")),
    "revoked": dict(value=identity(url=HERE + "/revoked", key="revoked")),
    "wrong": dict(value=identity(url=HERE + "/wrong", key="wrong")),
    "lookalike-ca": dict(value=identity(url=HERE + "/lookalike", key="lookalike")),
    "lookalike-name": dict(value=identity(url=HERE + "/similar", key="similar")),
    "tls-certificate": dict(value=identity(url=HERE + "/partner.test", key="partner.test")),
    "other-key": dict(value=identity(age=6, key="similar")),
    "alg-none": dict(value=identity(alg="none", sign=lambda token: b"")),
    "alg-hs256": dict(value=identity(alg="HS256", sign=hs256)),
    "alg-es384": dict(value=identity(alg="ES384")),
    "crit": dict(value=identity(age=7, header={"crit": ["b64"], "b64": False})),
    "json-deep": dict(value=identity(body=deep(3000))),
    "json-many": dict(value=identity(claims={"x%d" % i: i for i in range(900)})),
    "json-twice": dict(value=identity(body=twice % time.time())),
    "json-huge": dict(value=identity(claims={"x": "a" * 14000})),
}
for name, attack in attacks.items():
    request(link, name, **attack)
slow.join()
print("forbidden", forbidden_count(), "-", 0)
