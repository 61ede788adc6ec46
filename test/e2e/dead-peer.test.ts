import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { must } from '../lab/command.ts';
import { LabController } from '../lab/controller.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { echo, meshPlugin } from './helpers.ts';

const tool = new URL('../tools/wait_for_end.py', import.meta.url).pathname;
const port = 9000;
/** docs/wire.md promises 30 s; the kernel's timers are coarse. */
const patienceSeconds = 50;

interface End {
  readonly after: number;
  readonly error: string | null;
}

/** A connection that is there; `wait` begins to wait for its end. */
async function holdUntilItEnds(pod: LabPod, mode: 'busy' | 'idle', address: string): Promise<{ wait(): Promise<End> }> {
  const child = pod.spawn(['/usr/bin/python3', tool, mode, address, String(port), String(patienceSeconds)]);
  let output = '';
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const connected = new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.startsWith('connected')) resolve();
    });
  });
  await Promise.race([connected, closed]);
  assert.match(output, /^connected/, `${mode}: no connection`);
  return {
    async wait() {
      child.stdin?.end('\n');
      await closed;
      return JSON.parse(output.slice(output.indexOf('{'))) as End;
    },
  };
}

describe('a node that loses its power', () => {
  let lab: Lab;
  let controller: LabController;
  const agents = new Map<string, LabAgent>();

  before(async () => {
    const namespaces = [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }];
    lab = await Lab.up({ nodes: ['a', 'b', 'c'], meshPlugin, unmeshedNodes: ['c'], namespaces });
    controller = await LabController.start(lab.node('c'));
    for (const node of [lab.node('a'), lab.node('b')])
      agents.set(node.name, await LabAgent.start(node, { flags: controller.flagsFor(node) }));
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  async function addPod(node: string, name: string): Promise<LabPod> {
    const pod = await lab.node(node).addPod({ name, namespace: 'shop', serviceAccount: name });
    await agents.get(node)?.enrolled(name);
    return pod;
  }

  test('its peers’ connections are reset, whether they wait for an answer or say nothing', async () => {
    const db = await addPod('b', 'db');
    await echo(db, port);
    const busy = await holdUntilItEnds(await addPod('a', 'busy'), 'busy', db.ipv4);
    const idle = await holdUntilItEnds(await addPod('a', 'idle'), 'idle', db.ipv4);
    must('ip', '-n', lab.node('b').netns, 'link', 'set', 'eth0', 'down');
    const ends = await Promise.all([busy.wait(), idle.wait()]);
    for (const end of ends) {
      assert.equal(end.error, 'ECONNRESET', JSON.stringify(ends));
      assert.ok(end.after > 15, 'a short disturbance ends no connection');
    }
  });
});
