/** What `make image` has built: run as a container runtime does. Usage: node --test deploy/image/image.e2e.ts */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { weftImageName } from '../../test/cluster/weft-image.ts';
import { run } from '../../test/lab/command.ts';

const image = process.env['WEFT_IMAGE'] ?? weftImageName();
const maximumBytes = 150_000_000;

const hybridCgroup2 = '/sys/fs/cgroup/unified';

/** crun takes no cgroup v2 tree beside v1 if it has controllers, so it does not see that it has. */
function podman(...args: string[]): ReturnType<typeof run> {
  const hide = `if [ -d ${hybridCgroup2} ]; then mount --make-private ${hybridCgroup2} && mount --bind /dev/null ${hybridCgroup2}/cgroup.controllers || exit; fi; exec podman "$@"`;
  return run(['unshare', '--mount', '--propagation=unchanged', 'sh', '-c', hide, 'sh', ...args], { timeoutMs: 60_000 });
}

test('the image is small', async () => {
  const { stdout, stderr } = await podman('image', 'inspect', '--format', '{{.Size}}', image);
  assert.ok(Number(stdout) > 0 && Number(stdout) < maximumBytes, stdout + stderr);
});

test('its programs run without privileges, network and a root that can be written to', async () => {
  const box = [
    'run',
    '--rm',
    '--read-only',
    '--network=none',
    '--cap-drop=all',
    '--cgroups=disabled',
    '--runtime=crun',
  ];
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']; // podman's defaults may be above ours
  for (const program of ['weft-agent', 'weft-controller']) {
    for (const [flag, said] of [
      ['--version', new RegExp(`^${program} \\d`)],
      ['--help', /^Usage: /],
    ] as const) {
      const { stdout, stderr } = await podman(
        ...box,
        ...limits,
        '--entrypoint',
        `/opt/weft/bin/${program}`,
        image,
        flag,
      );
      assert.match(stdout, said, stderr);
    }
  }
});
