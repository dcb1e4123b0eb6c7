#!/usr/bin/env python3
"""Receives HEP version 3 packets and writes, for each, a line of facts and the message. Reads the format on its own, not with
our code: hep_collector.py ADDRESS PORT FILE"""
import ipaddress
import socket
import struct
import sys


def parse(packet):
    assert packet[:4] == b"HEP3", packet[:8]
    assert struct.unpack("!H", packet[4:6])[0] == len(packet)
    chunks, at = {}, 6
    while at < len(packet):
        vendor, kind, length = struct.unpack("!HHH", packet[at : at + 6])
        assert vendor == 0 and length >= 6 and at + length <= len(packet)
        assert kind not in chunks
        chunks[kind] = packet[at + 6 : at + length]
        at += length
    return chunks


def number(chunk):
    return int.from_bytes(chunk, "big")


def line(c):
    addresses = (3, 4) if number(c[1]) == socket.AF_INET else (5, 6)
    source, target = (ipaddress.ip_address(c[k]) for k in addresses)
    return "HEP from=%s:%d to=%s:%d proto=%d type=%d id=%d key=%s time=%d.%06d" % (
        source, number(c[7]), target, number(c[8]), number(c[2]), number(c[11]), number(c[12]),
        c.get(14, b"").decode(), number(c[9]), number(c[10]))


def main():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[1], int(sys.argv[2])))
    with open(sys.argv[3], "wb", buffering=0) as out:
        while True:
            chunks = parse(s.recv(65536))
            out.write(line(chunks).encode() + b"\n" + chunks[15] + b"\n")


main()
