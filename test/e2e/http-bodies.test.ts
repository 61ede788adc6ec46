import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import type { LabPod } from '../lab/pod.ts';
import { answered, curl } from './curl.ts';
import { listening, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const port = 8000;
const mib = 1024 * 1024;
const bodySize = 1024 * mib;
const patience = { timeoutMs: 180_000 };

/** Of each kind of path. The full thousand, and what Weft keeps for it, is run with WEFT_SOAK=120. */
const readers = process.env['WEFT_SOAK'] === undefined ? 100 : 1000;
const readerBytes = 10_000_000;
/** A window of weft/1, and what was read beyond it at once. */
const mostPerReader = 384 * 1024;
/** Windows that have grown, of one tunnel for each worker (docs/wire.md). */
const mostOfTunnels = 2 * 32 * mib;
/** What no transfer is to blame for: JavaScript's garbage. */
const slack = 64 * mib;

/** A gigabyte that does not repeat itself. */
const stream = `head -c ${bodySize} /dev/zero | openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000`;

describe('large and slow bodies of HTTP/1.1', () => {
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

  /** Bytes that belong to the node's agent alone. */
  function memoryOf(node: string): number {
    const { lab } = mesh;
    return lab
      .node(node)
      .agentPids()
      .map(anonymousMemory)
      .reduce((sum, bytes) => sum + bytes, 0);
  }

  /** By how much both agents grow meanwhile, at the most. */
  async function growth<T>(run: () => Promise<T>): Promise<{ result: T; bytes: number }> {
    const nodes = ['a', 'b'];
    const before = nodes.map(memoryOf);
    let bytes = 0;
    const look = (): void => {
      bytes = Math.max(bytes, ...nodes.map((node, index) => memoryOf(node) - (before[index] ?? 0)));
    };
    const timer = setInterval(look, 100);
    try {
      const result = await run();
      look();
      return { result, bytes };
    } finally {
      clearInterval(timer);
    }
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
      const { result, bytes } = await growth(async () => {
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

    test(`${readers} readers who rest: what is kept for each is bounded, and each gets all in the end: ${place}`, async () => {
      const reading = pod().node === client.node ? [client, neighbour] : [client, server];
      const [from, to] = reading as [LabPod, LabPod];
      const asking = [to.ipv4, String(port), `/bytes/${readerBytes}`, String(readers)];
      const { result, bytes } = await growth(async () => {
        const child = from.spawn(['/usr/bin/python3', `${tools}slow_readers.py`, ...asking]);
        let output = '';
        child.stdout?.on('data', (part: Buffer) => (output += part.toString()));
        const ended = new Promise((resolve) => child.once('close', resolve));
        await waitUntil(
          () => output.includes('waiting') || child.exitCode !== null,
          120_000,
          'each reader has an answer',
        );
        await settled(() => memoryOf('a') + memoryOf('b'));
        child.stdin?.end('\n');
        await ended;
        return output.slice(output.indexOf('{'));
      });
      assert.deepEqual(JSON.parse(result), { whole: readers, errors: {} }, mesh.troubles());
      const most = readers * mostPerReader + mostOfTunnels + slack;
      assert.ok(bytes < most, `an agent has grown by ${bytes} bytes`);
    });
  }
});

function anonymousMemory(pid: number): number {
  try {
    return 1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0; // it has ended
  }
}

/** Until it has not grown for a second. */
async function settled(measure: () => number): Promise<void> {
  let most = measure();
  let since = performance.now();
  const rests = (): boolean => {
    const now = measure();
    if (now > most * 1.01) {
      most = now;
      since = performance.now();
    }
    return performance.now() - since > 1000;
  };
  await waitUntil(rests, 60_000, 'nothing moves any more');
}
