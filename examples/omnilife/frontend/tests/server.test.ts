/** @jest-environment node */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get, request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';

const SERVER = join(__dirname, '..', 'server.mjs');
const PAGE = '<!doctype html><title>OmniLife</title>';
const SCRIPT = 'export const answer = 42;\n'.repeat(100);
/** More than the sockets' buffers of both sides hold. */
const BIG = Buffer.alloc(32 * 1024 * 1024, 7);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'omnilife-frontend-'));
  const dist = join(folder, 'dist');
  mkdirSync(join(dist, 'assets'), { recursive: true });
  writeFileSync(join(folder, 'secret.txt'), 'never served');
  writeFileSync(join(dist, 'index.html'), PAGE);
  writeFileSync(join(dist, 'favicon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
  writeFileSync(join(dist, 'assets', 'index-a1.js'), SCRIPT);
  writeFileSync(join(dist, 'assets', 'big-b2.bin'), BIG);
});
afterAll(() => rmSync(folder, { recursive: true }));

class Server {
  private constructor(readonly process: ChildProcess, readonly port: number) {}

  static async start(env: Record<string, string> = {}): Promise<Server> {
    const child = spawn(process.execPath, [SERVER, join(folder, 'dist')], {
      env: { PATH: process.env['PATH'], PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    return new Server(child, Number(/:(\d+)\n/.exec(line.toString())?.[1]));
  }

  get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port: this.port, path, method, headers, agent: false }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }));
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  connect(): Promise<Socket> {
    const socket = connect(this.port, '127.0.0.1');
    return once(socket, 'connect').then(() => socket);
  }

  /** Tells it to end and waits until it takes no connection any more. */
  async drain(): Promise<void> {
    this.process.kill('SIGTERM');
    for (;;) {
      const refused = await this.connect().then(
        async (socket) => { socket.destroy(); return false; },
        (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
      );
      if (refused) return;
    }
  }

  async ended(): Promise<number | null> {
    if (this.process.exitCode === null) await once(this.process, 'exit');
    return this.process.exitCode;
  }

  async stop(): Promise<void> {
    this.process.kill('SIGKILL');
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, 'exit');
  }
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** All that comes until the other side closes. */
async function rest(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  await once(socket, 'close');
  return Buffer.concat(parts);
}

