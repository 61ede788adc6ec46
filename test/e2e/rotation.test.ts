import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { IssuerTexts } from '../../control-plane/identity/issuer.ts';
import { createAuthority } from '../../control-plane/identity/new-authority.ts';
import type { AgentLine } from '../lab/agent.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, echo, hold, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const connectionsPerSecond = 200;

describe('rotation of certificates', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let server: LabPod;

  async function start(controllerFlags: readonly string[]): Promise<void> {
    mesh = await LabMesh.up({ controllerFlags, agentFlags: ['--log-level', 'debug'] });
    client = await mesh.addMeshed('a', 'client', 'web');
    server = await mesh.addMeshed('b', 'server', 'api');
    await echo(server, 9000);
  }

  /** New connections all the time and some that stay, from before `change` until after it: none may fail. */
  async function underLoad(seconds: number, change: () => Promise<void>): Promise<void> {
    const held = await hold(client, server.ipv4, 9000, 50);
    const load = churn(client, server.ipv4, 9000, connectionsPerSecond * seconds, 64, connectionsPerSecond);
    const ended = load.then(() => true);
    await change();
    const still = await Promise.race([ended, Promise.resolve(false)]);
    assert.equal(still, false, 'the load lasts longer than what it is to bear');
    const { succeeded, errors } = await load;
    assert.deepEqual({ succeeded, errors }, { succeeded: connectionsPerSecond * seconds, errors: {} }, mesh.troubles());
    assert.deepEqual((await held.finish()).errors, {});
  }

  function certificates(node: string): AgentLine[] {
    return mesh.agent(node).lines.filter(({ msg }) => msg === 'certificate in force');
  }

  describe('certificates that are renewed every second', () => {
    before(() => start(['--leaf-life', '1s']));
    after(async () => {
      assert.deepEqual(await mesh.lab.down(), []);
    });

    test('50 rotations at each end: no connection fails', async () => {
      await underLoad(60, async () => {
        const [first, second] = [certificates('a').length, certificates('b').length];
        const rotated = (): boolean =>
          certificates('a').length >= first + 50 && certificates('b').length >= second + 50;
        await waitUntil(rotated, 59_000, '50 rotations');
      });
      const tunnels = mesh.agent('b').lines.filter((line) => line['reason'] === 'tunnel').length;
      assert.ok(tunnels >= 50, `only ${tunnels} handshakes`);
    });
  });

  describe('another issuer and another anchor', () => {
    before(() => start([]));
    after(async () => {
      assert.deepEqual(await mesh.lab.down(), []);
    });

    /** Nothing is restarted; each step is waited for, as an operator would. */
    test('the bundle gets a second anchor, the issuer is replaced, the first anchor goes: no connection fails', async () => {
      const old = mesh.controller.anchors();
      const next = createAuthority();
      const bundles = (node: string): AgentLine[] => mesh.agent(node).lines.filter(({ msg }) => msg === 'trust bundle');
      const everywhere = (holds: (node: string) => boolean): boolean => ['a', 'b'].every(holds);
      await underLoad(35, async () => {
        replace({ anchors: old + next.anchors });
        await waitUntil(
          () => everywhere((node) => anchorsOf(bundles(node).at(-1)) === 2),
          10_000,
          'the agents trust both anchors',
        );

        const issuer = bundles('a').at(-1)?.['issuer'];
        const known = new Map(['a', 'b'].map((node) => [node, certificates(node).length]));
        replace({ ...next, anchors: old + next.anchors });
        await waitUntil(
          () => everywhere((node) => certificates(node).length > (known.get(node) ?? 0)),
          20_000,
          'the leaves are renewed',
        );
        assert.notEqual(bundles('a').at(-1)?.['issuer'], issuer);

        replace({ anchors: next.anchors });
        await waitUntil(
          () => everywhere((node) => anchorsOf(bundles(node).at(-1)) === 1),
          10_000,
          'the agents trust the new anchor alone',
        );
      });
      const dial = ['openssl', 's_client', '-connect', `${server.ipv4}:9000`, '-servername', serverName];
      const shown = await mesh.lab.node('c').run([...dial, '-alpn', 'weft/1', '-showcerts']);
      assert.ok(shown.stdout.includes(next.certificates.trim()), shown.stdout);
    });

    test('agents that connect anew verify the controller by the new anchor', async () => {
      await mesh.controller.kill();
      await mesh.startController();
      const connectedAgain = (node: string): boolean => bundlesOf(node) >= 4;
      await waitUntil(() => ['a', 'b'].every(connectedAgain), 20_000, 'the agents are connected');
    });

    function bundlesOf(node: string): number {
      return mesh.agent(node).lines.filter(({ msg }) => msg === 'trust bundle').length;
    }

    function replace(texts: IssuerTexts | Pick<IssuerTexts, 'anchors'>): void {
      const folder = join(mesh.controller.stateDir, 'issuer');
      if ('key' in texts) {
        writeFileSync(join(folder, 'tls.crt'), texts.certificates);
        writeFileSync(join(folder, 'tls.key'), texts.key);
      }
      writeFileSync(join(folder, 'ca.crt'), texts.anchors);
    }
  });
});

const serverName = 'api.shop.serviceaccount.identity.weft-system.cluster.local';

function anchorsOf(line: AgentLine | undefined): number {
  const anchors = line?.['anchors'];
  return Array.isArray(anchors) ? anchors.length : 0;
}
