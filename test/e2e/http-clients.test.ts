import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { LabPod } from '../lab/pod.ts';
import type { Answer } from './curl.ts';
import { answered, curl } from './curl.ts';
import { httpServer, listening, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';
import { nginx } from './nginx.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const ports = { node: 8000, bodies: 8001, nginx: 8002, websocket: 8003, python10: 8010, python11: 8011, front: 8020 };

const pythonClient = `
import http.client, json, sys
results = []
for version in (11, 10):
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
    connection._http_vsn, connection._http_vsn_str = version, f"HTTP/1.{version - 10}"
    for path in ("/page", "/missing", "/page"):
        connection.request("GET", path)
        response = connection.getresponse()
        results.append([response.status, len(response.read()), response.version])
    connection.request("POST", "/page", body=iter([b"a", b"b"]) if version == 11 else b"ab")
    results.append([connection.getresponse().status])
    connection.close()
print(json.dumps(results))
`;

/** Programs that were not made for a mesh, nor changed for it. */
describe('HTTP/1.1 of other people', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let server: LabPod;
  let neighbour: LabPod;
  const folder = mkdtempSync(join(tmpdir(), 'weft-http-clients-'));
  const pageSize = 300_000;

  before(async () => {
    mkdirSync(join(folder, 'www'));
    writeFileSync(join(folder, 'www', 'page'), Buffer.alloc(pageSize, '0123456789'));
    mesh = await LabMesh.up();
    ({ client, neighbour, server } = await mesh.addClientAndServers());
    await Promise.all([neighbour, server].map(serve));
    for (const pod of [neighbour, server]) {
      await answered(client, `http://${pod.ipv4}:${ports.node}/`);
    }
  });

  after(async () => {
    rmSync(folder, { recursive: true });
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function serve(pod: LabPod): Promise<void> {
    await Promise.all([
      httpServer(pod, ports.node),
      listening(pod, [process.execPath, `${tools}http-bodies.ts`, String(ports.bodies)]),
      listening(pod, [process.execPath, `${tools}websocket.ts`, 'serve', String(ports.websocket)]),
      nginx(pod, folder, [
        `server { listen ${ports.nginx}; keepalive_requests 100000; root ${folder}/www; location /none { return 204; } location /hello { return 200 hello; } }`,
      ]),
      ...[
        [ports.python10, 'HTTP/1.0'],
        [ports.python11, 'HTTP/1.1'],
      ].map(([port, version]) =>
        listening(pod, [
          ...['/usr/bin/python3', '-u', '-m', 'http.server', String(port)],
          ...['--protocol', String(version), '--directory', join(folder, 'www')],
        ]),
      ),
    ]);
  }

  async function one(...args: string[]): Promise<Answer> {
    const answers = await curl(client, ...args);
    const [answer] = answers;
    assert.ok(answer !== undefined && answers.length === 1, `${args.join(' ')}\n${mesh.troubles()}`);
    return answer;
  }

  async function told(command: readonly string[], input = ''): Promise<unknown> {
    const { stdout, stderr } = await client.run(command, { input, timeoutMs: 60_000 });
    assert.notEqual(stdout, '', `${command.join(' ')}: ${stderr}\n${mesh.troubles()}`);
    return JSON.parse(stdout);
  }

  const places = ['another node', 'the same node'] as const;
  for (const place of places) {
    const pod = (): LabPod => (place === 'another node' ? server : neighbour);
    const url = (port: number): string => `http://${pod().ipv4}:${port}`;

    test(`curl and nginx: files, parts of them, what has not changed, HEAD, 204: ${place}`, async () => {
      const page = `${url(ports.nginx)}/page`;
      const whole = await one(page);
      assert.deepEqual([whole.status, whole.body.length], [200, pageSize]);
      const part = await one('-r', '100000-100019', page);
      assert.deepEqual([part.status, part.body], [206, '01234567890123456789']);
      assert.equal(part.headers['content-range'], `bytes 100000-100019/${pageSize}`);
      const known = await one('-H', `If-None-Match: ${whole.headers['etag'] ?? ''}`, page);
      assert.deepEqual([known.status, known.body, known.headers['etag']], [304, '', whole.headers['etag']]);
      const [head, again] = await curl(client, '-I', page, page);
      assert.deepEqual([head?.status, head?.headers['content-length']], [200, String(pageSize)]);
      assert.equal(again?.status, 200, 'the connection goes on after HEAD');
      const none = await one(`${url(ports.nginx)}/none`);
      assert.deepEqual([none.status, none.body, none.headers['content-length']], [204, '', undefined]);
      assert.equal((await one('-H', 'Connection: close', page)).body.length, pageSize);
      const offered = await one('--http2', page); // with Upgrade: h2c
      assert.deepEqual([offered.version, offered.body.length], ['HTTP/1.1', pageSize]);
    });

    test(`curl: an upload of unknown length, the absolute form, a tunnel by CONNECT: ${place}`, async () => {
      const upload = ['curl', '-s', '--max-time', '15', '-T', '-', `${url(ports.bodies)}/`];
      const { bytes } = (await told(upload, 'x'.repeat(1_000_000))) as { bytes: number };
      assert.equal(bytes, 1_000_000);

      const proxy = url(ports.node);
      const absolute = await one('-x', proxy, 'http://shop.example/path?query');
      const seen = JSON.parse(absolute.body) as { url: string; headers: Record<string, string> };
      assert.deepEqual([seen.url, seen.headers['host']], ['http://shop.example/path?query', 'shop.example']);

      const tunnelled = await curl(client, '--proxytunnel', '-x', proxy, `${url(ports.node)}/beyond`);
      assert.deepEqual(
        tunnelled.map((answer) => answer.status),
        [200, 200],
      );
      assert.equal((JSON.parse(tunnelled[1]?.body ?? '') as { url: string }).url, '/beyond');
    });

    test(`nginx as a reverse proxy, in HTTP/1.0 and with kept connections: ${place}`, async () => {
      const front = await mesh.addMeshed('a', `front-${pod().spec.name}`, 'front');
      const kept = 'proxy_http_version 1.1; proxy_set_header Connection "";';
      await nginx(front, folder, [
        `upstream app { server ${pod().ipv4}:${ports.node}; keepalive 8; }`,
        `server { listen ${ports.front};`,
        'location /old { proxy_pass http://app; }',
        `location / { ${kept} proxy_pass http://app; } }`,
      ]);
      const at = `http://${front.ipv4}:${ports.front}`;
      const works = async (): Promise<boolean> => (await curl(client, `${at}/`))[0]?.status === 200;
      await waitUntil(works, 15_000, 'the first request through nginx');
      const streamed = await one(`${at}/stream`);
      assert.equal(streamed.body.length, 64 * 16_384);
      const old = await one('-d', 'y'.repeat(50_000), `${at}/old`);
      assert.equal((JSON.parse(old.body) as { body: number }).body, 50_000);
      const load = await client.run(['wrk', '-t', '1', '-c', '16', '-d', '1s', `${at}/`]);
      assert.ok(Number(/(\d+) requests in/.exec(load.stdout)?.[1]) > 50, load.stdout + load.stderr);
      assert.doesNotMatch(load.stdout, /Non-2xx|Socket errors/);
    });

    test(`wrk and nginx: ${place}`, async () => {
      const { stdout, stderr } = await client.run([
        ...['wrk', '-t', '1', '-c', '64', '-d', '2s'],
        `${url(ports.nginx)}/hello`,
      ]);
      assert.ok(Number(/(\d+) requests in/.exec(stdout)?.[1]) > 200, stdout + stderr);
      assert.doesNotMatch(stdout, /Non-2xx|Socket errors/);
    });

    test(`Python's client and server, each in HTTP/1.0 and HTTP/1.1: ${place}`, async () => {
      for (const port of [ports.python10, ports.python11]) {
        const results = await told(['/usr/bin/python3', '-c', pythonClient, pod().ipv4, String(port)]);
        const ofEach = (results as [number, number, number][]).map(([status, size]) => [status, size]);
        const [, [, missing] = []] = ofEach;
        const expected = [
          [200, pageSize],
          [404, missing],
          [200, pageSize],
          [501, undefined],
        ];
        assert.deepEqual(ofEach, [...expected, ...expected]);
      }
    });

    test(`Node's client: kept connections, Expect: 100-continue, trailers, an upgrade: ${place}`, async () => {
      const where = [pod().ipv4, String(ports.node), String(ports.bodies)];
      const result = await told([process.execPath, `${tools}http-client.ts`, ...where]);
      assert.deepEqual(result, {
        kept: { right: 400, reused: 396 },
        continued: { told: true, body: 5000 },
        trailers: { 'x-digest': 'of a body' },
        upgraded: 'hello',
      });
    });

    test(`requests that are written all at once are answered in their order: ${place}`, async () => {
      const heads = Array.from({ length: 50 }, (_, index) => `GET /number/${index} HTTP/1.1\r\nHost: here\r\n\r\n`);
      const command = ['/usr/bin/python3', `${tools}raw_client.py`, pod().ipv4, String(ports.node), 'half-close'];
      const { answer, end } = (await told(command, heads.join(''))) as { answer: string; end: string };
      const urls = [...answer.matchAll(/"url":"(.*?)"/g)].map(([, path]) => path);
      assert.deepEqual(
        urls,
        heads.map((_, index) => `/number/${index}`),
      );
      assert.equal(end, 'end');
    });

    test(`WebSockets: text and bytes of any length, ping and pong, how each side closes, and silence: ${place}`, async () => {
      const at = url(ports.websocket).replace('http', 'ws');
      const staying = told([process.execPath, `${tools}websocket.ts`, 'stay', at, '4']);
      assert.deepEqual(await told([process.execPath, `${tools}websocket.ts`, 'try', at]), {
        text: ['grüße', false],
        binary: [true, true],
        longText: 1_000_000,
        frames: ['from the client', 'from the server'],
        byClient: [4000, 'enough'],
        heard: '4000',
        byServer: [4001, 'as you wish'],
      });
      assert.equal(await staying, 'still here');
    });
  }
});