describe('a running server', () => {
  let server: Server;
  beforeAll(async () => { server = await Server.start({ PILOTAGE_REVISION: 'c8f2d4b', PILOTAGE_ENVIRONMENT: 'staging' }); });
  afterAll(() => server.stop());

  test.each([
    ['/', 200, 'no-cache'],
    ['/index.html', 200, 'no-cache'],
    ['/habits/7?from=mail', 200, 'no-cache'],
    ['/favicon.svg', 200, 'no-cache'],
    ['/assets/index-a1.js', 200, 'public, max-age=31536000, immutable'],
    ['/assets/index-gone.js', 404, 'no-store'],
    ['/assets/', 404, 'no-store'],
    ['/missing.png', 404, 'no-store'],
    ['/api/habits', 404, 'no-store'],
    ['/health', 200, 'no-store'],
  ])('%s is answered with %i, kept as %s', async (path, status, cache) => {
    const { status: said, headers } = await server.get(path);
    expect([said, headers['cache-control']]).toEqual([status, cache]);
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'");
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  test('an address of the program is its page', async () => {
    expect((await server.get('/habits/7')).body.toString()).toBe(PAGE);
  });

  test.each([
    '/../secret.txt', '/%2e%2e/secret.txt', '/assets/..%2f..%2fsecret.txt', '/assets/%2e%2e/%2e%2e/secret.txt',
    '/..%5csecret.txt', '//secret.txt', '/assets//etc/passwd', '/secret.txt%00.js',
  ])('%s reaches no file beside the folder', async (path) => {
    const { status, body } = await server.get(path);
    expect(body.toString()).not.toContain('never served');
    expect([200, 404]).toContain(status);
    expect(body.toString()).toMatch(/OmniLife|nothing at this address/);
  });

  test('an address that is none is refused', async () => {
    expect((await server.get('/%zz')).status).toBe(400);
  });

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is refused', async (method) => {
    const { status, headers } = await server.get('/', {}, method);
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  test('HEAD says what GET would say, without it', async () => {
    const [head, full] = [await server.get('/', {}, 'HEAD'), await server.get('/')];
    expect(head.body).toHaveLength(0);
    expect(head.headers['content-length']).toBe(String(full.body.length));
  });

  test.each([
    ['', undefined], ['gzip', 'gzip'], ['gzip, br', 'br'], ['br;q=0, gzip;q=0.5', 'gzip'], ['gzip;q=0.0', undefined], ['zstd', undefined],
  ])('what takes “%s” gets %s', async (accepted, encoding) => {
    const { headers, body } = await server.get('/assets/index-a1.js', { 'Accept-Encoding': accepted });
    const open = { br: brotliDecompressSync, gzip: gunzipSync }[encoding ?? ''] ?? ((bytes: Buffer) => bytes);
    expect(headers['content-encoding']).toBe(encoding);
    expect(headers.vary).toBe('Accept-Encoding');
    expect(open(body).toString()).toBe(SCRIPT);
  });

  test('what is known is not sent again; each encoding is known by itself', async () => {
    const { headers } = await server.get('/assets/index-a1.js', { 'Accept-Encoding': 'br' });
    const again = (accepted: string, tag: string) => server.get('/assets/index-a1.js', { 'Accept-Encoding': accepted, 'If-None-Match': tag });
    expect(await again('br', `"other", W/${String(headers.etag)}`)).toMatchObject({ status: 304, body: Buffer.alloc(0) });
    expect((await again('gzip', String(headers.etag))).status).toBe(200);
  });

  test('/version says which release this is', async () => {
    const { body } = await server.get('/version');
    expect(JSON.parse(body.toString())).toEqual({ service: 'frontend', revision: 'c8f2d4b', environment: 'staging' });
  });
});

describe('the end', () => {
  let server: Server;
  beforeEach(async () => { server = await Server.start(); });
  afterEach(() => server.stop());

  test('with nobody there, it ends at once and well', async () => {
    server.process.kill('SIGTERM');
    expect(await server.ended()).toBe(0);
  });

  test('a client that is kept waiting for its next request is let go', async () => {
    const socket = await server.connect();
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    server.process.kill('SIGTERM');
    await once(socket, 'close');
    expect(await server.ended()).toBe(0);
  });

  test('a slow request that has begun is answered, and the connection closed', async () => {
    const socket = await server.connect();
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n');
    // An answer on another connection: the server has read what was sent before.
    await server.get('/health');
    await server.drain();
    socket.write('\r\n');
    const said = (await rest(socket)).toString();
    expect(said).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(said).toMatch(/\r\nConnection: close\r\n/);
    expect(said).toMatch(/\{"status":"ok"\}$/);
    expect(await server.ended()).toBe(0);
  });

  test('a slow reader gets the whole of a file while new ones are refused', async () => {
    const response = await new Promise<NodeJS.ReadableStream>((resolve) => {
      get({ host: '127.0.0.1', port: server.port, path: '/assets/big-b2.bin', agent: false }, resolve);
    });
    await server.drain();
    let length = 0;
    for await (const part of response) length += (part as Buffer).length;
    expect(length).toBe(BIG.length);
    expect(await server.ended()).toBe(0);
  });
});

describe('with API_URL', () => {
  test('hands on what is the backend’s, whole, and says when it is away', async () => {
    const backend = createServer((asked, response) => {
      response.writeHead(201, { 'X-Seen': `${asked.method} ${asked.url} ${asked.headers.authorization}` });
      asked.pipe(response);
    }).listen(0, '127.0.0.1');
    await once(backend, 'listening');
    const { port } = backend.address() as AddressInfo;
    const server = await Server.start({ API_URL: `http://127.0.0.1:${port}` });
    try {
      const answer = await server.get('/api/habits?limit=1', { Authorization: 'Bearer t' }, 'POST');
      expect(answer).toMatchObject({ status: 201, headers: { 'x-seen': 'POST /api/habits?limit=1 Bearer t' } });
      // An address with a host in it still reaches only the backend.
      expect((await server.get('http://192.0.2.1/api/x')).headers['x-seen']).toBe('GET /api/x undefined');
      backend.closeAllConnections();
      await new Promise((resolve) => backend.close(resolve));
      const away = await server.get('/api/habits');
      expect(away.status).toBe(502);
      expect(JSON.parse(away.body.toString())).toMatchObject({ error: { code: 'unreachable' } });
    } finally {
      await server.stop();
    }
  });
});

test.each([
  ['a port that is none', { PORT: 'http' }, 'dist', 'PORT is no port: http'],
  ['no built pages', { PORT: '0' }, 'nowhere', 'no such file or directory'],
])('%s: it says so and ends', async (_what, env, dist, words) => {
  const child = spawn(process.execPath, [SERVER, join(folder, dist)], { env: { PATH: process.env['PATH'], ...env } });
  const said: Buffer[] = [];
  child.stderr.on('data', (part: Buffer) => said.push(part));
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(1);
  expect(Buffer.concat(said).toString()).toContain(words);
});
