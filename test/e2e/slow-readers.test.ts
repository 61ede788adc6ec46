import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { LabNode } from '../lab/node.ts';
import type { LabPod } from '../lab/pod.ts';
import { answered } from './curl.ts';
import { waitUntil } from './helpers.ts';
import type { Growth } from './memory.ts';
import { growth, settled } from './memory.ts';
import { LabMesh } from './mesh.ts';
import { nginx } from './nginx.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const ports = { http1: 8000, http2: 8001 };
const kib = 1024;
const mib = 1024 * kib;

const readers = 1000;
/** So many of them read on in the end. */
const finishing = 50;
const bodyBytes = 10_000_000;
/** A window of weft/1, and what was read beyond it at once. */
const mostPerReader = 384 * kib;
/** Windows that have grown, of one tunnel for each worker (docs/wire.md). */
const mostOfTunnels = 2 * 32 * mib;
/** A window of HTTP/2, which does not grow while its reader rests, and what describes the request. */
const mostPerStream = 96 * kib;
const idle = 10_000;
/** With JavaScript; of the engine's own see native/test/http_limits_test.cc. */
const mostPerIdle = 6 * kib;
/** What no client is to blame for: JavaScript's garbage. */
const slack = 32 * mib;
/** Of a pod's sockets. Without it the kernel keeps 2 MB for each reader, most of it to be sent by the app, and comes to the end of tcp_mem. */
const socketBuffers = ['net.ipv4.tcp_wmem=4096 16384 131072', 'net.ipv4.tcp_rmem=4096 65536 131072'];

const places = ['the same node', 'another node'] as const;

describe('clients who do not read, or say nothing', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let neighbour: LabPod;
  let server: LabPod;
  const folder = mkdtempSync(join(tmpdir(), 'weft-slow-readers-'));

  before(async () => {
    mkdirSync(join(folder, 'www'));
    writeFileSync(join(folder, 'www', 'large'), Buffer.alloc(bodyBytes, '0123456789'));
    writeFileSync(join(folder, 'www', 'small'), 'hello');
    mesh = await LabMesh.up();
    ({ client, neighbour, server } = await mesh.addClientAndServers());
    for (const pod of [client, neighbour, server]) await pod.run(['sysctl', '-qw', ...socketBuffers]);
    for (const pod of [neighbour, server]) {
      const options = `root ${folder}/www; sendfile on; http2_max_concurrent_streams 1024; send_timeout 5m;`;
      await nginx(pod, folder, [
        `server { listen ${ports.http1}; ${options} }`,
        `server { listen ${ports.http2} http2; ${options} }`,
      ]);
      await answered(client, `http://${pod.ipv4}:${ports.http1}/small`);
      await waitUntil(() => answersHttp2(pod), 15_000, `the first stream to ${pod.spec.name}`);
    }
  });

  after(async () => {
    rmSync(folder, { recursive: true });
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function answersHttp2(pod: LabPod): Promise<boolean> {
    const url = `http://${pod.ipv4}:${ports.http2}/small`;
    return (await client.run(['curl', '-s', '-m', '5', '--http2-prior-knowledge', url])).stdout === 'hello';
  }

  function addressOf(place: (typeof places)[number]): string {
    return (place === 'another node' ? server : neighbour).ipv4;
  }

  /** While they rest nothing moves; then a line is written to them. What they print at the end, and by how much agents have grown. */
  async function atRest(command: readonly string[]): Promise<Growth<unknown>> {
    const nodes: LabNode[] = [mesh.lab.node('a'), mesh.lab.node('b')];
    return growth(nodes, async () => {
      const child = client.spawn([...command]);
      let output = '';
      let complaint = '';
      child.stdout?.on('data', (part: Buffer) => (output += part.toString()));
      child.stderr?.on('data', (part: Buffer) => (complaint += part.toString()));
      const ended = new Promise((resolve) => child.once('close', resolve));
      const isWaiting = (): boolean => output.includes('waiting') || child.exitCode !== null;
      await waitUntil(isWaiting, 60_000, 'each has an answer');
      await settled(nodes);
      child.stdin?.end('\n');
      await ended;
      assert.match(output, /\{/, `${complaint}\n${mesh.troubles()}`);
      return JSON.parse(output.slice(output.indexOf('{'))) as unknown;
    });
  }

  // What needs least comes first, as memory that was used once is not given back.
  test('ten thousand clients who keep their connections cost 6 KiB each, and are served at any time', async (t) => {
    const asking = [neighbour.ipv4, String(ports.http1), '/small', String(idle)];
    const { result, bytes } = await atRest(['/usr/bin/python3', `${tools}idle_clients.py`, ...asking]);
    t.diagnostic(`${Math.round(bytes / idle)} bytes each`);
    assert.deepEqual(result, { answered: idle }, mesh.troubles());
    assert.ok(bytes < idle * mostPerIdle, `an agent has grown by ${bytes} bytes`);
  });

  for (const place of places)
    test(`a thousand streams whose readers rest: what is kept for each is bounded, and who reads on gets all: ${place}`, async (t) => {
      const url = `http://${addressOf(place)}:${ports.http2}/large`;
      const command = [process.execPath, `${tools}slow-streams.ts`, url, String(readers), String(finishing)];
      const { result, bytes, kernelBytes } = await atRest(command);
      t.diagnostic(
        `${Math.round(bytes / readers / kib)} KiB of an agent, ${Math.round(kernelBytes / readers / kib)} KiB of sockets each`,
      );
      assert.deepEqual(result, { whole: finishing, errors: {} }, mesh.troubles());
      assert.ok(bytes < readers * mostPerStream + slack, `an agent has grown by ${bytes} bytes`);
    });

  for (const place of places)
    test(`a thousand readers who rest: what is kept for each is bounded, and who reads on gets all: ${place}`, async (t) => {
      const reading = [addressOf(place), String(ports.http1), '/large', String(readers), String(finishing)];
      const { result, bytes, kernelBytes } = await atRest(['/usr/bin/python3', `${tools}slow_readers.py`, ...reading]);
      t.diagnostic(
        `${Math.round(bytes / readers / kib)} KiB of an agent, ${Math.round(kernelBytes / readers / kib)} KiB of sockets each`,
      );
      assert.deepEqual(result, { whole: finishing, errors: {} }, mesh.troubles());
      const most = readers * mostPerReader + mostOfTunnels + slack;
      assert.ok(bytes < most, `an agent has grown by ${bytes} bytes`);
    });
});
