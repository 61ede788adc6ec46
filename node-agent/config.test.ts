import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';

import { parseNetwork } from '../mesh/address.ts';
import { UsageError, findCgroup2, parseConfig, usage } from './config.ts';

const needed = ['--manifests', '/m', '--cgroup', '/c', '--agent-cgroup', '/c/agent'];

function refuses(args: readonly string[], environment: Record<string, string>, message: RegExp): void {
  assert.throws(
    () => parseConfig(args, environment),
    (error) => error instanceof UsageError && error.code === 'WEFT-E109' && message.test(error.message),
    String(message),
  );
}

test('defaults', () => {
  const config = parseConfig(needed, {});
  assert.deepEqual(config, {
    nodeName: hostname(),
    ownNamespace: 'weft-system',
    objects: { manifests: '/m' },
    controllerCa: undefined,
    tokenFile: undefined,
    trustDomain: 'cluster.local',
    clusterNetworks: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map(parseNetwork),
    admin: { host: '127.0.0.1', port: 4191 },
    metrics: undefined,
    leafLifeMs: 86_400_000,
    runDir: '/run/weft',
    stateDir: '/var/lib/weft',
    pinDir: '/sys/fs/bpf/weft',
    netnsDir: '/run/netns',
    cgroup: '/c',
    agentCgroup: '/c/agent',
    kubeletCgroup: undefined,
    workers: config.workers,
    workerUid: 2102,
    cni: undefined,
    proofTimeoutMs: 2000,
    stopTimeoutMs: 25_000,
    logLevel: 'info',
    relay: {
      outboundConnectTimeoutMs: 1000,
      peerConnectTimeoutMs: 10_000,
      inboundConnectTimeoutMs: 300,
      idleTimeoutMs: 0,
      drainTimeoutMs: 0,
      pipes: 32,
      pipeBytes: 1024 * 1024,
      logConnections: false,
      identitySuffix: '.serviceaccount.identity.weft-system.cluster.local',
      sameNodeMtls: false,
    },
  });
  assert.ok(config.workers >= 2);
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.relay));
});

test('a flag beats its environment variable, which beats the default', () => {
  const environment = {
    WEFT_WORKERS: '3',
    WEFT_IDLE_TIMEOUT: '10s',
    WEFT_LOG_CONNECTIONS: 'true',
    WEFT_MANIFESTS: '/other',
  };
  const config = parseConfig([...needed, '--workers', '5'], environment);
  assert.equal(config.workers, 5);
  assert.deepEqual(config.objects, { manifests: '/m' });
  assert.equal(config.relay.idleTimeoutMs, 10_000);
  assert.equal(config.relay.logConnections, true);
  assert.equal(parseConfig([...needed, '--log-connections'], {}).relay.logConnections, true);
});

test('with a controller there are no manifests', () => {
  const args = ['--controller', 'https://c:8086', '--cgroup', '/c', '--agent-cgroup', '/c/agent'];
  assert.deepEqual(parseConfig(args, {}).objects, { controller: 'https://c:8086' });
});

test('metrics are served to others only where an API server can say who they are', () => {
  const args = ['--controller', 'https://c:8086', '--cgroup', '/c', '--agent-cgroup', '/c/agent'];
  assert.deepEqual(parseConfig([...args, '--metrics', '[::]:4192'], {}).metrics, { host: '::', port: 4192 });
  assert.equal(parseConfig(args, {}).metrics, undefined);
  refuses([...args, '--metrics', '4192'], {}, /^--metrics: "4192" is not HOST:PORT$/);
  refuses([...needed, '--metrics', '[::]:4192'], {}, /^--metrics needs --controller: without an API server/);
});

test('the CNI plugin is installed where a folder of networks is named', () => {
  assert.deepEqual(parseConfig([...needed, '--cni-conf-dir', '/host/net.d'], {}).cni, {
    confDir: '/host/net.d',
    binDir: '/opt/cni/bin',
  });
  assert.deepEqual(parseConfig(needed, { WEFT_CNI_CONF_DIR: '/a', WEFT_CNI_BIN_DIR: '/b' }).cni, {
    confDir: '/a',
    binDir: '/b',
  });
  refuses([...needed, '--cni-bin-dir='], {}, /^--cni-bin-dir: it is empty$/);
});

test('what is wrong is named', () => {
  refuses([], {}, /^give either --controller, or --manifests for a controller inside$/);
  refuses([...needed, '--controller', 'https://c:8086'], {}, /^give either --controller, or --manifests/);
  refuses(needed, { WEFT_CONTROLLER: 'https://c:8086' }, /^give either --controller, or --manifests/);
  refuses([...needed, '--wrokers', '3'], {}, /--wrokers/);
  refuses([...needed, 'stray'], {}, /stray/);
  refuses([...needed, '--workers'], {}, /--workers/);
  refuses([...needed, '--workers', '0'], {}, /^--workers: "0" is not a whole number from 1 to 64$/);
  refuses(needed, { WEFT_WORKERS: 'many' }, /^WEFT_WORKERS: "many" is not a whole number/);
  refuses([...needed, '--worker-uid', '0'], {}, /^--worker-uid: "0"/);
  refuses([...needed, '--connect-timeout', '10'], {}, /^--connect-timeout: "10" is not a duration/);
  refuses([...needed, '--log-level', 'loud'], {}, /^--log-level: "loud" is none of debug, info, warn, error$/);
  refuses([...needed, '--run-dir='], {}, /^--run-dir: it is empty$/);
  refuses(needed, { WEFT_RUN_DIR: 'run/weft' }, /^WEFT_RUN_DIR: "run\/weft" is not an absolute path$/);
  refuses([...needed, '--state-dir', './state'], {}, /^--state-dir: ".\/state" is not an absolute path$/);
  refuses([...needed, '--proof-timeout', '0'], {}, /^--proof-timeout: "0" leaves no time$/);
  refuses(needed, { WEFT_LOG_CONNECTIONS: 'yes' }, /^WEFT_LOG_CONNECTIONS: "yes" is none of true, false$/);
});

test('the help names every flag and its default', () => {
  const help = usage();
  for (const text of [
    '--manifests DIR',
    '--worker-uid UID',
    '(default 2102)',
    '--connect-timeout TIME',
    '(default 1s)',
    "(default the host's name)",
  ]) {
    assert.ok(help.includes(text), text);
  }
});

test('the cgroup v2 tree is found also on hosts that have both', () => {
  const hybrid =
    'tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n';
  assert.equal(findCgroup2(hybrid), '/sys/fs/cgroup/unified');
  assert.equal(findCgroup2('cgroup2 /a\\040b cgroup2 rw 0 0\n'), '/a b');
  assert.throws(() => findCgroup2('cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n'), UsageError);
});
