"""A link to the edge at port 5064 as partner.test, for what no decent client sends (attacker.py, smime.py)."""
import re
import socket
import ssl


def connect(edge):
    context = ssl.create_default_context(cafile="certs/ca.crt")
    context.load_cert_chain("certs/partner.test.crt", "certs/partner.test.key")
    plain = socket.create_connection((edge, 5064))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="example.com")


def final(link, name, cancel):
    """The final response to the INVITE of that call and the edge's reason; when it rings it is cancelled."""
    data = b""
    while True:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            more = link.recv(65536)
            if not more:
                return 0, ""
            data += more
            continue
        text = head.decode()
        length = re.search(r"\r\nContent-Length: *(\d+)", text, re.I)
        data = rest[int(length[1]) if length else 0:]
        why = re.search(r'sallyport "([^ "]+)', text)
        status = int(text.split()[1])
        if "\r\nCall-ID: %s\r\n" % name not in text or "CSeq: 1 INVITE" not in text:
            continue
        if status >= 200:
            return status, why[1] if why else "-"
        if status == 180:
            link.sendall(cancel)


def message(method, lines, content=b""):
    head = [method + " sip:bob@example.com SIP/2.0"] + lines + ["CSeq: 1 " + method, "Content-Length: %d" % len(content)]
    return "\r\n".join(head + ["", ""]).encode() + content
