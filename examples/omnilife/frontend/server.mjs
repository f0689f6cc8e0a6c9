/**
 * Serves the built pages. No dependency: a release is `dist/` and this file.
 *
 * Every file is read, compressed and named before the port opens, so that a request can only choose among what is
 * there: no path from outside ever reaches the file system. On SIGTERM it takes no new connection, finishes what it
 * has begun with `Connection: close`, and ends.
 *
 *   PORT=3000 node server.mjs [folder]
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import { extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const PORT = portOf(process.env.PORT ?? '3000');
const HOST = process.env.HOST ?? '127.0.0.1';
const FOLDER = process.argv[2] ?? fileURLToPath(new URL('dist', import.meta.url));
/** Where the backend is, when nothing in front of us sends it what is its own. */
const API = process.env.API_URL ? new URL(process.env.API_URL) : null;
/** How long a slow client may hold us up once we are to end. */
const GRACE_MS = 20_000;
const COMPRESS_FROM = 512;

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};

const SECURITY = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

/** Only as far as these go is a file named by its content, and good for ever. */
const IMMUTABLE = '/assets/';

const files = read(FOLDER);
const index = files.get('/index.html');
if (index === undefined) fail(`no index.html in ${FOLDER}: run \`npm run build\` first`);

let draining = false;
const server = createServer(answer);
// Longer than a proxy keeps a connection that is idle, so that it is the proxy who closes it.
server.keepAliveTimeout = 65_000;
server.on('error', (error) => fail(error.message));
server.listen(PORT, HOST, () => {
  const { port } = server.address();
  process.stdout.write(`listening on http://${HOST}:${port}\n`);
});
process.on('SIGTERM', drain);
process.on('SIGINT', drain);

function answer(request, response) {
  if (draining) response.setHeader('Connection', 'close');
  // A connection that was busy when we began to end is idle once it is answered.
  response.on('close', () => { if (draining) setImmediate(() => server.closeIdleConnections()); });

  const path = pathOf(request.url);
  if (path === null) return text(request, response, 400, 'This is no address.\n');
  if (path.startsWith('/api/') && API !== null) return forward(request, response);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return text(request, response, 405, 'Only GET and HEAD are answered here.\n');
  }
  if (path === '/health') return json(request, response, { status: 'ok' });
  if (path === '/version') {
    const { PILOTAGE_REVISION: revision = 'dev', PILOTAGE_ENVIRONMENT: environment = null } = process.env;
    return json(request, response, { service: 'frontend', revision, environment });
  }
  const found = files.get(path);
  if (found !== undefined) return file(request, response, found);
  if (isPage(path)) return file(request, response, index);
  return text(request, response, 404, 'There is nothing at this address.\n');
}

/** An address of the program's own: what it means is decided in the browser. A file that is missing is not one. */
function isPage(path) {
  return !path.startsWith(IMMUTABLE) && path !== '/api' && !path.startsWith('/api/') && extname(path) === '';
}

function pathOf(url) {
  try {
    return decodeURIComponent(new URL(url, 'http://localhost').pathname);
  } catch {
    return null;
  }
}

function file(request, response, { type, forever, bodies }) {
  const { encoding, body, etag } = chosen(request.headers['accept-encoding'] ?? '', bodies);
  const headers = {
    ...SECURITY,
    'Cache-Control': forever ? 'public, max-age=31536000, immutable' : 'no-cache',
    ETag: etag,
    Vary: 'Accept-Encoding',
  };
  if (known(request.headers['if-none-match'], etag)) {
    response.writeHead(304, headers).end();
    return;
  }
  if (encoding !== '') headers['Content-Encoding'] = encoding;
  send(request, response, 200, { ...headers, 'Content-Type': type }, body);
}

