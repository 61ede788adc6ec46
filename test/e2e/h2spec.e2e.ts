import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { program } from '../cluster/binaries.ts';
import type { LabPod } from '../lab/pod.ts';
import { http2Server, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const port = 8000;
const cases = 146;

/** Needs no cluster, but a program of Go, as clusters do. */
suite('h2spec, towards Weft as the server of HTTP/2', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let outsider: LabPod;
  let pods: Readonly<Record<string, LabPod>>;

  before(async () => {
    mesh = await LabMesh.up();
    const { neighbour, server, ...more } = await mesh.addClientAndServers();
    ({ client } = more);
    outsider = await mesh.lab.node('c').addPod({ name: 'outsider', namespace: 'plain' });
    pods = { 'another node': server, 'the same node': neighbour, outside: outsider };
    for (const pod of Object.values(pods)) await http2Server(pod, port);
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function passes(from: LabPod, to: LabPod): Promise<void> {
    const curl = ['curl', '-s', '--max-time', '5', '-w', '%{http_code}', '-o', '/dev/null', '--http2-prior-knowledge'];
    const works = async (): Promise<boolean> =>
      (await from.run([...curl, `http://${to.ipv4}:${port}/`])).stdout === '200';
    await waitUntil(works, 15_000, `the first request to ${to.spec.name}`);
    const command = [program('h2spec'), '--strict', '-h', to.ipv4, '-p', String(port), '--timeout', '5'];
    const { stdout } = await from.run(command, { timeoutMs: 180_000 });
    const [, ...numbers] = /^(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed$/m.exec(stdout) ?? [];
    const failures = stdout.slice(Math.max(stdout.indexOf('Failures:'), 0));
    assert.deepEqual(numbers.map(Number), [cases, cases, 0, 0], failures.slice(-4000));
  }

  for (const place of ['another node', 'the same node', 'outside'])
    test(`every case of h2spec passes: a meshed client, to ${place}`, async () => {
      await passes(client, pods[place] ?? outsider);
    });

  test('every case of h2spec passes: a client from outside', async () => {
    await passes(outsider, pods['another node'] ?? outsider);
  });
});
