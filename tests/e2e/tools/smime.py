#!/usr/bin/env python3
"""A peer of the edge whose users sign bodies with the openssl command (smime_openssl.sh): smime.py EDGE OWN. It connects to EDGE:5064 as
partner.test, sends an INVITE to bob@example.com for each line of CALLS, cancels it when it rings, and prints "NAME STATUS"."""
import base64
import email.utils
import subprocess
import sys

sys.dont_write_bytecode = True
from peer_link import connect, final, message  # noqa: E402

EDGE, OWN = sys.argv[1:3]
SDP = ("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 4000 UDP/TLS/RTP/SAVP 0\r\n"
       "a=setup:actpass\r\na=fingerprint:sha-256 %s\r\n" % (OWN, OWN, ":".join(["AB"] * 32)))


def openssl(command, user, text, *more):
    run = ["openssl", command, "-sign", "-binary", "-outform", "DER", "-signer", "certs/%s.crt" % user, "-inkey", "certs/%s.key" % user]
    return subprocess.run(run + list(more), input=text, capture_output=True, check=True).stdout


def entity(name, says_from):
    aib = ("Content-Type: message/sipfrag\r\nContent-Disposition: aib; handling=optional\r\n\r\nFrom: Zoe <%s>\r\n"
           "To: <sip:bob@example.com>\r\nContact: <sip:zoe@%s:9;transport=tls>\r\nDate: %s\r\nCall-ID: %s\r\nCSeq: 1 INVITE"
           % (says_from, OWN, email.utils.formatdate(usegmt=True), name))
    return ("Content-Type: multipart/mixed;boundary=m\r\n\r\n--m\r\nContent-Type: application/sdp\r\n\r\n%s\r\n--m\r\n%s\r\n--m--"
            % (SDP, aib)).encode()


def body(name, user, *how, command="cms", says_from="sip:zoe@partner.test", inside=False, changed=False):
    what = entity(name, says_from)
    if inside:
        return "application/pkcs7-mime;smime-type=signed-data;name=smime.p7m", openssl(command, user, what, "-nodetach", *how)
    signature = base64.encodebytes(openssl(command, user, what, *how)).replace(b"\n", b"\r\n")
    if changed:
        what = what.replace(b":AB\r\n", b":AC\r\n")
    return ('multipart/signed;protocol="application/pkcs7-signature";micalg=sha-256;boundary=s',
            b"--s\r\n" + what + b"\r\n--s\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"
            b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7s; handling=required\r\n\r\n"
            + signature + b"\r\n--s--\r\n")


def envelope(name):
    text = entity(name, "sip:zoe@partner.test")
    run = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", "certs/zoe.crt"]
    return ("application/pkcs7-mime;smime-type=enveloped-data;name=smime.p7m",
            subprocess.run(run, input=text, capture_output=True, check=True).stdout)


PSS = ("-keyopt", "rsa_padding_mode:pss")
CALLS = {
    "detached": lambda n: body(n, "zoe"),
    "smime-command": lambda n: body(n, "zoe", command="smime"),
    "inside": lambda n: body(n, "zoe", inside=True),
    "inside-streamed": lambda n: body(n, "zoe", "-stream", inside=True),
    "sha512": lambda n: body(n, "zoe", "-md", "sha512"),
    "keyid": lambda n: body(n, "zoe", "-keyid"),
    "rsa": lambda n: body(n, "rsa"),
    "pss": lambda n: body(n, "rsa", *PSS),
    "mail": lambda n: body(n, "mail"),
    "changed": lambda n: body(n, "zoe", changed=True),
    "sha1": lambda n: body(n, "zoe", "-md", "sha1"),
    "stranger": lambda n: body(n, "stranger"),
    "revoked": lambda n: body(n, "revoked"),
    "without": lambda n: body(n, "zoe", "-nocerts"),
    "two-signers": lambda n: body(n, "zoe", "-signer", "certs/rsa.crt", "-inkey", "certs/rsa.key"),
    "other": lambda n: body(n, "eve"),
    "encrypted": envelope,
}


link = connect(EDGE)
for name, make in CALLS.items():
    kind, content = make(name)
    lines = ["Via: SIP/2.0/TLS %s:9;branch=z9hG4bK%s" % (OWN, name), "Max-Forwards: 70", "From: <sip:zoe@partner.test>;tag=" + name,
             "To: <sip:bob@example.com>", "Call-ID: " + name]
    link.sendall(message("INVITE", lines + ["Contact: <sip:zoe@%s:9;transport=tls>" % OWN, "Content-Type: " + kind], content))
    got, _ = final(link, name, message("CANCEL", lines))
    link.sendall(message("ACK", lines))
    print(name, got, flush=True)
