import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import type { LabPod } from '../lab/pod.ts';
import { answered, curl } from './curl.ts';
import { listening } from './helpers.ts';
import { growth } from './memory.ts';
import { LabMesh } from './mesh.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const port = 8000;
const mib = 1024 * 1024;
const bodySize = 1024 * mib;
const patience = { timeoutMs: 180_000 };

/** What no transfer is to blame for: JavaScript's garbage. */
const slack = 64 * mib;

/** A gigabyte that does not repeat itself. */
const stream = `head -c ${bodySize} /dev/zero | openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000`;

describe('large bodies of HTTP/1.1', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let neighbour: LabPod;
  let server: LabPod;

  before(async () => {
    mesh = await LabMesh.up();
    ({ client, neighbour, server } = await mesh.addClientAndServers());
    for (const pod of [neighbour, server]) {
      await listening(pod, [process.execPath, `${tools}http-bodies.ts`, String(port)]);
      await answered(client, `${urlOf(pod)}/digest`);
    }
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  function urlOf(pod: LabPod): string {
    return `http://${pod.ipv4}:${port}`;
  }

  async function shell(pod: LabPod, script: string): Promise<string> {
    const { code, stdout, stderr } = await pod.run(['bash', '-o', 'pipefail', '-c', script], patience);
    assert.equal(code, 0, `${script}: ${stderr}\n${mesh.troubles()}`);
    return stdout.trim();
  }

  const places = ['another node', 'the same node'] as const;
  for (const place of places) {
    const pod = (): LabPod => (place === 'another node' ? server : neighbour);

    test(`a gigabyte goes up and comes down whole, and agents do not grow by it: ${place}`, async () => {
      const { result, bytes } = await growth([mesh.lab.node('a'), mesh.lab.node('b')], async () => {
        const sending = `${stream} | curl -sS -T - ${urlOf(pod())}/upload`;
        const [sent, digest] = await Promise.all([
          shell(client, sending),
          shell(client, `${stream} | openssl dgst -sha256 -r | cut -d ' ' -f 1`),
        ]);
        const received = `curl -sSf ${urlOf(pod())}/bytes/${bodySize} | openssl dgst -sha256 -r | cut -d ' ' -f 1`;
        return { sent, digest, received: await shell(client, received) };
      });
      const sent = JSON.parse(result.sent) as { bytes: number; sha256: string };
      assert.deepEqual([sent.bytes, sent.sha256], [bodySize, result.digest]);
      assert.equal(result.received, (await curl(client, `${urlOf(pod())}/digest`))[0]?.body);
      assert.ok(bytes < slack, `an agent has grown by ${bytes} bytes`);
    });
  }
});
