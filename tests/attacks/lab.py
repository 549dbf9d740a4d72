#!/usr/bin/env python3
"""The lab's sinks: HTTP on 80, 8080 and (TLS) 443, raw TCP on 22, 853, 5432, UDP echo on 443, 123, 5353, DNS on 53.
Runs inside a network namespace of its own (tests/src/lab.rs). Everything that arrives is appended to LOG as one JSON line.
HTTP answers: SINK-OK host=<Host> path=<target> method=<M> override=<..> upgrade=<..> at=<address of ours>   raw answers: SINK-OK raw
DNS: answers A=LAB_IP for ALLOWED and DENIED and for anything below DENIED (and logs the name); rebind.test is LAB_IP and
127.0.0.1 by turns; NXDOMAIN else. An abstract socket hs-host is here too."""
import asyncio, json, os, ssl, struct, socket, subprocess, sys, tempfile, time
LAB, LOG = os.environ.get('LAB_IP', '198.18.0.10'), open(os.environ.get('LAB_LOG', '/tmp/lab.jsonl'), 'a', buffering=1)
ALLOWED, DENIED = os.environ.get('ALLOWED', 'allowed.test'), os.environ.get('DENIED', 'denied.test')
def log(**k): k['t'] = time.time(); LOG.write(json.dumps(k) + '\n')
async def http(r, w, port, tls=False):
    buf = b''
    try:
        while True:
            while b'\r\n\r\n' not in buf:
                d = await asyncio.wait_for(r.read(4096), 20)
                if not d: return
                buf += d
                if not buf[:8].strip().split(b' ')[0].isalpha() or buf.startswith(b'PRI '):
                    log(sink='raw', port=port, tls=tls, first=buf[:200].decode('latin1')); w.write(b'SINK-OK raw ' + buf[:40] + b'\n'); await w.drain(); return
            head, buf = buf.split(b'\r\n\r\n', 1); ls = head.decode('latin1').split('\r\n'); f = ls[0].split(' ')
            h = {}
            for l in ls[1:]:
                a, _, b = l.partition(':'); h.setdefault(a.strip().lower(), b.strip())
            sni = w.get_extra_info('ssl_object').sni if tls and hasattr(w.get_extra_info('ssl_object'), 'sni') else None
            log(sink='http', at=w.get_extra_info('sockname')[0], port=port, tls=tls, sni=sni, host=h.get('host'), method=f[0], path=f[1] if len(f) > 1 else '', headers=h)
            # deliberately lenient: Transfer-Encoding wins, then Content-Length, so that desyncs show
            if 'chunked' in h.get('transfer-encoding', '').lower():
                while True:
                    while b'\r\n' not in buf:
                        d = await asyncio.wait_for(r.read(4096), 5)
                        if not d: return
                        buf += d
                    n, buf = buf.split(b'\r\n', 1)
                    try: n = int(n.split(b';')[0].strip() or b'0', 16)
                    except ValueError: n = 0
                    while len(buf) < n + 2:
                        d = await asyncio.wait_for(r.read(4096), 5)
                        if not d: return
                        buf += d
                    buf = buf[n + 2:]
                    if n == 0: break
            elif h.get('content-length', '').isdigit():
                n = int(h['content-length'])
                while len(buf) < n:
                    d = await asyncio.wait_for(r.read(4096), 5)
                    if not d: return
                    buf += d
                body, buf = buf[:n], buf[n:]
            echo = (' ' + ' '.join(f'{k}={v}' for k, v in h.items())) if (f[1:] and '/echo' in f[1]) else ''
            b = f"SINK-OK host={h.get('host','')} path={f[1] if len(f)>1 else ''} method={f[0]} override={h.get('x-http-method-override','')} upgrade={h.get('upgrade','')} at={w.get_extra_info('sockname')[0]}{echo}\n".encode('latin1')
            w.write(b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n' % len(b) + b); await w.drain()
            if h.get('connection', '').lower() == 'close': return
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError): pass
    finally: w.close()
async def raw(r, w, port):
    try: d = await asyncio.wait_for(r.read(300), 5)
    except Exception: d = b''
    log(sink='raw', port=port, first=d.decode('latin1')); w.write(b'SINK-OK raw\n'); w.close()
class U(asyncio.DatagramProtocol):
    def __init__(s, port): s.port = port
    def connection_made(s, t): s.tr = t
    def datagram_received(s, d, a):
        if s.port == 53: d = dns(d, a)
        else: log(sink='udp', port=s.port, first=d[:200].decode('latin1')); d = b'SINK-OK udp'
        s.tr.sendto(d, a)
TURN = [0]
def dns(q, a):
    i, ls = 12, []
    try:
        while q[i]: ls.append(q[i + 1:i + 1 + q[i]].decode('latin1')); i += q[i] + 1
        typ = struct.unpack_from('>H', q, i + 1)[0]
    except Exception: return q
    n = '.'.join(ls).lower(); log(sink='dns', name=n, type=typ)
    ok = n in (ALLOWED, DENIED, 'rebind.test') or n.endswith('.' + DENIED); ans = b''
    ip = LAB
    if n == 'rebind.test' and typ == 1: TURN[0] ^= 1; ip = LAB if TURN[0] else '127.0.0.1'
    if ok and typ == 1: ans = b'\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04' + socket.inet_aton(ip)
    if ok and typ == 16: ans = b'\xc0\x0c\0\x10\0\x01\0\0\0\x05\0\x05\x04data'
    return q[:2] + struct.pack('>HHHHH', 0x8180 | (0 if ok else 3), 1, 1 if ans else 0, 0, 0) + q[12:i + 5] + ans
async def dnstcp(r, w):
    try: n = struct.unpack('>H', await r.readexactly(2))[0]; d = dns(await r.readexactly(n), None); w.write(struct.pack('>H', len(d)) + d); await w.drain()
    except Exception: pass
    w.close()
async def main():
    d = tempfile.mkdtemp(); subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', f'/CN={ALLOWED}', '-addext', f'subjectAltName=DNS:{ALLOWED},DNS:{DENIED}', '-keyout', d + '/k', '-out', d + '/c'], check=True, capture_output=True)
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(d + '/c', d + '/k')
    def sni(o, name, ctx): log(sink='tls', sni=name); o.sni = name if False else None
    c.sni_callback = lambda o, name, ctx: log(sink='tls', sni=name)
    open(os.environ.get('LAB_CA', '/tmp/lab-ca.pem'), 'w').write(open(d + '/c').read())
    for p in (80, 8080): await asyncio.start_server(lambda r, w, p=p: http(r, w, p), None, p)
    await asyncio.start_server(lambda r, w: http(r, w, 443, True), None, 443, ssl=c)
    for p in (22, 853, 5432): await asyncio.start_server(lambda r, w, p=p: raw(r, w, p), None, p)
    await asyncio.start_server(dnstcp, None, 53)
    for p in (53, 123, 443, 5353):
        for a in ('0.0.0.0', '::'):
            try: await asyncio.get_running_loop().create_datagram_endpoint(lambda p=p: U(p), local_addr=(a, p))
            except OSError: pass
    u = socket.socket(socket.AF_UNIX); u.bind('\0hs-host'); u.listen()
    print('lab up', flush=True); await asyncio.Event().wait()
asyncio.run(main())
