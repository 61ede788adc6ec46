import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { parseArgs } from 'node:util';

/** How the workers carry connections. Times in milliseconds; 0 means none. */
export interface RelayConfig {
  readonly outboundConnectTimeoutMs: number;
  readonly inboundConnectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly pipes: number;
  readonly pipeBytes: number;
  readonly logConnections: boolean;
}

export interface AgentConfig {
  readonly nodeName: string;
  readonly ownNamespace: string;
  readonly manifests: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly pinDir: string;
  readonly netnsDir: string;
  /** Folder of the cgroup v2 tree at or below which all pods run. */
  readonly cgroup: string;
  /** Folder for the agent's own processes. */
  readonly agentCgroup: string;
  readonly kubeletCgroup: string | undefined;
  readonly workers: number;
  readonly workerUid: number;
  readonly proofTimeoutMs: number;
  readonly logLevel: string;
  readonly relay: RelayConfig;
}

export class UsageError extends Error {}

interface Flag {
  readonly value: string;
  readonly fallback: string | (() => string);
  readonly help: string;
}

const flags = {
  manifests: { value: 'DIR', fallback: '', help: 'folder of Kubernetes objects as YAML (required)' },
  'node-name': { value: 'NAME', fallback: hostname, help: 'spec.nodeName of the pods of this node' },
  'own-namespace': { value: 'NAME', fallback: 'weft-system', help: "the mesh's own namespace, which is never captured" },
  'run-dir': { value: 'DIR', fallback: '/run/weft', help: 'sockets and state that end with the boot' },
  'state-dir': { value: 'DIR', fallback: '/var/lib/weft', help: 'state that survives a reboot' },
  'pin-dir': { value: 'DIR', fallback: '/sys/fs/bpf/weft', help: 'where programs and maps are pinned' },
  'netns-dir': { value: 'DIR', fallback: '/run/netns', help: "where the container runtime keeps pods' network namespaces" },
  cgroup: { value: 'DIR', fallback: findCgroup2, help: 'cgroup v2 folder at or below which all pods run' },
  'agent-cgroup': { value: 'DIR', fallback: () => `${findCgroup2()}/weft-agent`, help: "cgroup v2 folder of the agent's own" },
  'kubelet-cgroup': { value: 'DIR', fallback: '', help: 'cgroup v2 folder of the kubelet, whose connections are probes' },
  workers: { value: 'N', fallback: () => String(Math.max(2, Math.ceil(availableParallelism() / 4))), help: 'worker processes' },
  'worker-uid': { value: 'UID', fallback: '2102', help: 'user and group of the workers' },
  pipes: { value: 'N', fallback: '32', help: 'pipes of one worker that may hold bytes in flight' },
  'pipe-bytes': { value: 'N', fallback: '1048576', help: 'size of one pipe' },
  'connect-timeout': { value: 'TIME', fallback: '1s', help: 'for connections out of a pod' },
  'app-connect-timeout': { value: 'TIME', fallback: '300ms', help: 'for connections to the app of a pod' },
  'idle-timeout': { value: 'TIME', fallback: '0s', help: 'ends a connection on which nothing moves; 0s never does' },
  'drain-timeout': { value: 'TIME', fallback: '0s', help: 'how long a replaced worker may finish its connections; 0s as long as they last' },
  'proof-timeout': { value: 'TIME', fallback: '2s', help: 'for the connections that prove an enrolment' },
  'log-level': { value: 'LEVEL', fallback: 'info', help: 'debug, info, warn or error' },
} as const satisfies Record<string, Flag>;

type FlagName = keyof typeof flags;

/** @throws UsageError that names the flag. */
export function parseConfig(args: readonly string[]): AgentConfig {
  const values = readFlags(args);
  const text = (name: FlagName): string => values[name] ?? fallbackOf(name);
  const manifests = text('manifests');
  if (manifests === '') throw new UsageError('--manifests is required');
  if (!['debug', 'info', 'warn', 'error'].includes(text('log-level'))) throw bad('log-level', text('log-level'), 'a level');
  return Object.freeze({
    nodeName: text('node-name'),
    ownNamespace: text('own-namespace'),
    manifests,
    runDir: text('run-dir'),
    stateDir: text('state-dir'),
    pinDir: text('pin-dir'),
    netnsDir: text('netns-dir'),
    cgroup: text('cgroup'),
    agentCgroup: text('agent-cgroup'),
    kubeletCgroup: text('kubelet-cgroup') === '' ? undefined : text('kubelet-cgroup'),
    workers: integer('workers', text('workers'), 1, 64),
    workerUid: integer('worker-uid', text('worker-uid'), 1, 65535),
    proofTimeoutMs: duration('proof-timeout', text('proof-timeout')),
    logLevel: text('log-level'),
    relay: Object.freeze({
      outboundConnectTimeoutMs: duration('connect-timeout', text('connect-timeout')),
      inboundConnectTimeoutMs: duration('app-connect-timeout', text('app-connect-timeout')),
      idleTimeoutMs: duration('idle-timeout', text('idle-timeout')),
      drainTimeoutMs: duration('drain-timeout', text('drain-timeout')),
      pipes: integer('pipes', text('pipes'), 1, 4096),
      pipeBytes: integer('pipe-bytes', text('pipe-bytes'), 4096, 1 << 26),
      logConnections: values['log-connections'] === 'true',
    }),
  });
}

export function usage(): string {
  const names = Object.keys(flags) as FlagName[];
  const lines = names.map((name) => {
    const fallback = name === 'manifests' ? '' : fallbackOf(name);
    return `  ${`--${name} ${flags[name].value}`.padEnd(30)}${flags[name].help}${fallback === '' ? '' : ` (default ${fallback})`}`;
  });
  return ['Usage: weft-agent --manifests DIR [flags]', '', ...lines, `  ${'--log-connections'.padEnd(30)}log every connection that ends`, ''].join('\n');
}

function readFlags(args: readonly string[]): Partial<Record<FlagName | 'log-connections', string>> {
  const options: Record<string, { type: 'string' | 'boolean' }> = { 'log-connections': { type: 'boolean' } };
  for (const name of Object.keys(flags)) options[name] = { type: 'string' };
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function fallbackOf(name: FlagName): string {
  const { fallback } = flags[name];
  return typeof fallback === 'string' ? fallback : fallback();
}

function integer(name: FlagName, value: string, minimum: number, maximum: number): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < minimum || number > maximum) throw bad(name, value, `a whole number from ${minimum} to ${maximum}`);
  return number;
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function duration(name: FlagName, value: string): number {
  const match = /^(\d+)(ms|s|m|h)$/.exec(value);
  const milliseconds = Number(match?.[1]) * (units[match?.[2] ?? ''] ?? NaN);
  if (!Number.isSafeInteger(milliseconds) || milliseconds > 0x7fffffff) throw bad(name, value, 'a time such as 500ms, 10s or 2m');
  return milliseconds;
}

function bad(name: FlagName, value: string, expected: string): UsageError {
  return new UsageError(`--${name} is "${value}", which is not ${expected}`);
}

function findCgroup2(): string {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((mount) => mount.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1] ?? '/sys/fs/cgroup';
}
