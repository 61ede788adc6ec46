import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { LabPod } from '../lab/pod.ts';
import { grpcServer, http2Server, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

/** What test/tools/http2-server.ts tells. */
interface Seen {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: number;
  readonly client: readonly [address: string, port: number];
  readonly requests: number;
}

describe('HTTP/2 and gRPC between meshed pods', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let neighbour: LabPod;
  let server: LabPod;
  let outsider: LabPod;
  const folder = mkdtempSync(join(tmpdir(), 'weft-http2-'));
  const upload = join(folder, 'upload');

  before(async () => {
    writeFileSync(upload, Buffer.alloc(2_000_000, 'z'));
    mesh = await LabMesh.up();
    ({ client, neighbour, server } = await mesh.addClientAndServers());
    outsider = await mesh.lab.node('c').addPod({ name: 'outsider', namespace: 'plain' });
    for (const pod of [neighbour, server, outsider]) {
      await http2Server(pod, 8000);
      await grpcServer(pod, 9000);
      const works = async (): Promise<boolean> => (await curl(client, `http://${pod.ipv4}:8000/`)).includes('200');
      await waitUntil(works, 15_000, `the first request to ${pod.spec.name}`);
    }
  });

  after(async () => {
    rmSync(folder, { recursive: true });
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function curl(from: LabPod, ...args: string[]): Promise<string> {
    const flags = ['-s', '-i', '--http2-prior-knowledge', '--max-time', '15'];
    const { stdout } = await from.run(['curl', ...flags, ...args]);
    return stdout;
  }

  async function seen(from: LabPod, ...args: string[]): Promise<Seen> {
    const text = await curl(from, ...args);
    assert.match(text, /^HTTP\/2 200/, `${args.join(' ')}: ${text}\n${mesh.troubles()}`);
    return JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)) as Seen;
  }

  async function countOf(node: string, ...wanted: string[]): Promise<number> {
    const { stdout } = await mesh.lab.node(node).run(['curl', '-s', 'http://127.0.0.1:4191/metrics']);
    const lines = stdout.split('\n').filter((line) => wanted.every((part) => line.includes(part)));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  const places = ['another node', 'the same node', 'outside'] as const;
  const podAt = (place: (typeof places)[number]): LabPod =>
    ({ 'another node': server, 'the same node': neighbour, outside: outsider })[place];

  for (const place of places) {
    test(`requests, bodies, statuses and trailers pass, and agents see each: ${place}`, async () => {
      const pod = podAt(place);
      const url = `http://${pod.ipv4}:8000`;
      const get = await seen(client, `${url}/a?b=c`);
      assert.deepEqual([get.path, get.body, get.headers[':method']], ['/a?b=c', 0, 'GET']);
      assert.equal(get.headers['l5d-client-id'] !== undefined, place !== 'outside', 'requests are seen one by one');
      if (place !== 'outside') assert.equal(get.client[0], client.ipv4);
      const posted = await seen(client, '--data-binary', `@${upload}`, `${url}/`);
      assert.equal(posted.body, 2_000_000);
      const stream = await curl(client, `${url}/stream`);
      assert.ok(stream.endsWith('x'.repeat(1_048_576)));
      assert.match(await curl(client, `${url}/status/503`), /^HTTP\/2 503/);
      assert.match(await curl(client, `${url}/trailers`), /x-end: told/);
      assert.match(await curl(client, '-I', `${url}/head`), /^HTTP\/2 200/);
    });

    const shared = place === 'outside' ? 'of its client alone' : 'that all clients share';
    test(`many streams go over a connection of the app ${shared}: ${place}`, async () => {
      const url = `http://${podAt(place).ipv4}:8000`;
      const { stdout } = await client.run(['h2load', '-n', '3000', '-c', '2', '-m', '50', `${url}/load`]);
      assert.match(stdout, /3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout/);
      const carried = await Promise.all(
        Array.from({ length: 16 }, async () => (await seen(client, `${url}/`)).requests),
      );
      // Of the two workers one has carried at least half; who asks comes by either.
      const expected = place === 'outside' ? Math.max(...carried) === 1 : Math.max(...carried) > 1000;
      assert.ok(expected, carried.join());
    });

    test(`gRPC: every kind of call, a large message, a deadline, a cancelled call: ${place}`, async () => {
      const tool = new URL('../tools/grpc-client.ts', import.meta.url).pathname;
      const { stdout } = await client.run([process.execPath, tool, `${podAt(place).ipv4}:9000`]);
      assert.deepEqual(JSON.parse(stdout), {
        unary: [0, 'hello'],
        failed: 9,
        large: true,
        upload: 2_000_000,
        download: 2_000_000,
        talk: 100,
        deadline: 4,
        cancelled: 1,
        seenByApp: 2,
      });
    });

    test(`a port that nobody listens on answers 502: ${place}`, async () => {
      assert.match(await curl(client, `http://${podAt(place).ipv4}:8999/`), /^HTTP\/2 502/);
    });
  }

  test('what an app resets is reset for its client', async () => {
    for (const pod of [server, neighbour]) {
      const { stdout } = await client.run([
        'sh',
        '-c',
        `curl -s --http2-prior-knowledge --max-time 15 http://${pod.ipv4}:8000/reset; echo "code $?"`,
      ]);
      assert.match(stdout, /code 92/, 'curl: a stream error of HTTP/2');
    }
  });

  test('gRPC statuses are counted at either end', async () => {
    const wanted = ['response_total{', 'tls="true"', 'grpc_status="9"', 'status_code="200"'];
    const told = async (): Promise<boolean> =>
      (await countOf('a', 'direction="outbound"', ...wanted)) > 0 &&
      (await countOf('b', 'direction="inbound"', ...wanted)) > 0;
    await waitUntil(told, 10_000, 'the status of the call that failed');
  });
});
