import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { formatIdentityName } from '../../mesh/identity-name.ts';
import type { LabPod } from '../lab/pod.ts';
import type { Answer } from './curl.ts';
import { answered, curl } from './curl.ts';
import { httpServer } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const scope = { controlPlaneNamespace: 'weft-system', trustDomain: 'cluster.local' };

function nameOf(serviceAccount: string): string {
  const name = formatIdentityName({ serviceAccount, namespace: 'shop', ...scope });
  assert.ok(name !== undefined);
  return name;
}

/** What test/tools/http-server.ts tells. */
interface Seen {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: number;
  readonly client: readonly [address: string, port: number];
  readonly requests: number;
}

describe('HTTP/1.1 between meshed pods', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let neighbour: LabPod;
  let server: LabPod;
  let outsider: LabPod;
  const folder = mkdtempSync(join(tmpdir(), 'weft-http-'));
  const upload = join(folder, 'upload');

  before(async () => {
    writeFileSync(upload, Buffer.alloc(2_000_000, 'z'));
    mesh = await LabMesh.up();
    ({ client, neighbour, server } = await mesh.addClientAndServers());
    outsider = await mesh.lab.node('c').addPod({ name: 'outsider', namespace: 'plain' });
    for (const pod of [neighbour, server, outsider]) await httpServer(pod, 8000);
    for (const pod of [neighbour, server, outsider]) {
      await answered(client, `http://${pod.ipv4}:8000/`);
    }
  });

  after(async () => {
    rmSync(folder, { recursive: true });
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function one(from: LabPod, ...args: string[]): Promise<Answer> {
    const answers = await curl(from, ...args);
    const [answer] = answers;
    assert.ok(
      answer !== undefined && answers.length === 1,
      `${args.join(' ')}: ${answers.length} answers\n${mesh.troubles()}`,
    );
    return answer;
  }

  function seenBy(answer: Answer): Seen {
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body) as Seen;
  }

  const places = ['another node', 'the same node', 'outside'] as const;
  const podAt = (place: (typeof places)[number]): LabPod =>
    ({ 'another node': server, 'the same node': neighbour, outside: outsider })[place];

  for (const place of places) {
    test(`GET, POST, chunked bodies and HEAD reach the app as they were sent: ${place}`, async () => {
      const url = `http://${podAt(place).ipv4}:8000`;
      const get = seenBy(await one(client, `${url}/a/b?c=d`));
      assert.deepEqual([get.method, get.url, get.httpVersion, get.body], ['GET', '/a/b?c=d', '1.1', 0]);
      assert.equal(get.headers['host'], `${podAt(place).ipv4}:8000`);

      const post = seenBy(await one(client, '-d', 'x'.repeat(100_000), '-H', 'Expect:', `${url}/known`));
      assert.deepEqual([post.method, post.body, post.headers['content-length']], ['POST', 100_000, '100000']);

      const chunked = ['-H', 'Transfer-Encoding: chunked', '-d', 'y'.repeat(50_000), `${url}/`];
      const put = seenBy(await one(client, '-X', 'PUT', ...chunked));
      assert.deepEqual([put.method, put.body, put.headers['transfer-encoding']], ['PUT', 50_000, 'chunked']);

      const head = await one(client, '-I', `${url}/known`);
      assert.deepEqual([head.status, head.body], [200, '']);
      assert.ok(Number(head.headers['content-length']) > 0);

      const continued = seenBy(
        await lastOf(client, '--data-binary', `@${upload}`, '-H', 'Expect: 100-continue', `${url}/`),
      );
      assert.equal(continued.body, 2_000_000);
    });

    test(`long responses come whole, and statuses as they are: ${place}`, async () => {
      const url = `http://${podAt(place).ipv4}:8000`;
      const streamed = await one(client, `${url}/stream`);
      assert.equal(streamed.body.length, 64 * 16_384);
      for (const status of [404, 500, 503]) assert.equal((await one(client, `${url}/status/${status}`)).status, status);
      const none = await one(client, `${url}/status/204`);
      assert.deepEqual([none.status, none.body], [204, '']);
    });

    test(`requests of one connection go over one connection of the app, HTTP/1.0 is served: ${place}`, async () => {
      const url = `http://${podAt(place).ipv4}:8000`;
      const kept = await curl(client, `${url}/1`, `${url}/2`, `${url}/3`);
      const seen = kept.map(seenBy);
      assert.deepEqual(
        seen.map((each) => each.url),
        ['/1', '/2', '/3'],
      );
      assert.equal((seen[2]?.requests ?? 0) - (seen[0]?.requests ?? 0), 2);
      const old = await one(client, '--http1.0', `${url}/old`);
      assert.equal(seenBy(old).url, '/old');
    });
  }

  for (const place of places) {
    test(`an upgrade becomes a tunnel, which ends when both sides have: ${place}`, async () => {
      const tool = new URL('../tools/upgrade.py', import.meta.url).pathname;
      const { stdout } = await client.run(['/usr/bin/python3', tool, podAt(place).ipv4, '8000', 'x'.repeat(5000)]);
      assert.deepEqual(JSON.parse(stdout), { status: 101, echo: 'x'.repeat(5000) });
    });
  }

  async function lastOf(from: LabPod, ...args: string[]): Promise<Answer> {
    const answer = (await curl(from, ...args)).at(-1);
    assert.ok(answer);
    return answer;
  }

  test('an app is told who its client is, nobody can say so himself, and nothing of ours leaves the mesh', async () => {
    const forged = ['-H', 'l5d-client-id: somebody', '-H', 'l5d-dst-override: elsewhere'];
    for (const pod of [server, neighbour]) {
      const answer = await one(client, ...forged, `http://${pod.ipv4}:8000/`);
      const { headers, client: from } = seenBy(answer);
      assert.equal(headers['l5d-client-id'], nameOf('client'));
      assert.equal(headers['l5d-dst-override'], undefined);
      assert.equal(from[0], client.ipv4);
      assert.equal(answer.headers['l5d-proxy-error'], undefined, 'what an app forges is not passed on');
    }
    const outside = seenBy(await one(client, ...forged, `http://${outsider.ipv4}:8000/`));
    assert.deepEqual(
      Object.keys(outside.headers).filter((name) => name.startsWith('l5d-')),
      [],
    );
    const fromOutside = seenBy(await one(outsider, ...forged, `http://${server.ipv4}:8000/`));
    assert.equal(fromOutside.headers['l5d-client-id'], undefined);
    assert.equal(fromOutside.client[0], outsider.ipv4);
  });

  for (const place of places) {
    test(`a port that nobody listens on answers 502: ${place}`, async () => {
      const refused = await one(client, `http://${podAt(place).ipv4}:8999/`);
      assert.deepEqual([refused.status, refused.body], [502, '']);
      assert.ok(refused.headers['date'] !== undefined);
      // Of a remote app its own agent answers, on a connection that is not the client's, and tells the cause to our agent.
      assert.equal(refused.headers['connection'], place === 'another node' ? undefined : 'close');
      if (place !== 'another node')
        assert.match(refused.headers['l5d-proxy-error'] ?? '', /8999: connection failed: ECONNREFUSED$/);
    });
  }

  test('a response that breaks off before its head answers 502', async () => {
    assert.equal((await one(client, `http://${server.ipv4}:8000/reset`)).status, 502);
  });

  test('each request is counted once at either end, in the words of Linkerd', async () => {
    const outcomes = [
      ['/', 200, 'success'],
      ['/status/503', 503, 'failure'],
    ] as const;
    const count = async (node: string, direction: string, status: number): Promise<number> => {
      const { stdout } = await mesh.lab.node(node).run(['curl', '-s', 'http://127.0.0.1:4191/metrics']);
      const peer = direction === 'outbound' ? 'dst_pod="server"' : `client_id="${nameOf('client')}"`;
      const wanted = ['response_total{', `direction="${direction}"`, 'tls="true"', `status_code="${status}"`, peer];
      const lines = stdout.split('\n').filter((line) => wanted.every((part) => line.includes(part)));
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    };
    for (const [path, status] of outcomes) {
      const before = [await count('a', 'outbound', status), await count('b', 'inbound', status)];
      for (let times = 0; times < 5; times++)
        assert.equal((await one(client, `http://${server.ipv4}:8000${path}`)).status, status);
      const after = [await count('a', 'outbound', status), await count('b', 'inbound', status)];
      assert.deepEqual(
        after.map((value, index) => value - (before[index] ?? 0)),
        [5, 5],
        `${status}: ${String(before)}`,
      );
    }
  });

  test('a load of wrk, on kept connections and on one each: every response is good', async () => {
    for (const headers of [[], ['-H', 'Connection: close']]) {
      const load = ['wrk', '-t', '1', '-c', '32', '-d', '2s', ...headers, `http://${server.ipv4}:8000/`];
      const { stdout, stderr } = await client.run(load);
      assert.ok(Number(/(\d+) requests in/.exec(stdout)?.[1]) > 100, stdout + stderr);
      assert.ok(!/Non-2xx|Socket errors/.test(stdout), stdout);
    }
  });

  test('a request that cannot be understood is answered with the cause and goes nowhere', async () => {
    const answer = await one(client, '-H', 'Transfer-Encoding: chunked, identity', `http://${server.ipv4}:8000/`);
    assert.equal(answer.status, 400);
    assert.match(answer.headers['l5d-proxy-error'] ?? '', /: invalid request: transfer_encoding_not_chunked$/);
  });
});