/** The smallest body that the client takes. Bodies are sorted by preference, the plain one last. */
function chosen(accepted, bodies) {
  const offers = accepted.split(',').map((offer) => offer.trim().split(/\s*;\s*/));
  const takes = (encoding) => offers.some(([name, weight]) => name === encoding && !/^q=0(\.0*)?$/.test(weight ?? ''));
  return bodies.find(({ encoding }) => encoding === '' || takes(encoding));
}

function known(header, etag) {
  return header !== undefined && header.split(',').some((tag) => ['*', etag].includes(tag.trim().replace(/^W\//, '')));
}

function json(request, response, value) {
  const headers = { ...SECURITY, 'Cache-Control': 'no-store', 'Content-Type': TYPES['.json'] };
  send(request, response, 200, headers, Buffer.from(JSON.stringify(value)));
}

function text(request, response, status, words) {
  const headers = { ...SECURITY, 'Cache-Control': 'no-store', 'Content-Type': TYPES['.txt'] };
  send(request, response, status, headers, Buffer.from(words));
}

function send(request, response, status, headers, body) {
  response.writeHead(status, { ...headers, 'Content-Length': body.length });
  if (request.method === 'HEAD') response.end();
  // Ended only when all is written: Node takes a connection for idle, and closes it, once its response has been ended.
  else response.write(body, () => response.end());
}

/** For local use only (`compose.yaml`, end-to-end tests by hand): Pilotage's proxy sends `/api` to the backend itself. */
function forward(request, response) {
  const { connection: _connection, ...headers } = request.headers;
  // Only path and query are taken over: an address with a host of its own reaches no other host.
  const { pathname, search } = new URL(request.url, API);
  const to = { host: API.hostname, port: API.port, path: pathname + search, method: request.method, headers };
  const onward = ask(to, (answered) => {
    const { connection: _closed, 'keep-alive': _kept, ...given } = answered.headers;
    response.writeHead(answered.statusCode, given);
    answered.pipe(response);
  });
  onward.on('error', () => {
    if (response.headersSent) return response.destroy();
    const error = { code: 'unreachable', message: 'The backend does not answer.' };
    return send(request, response, 502, { 'Content-Type': TYPES['.json'] }, Buffer.from(JSON.stringify({ error })));
  });
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

function drain() {
  if (draining) return;
  draining = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), GRACE_MS).unref();
}

/** All files of the folder by the path they are asked for. */
function read(folder) {
  const found = new Map();
  for (const name of namesIn(folder)) {
    const path = `/${name.split(sep).join('/')}`;
    const type = TYPES[extname(name)] ?? 'application/octet-stream';
    found.set(path, { type, forever: path.startsWith(IMMUTABLE), bodies: bodiesOf(readFileSync(join(folder, name)), type) });
  }
  const index = found.get('/index.html');
  if (index !== undefined) found.set('/', index);
  return found;
}

function namesIn(folder, below = '') {
  let entries;
  try {
    entries = readdirSync(join(folder, below), { withFileTypes: true });
  } catch (error) {
    fail(error.message);
  }
  return entries.flatMap((entry) => {
    const name = join(below, entry.name);
    return entry.isDirectory() ? namesIn(folder, name) : entry.isFile() ? [name] : [];
  });
}

function bodiesOf(plain, type) {
  const tag = createHash('sha256').update(plain).digest('base64url').slice(0, 22);
  const bodies = [{ encoding: '', body: plain, etag: `"${tag}"` }];
  if (plain.length < COMPRESS_FROM || !/^text|json|svg/.test(type)) return bodies;
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } };
  bodies.unshift(
    { encoding: 'br', body: brotliCompressSync(plain, quality), etag: `"${tag}-br"` },
    { encoding: 'gzip', body: gzipSync(plain, { level: 9 }), etag: `"${tag}-gz"` },
  );
  return bodies;
}

function portOf(words) {
  if (!/^\d{1,5}$/.test(words) || Number(words) > 65_535) fail(`PORT is no port: ${words}`);
  return Number(words);
}

function fail(message) {
  process.stderr.write(`server.mjs: ${message}\n`);
  process.exit(1);
}
