#!/usr/bin/env python3
"""Somebody between a phone and its server, who changes every a=fingerprint that passes by clear TCP:
swap_fingerprint.py LISTEN-HOST LISTEN-PORT SERVER-HOST SERVER-PORT [up]. With `up` only what the phone sends is changed. The length stays, so nothing else must change."""
import re
import socket
import sys
import threading


def changed(data):
    return re.sub(rb"(a=fingerprint:sha-256 )..:..", rb"\g<1>00:00", data)


def pump(source, sink, change):
    # A message is sent in one write, and loopback keeps it together.
    while data := source.recv(65536):
        sink.sendall(change(data))
    sink.shutdown(socket.SHUT_WR)


def serve(phone, server):
    threading.Thread(target=pump, args=(phone, server, changed), daemon=True).start()
    pump(server, phone, bytes if "up" in sys.argv else changed)


listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    phone = listener.accept()[0]
    server = socket.create_connection((sys.argv[3], int(sys.argv[4])))
    threading.Thread(target=serve, args=(phone, server), daemon=True).start()
