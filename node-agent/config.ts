import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { isAbsolute } from 'node:path';
import { parseArgs } from 'node:util';

import type { Network } from '../mesh/address.ts';
import { parseNetwork } from '../mesh/address.ts';
import { parseDuration } from '../mesh/duration.ts';
import { WeftError } from '../mesh/errors.ts';
import { identitySuffix } from '../mesh/identity-name.ts';
import type { ListenAddress } from '../mesh/listen-address.ts';
import { parseListenAddress } from '../mesh/listen-address.ts';
import { messageOf } from '../mesh/message-of.ts';

/** How the workers carry connections. Times in milliseconds; 0 means none. */
export interface RelayConfig {
  readonly outboundConnectTimeoutMs: number;
  /** To another agent, which may be about to be replaced. */
  readonly peerConnectTimeoutMs: number;
  readonly inboundConnectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly pipes: number;
  readonly pipeBytes: number;
  readonly logConnections: boolean;
  readonly identitySuffix: string;
  readonly sameNodeMtls: boolean;
}

export interface AgentConfig {
  readonly nodeName: string;
  readonly ownNamespace: string;
  /** Where what the mesh knows of Kubernetes comes from: a controller, or one in this process, which reads it from a folder. */
  readonly objects: { readonly controller: string } | { readonly manifests: string };
  readonly controllerCa: string | undefined;
  readonly tokenFile: string | undefined;
  readonly trustDomain: string;
  readonly clusterNetworks: readonly Network[];
  readonly leafLifeMs: number;
  readonly admin: ListenAddress;
  /** Where readers from elsewhere get metrics, who are asked for a token; absent where they do not. */
  readonly metrics: ListenAddress | undefined;
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
  /** Where the CNI plugin is put and chained in; absent where somebody else does that. */
  readonly cni: { readonly confDir: string; readonly binDir: string } | undefined;
  readonly proofTimeoutMs: number;
  readonly stopTimeoutMs: number;
  readonly logLevel: string;
  readonly relay: RelayConfig;
}

/** WEFT-E109: a flag or its environment variable is wrong; the message names it. */
export class UsageError extends WeftError {
  constructor(message: string) {
    super('WEFT-E109', message);
  }
}

interface Flag {
  /** What stands for the value in the help; absent for a switch. */
  readonly value?: string;
  /** What counts where it is not given, or where that comes from. Empty: there is none. */
  readonly fallback: string | { readonly from: string; readonly read: () => string };
  readonly help: string;
}

const cgroup2 = {
  from: 'the cgroup2 mount in /proc/mounts',
  read: () => findCgroup2(readFileSync('/proc/mounts', 'utf8')),
};
const agentCgroup = { from: 'weft-agent in the cgroup2 mount', read: () => `${cgroup2.read()}/weft-agent` };
const hostName = { from: "the host's name", read: hostname };
const quarterOfCores = {
  from: 'a quarter of the cores, at least 2',
  read: () => String(Math.max(2, Math.ceil(availableParallelism() / 4))),
};

/** Each may also be given as an environment variable: --node-name as WEFT_NODE_NAME. The flag beats the variable. */
const flags = {
  manifests: {
    value: 'DIR',
    fallback: '',
    help: 'folder of Kubernetes objects as YAML; then the controller is inside',
  },
  'node-name': { value: 'NAME', fallback: hostName, help: 'spec.nodeName of the pods of this node' },
  'own-namespace': { value: 'NAME', fallback: 'weft-system', help: "the mesh's own, never captured" },
  controller: { value: 'URL', fallback: '', help: 'of weft-controller, which knows the objects' },
  'controller-ca': { value: 'FILE', fallback: '', help: 'trust anchors that the controller is verified by, PEM' },
  'token-file': { value: 'FILE', fallback: '', help: "the agent's token for the controller" },
  'trust-domain': { value: 'NAME', fallback: 'cluster.local', help: 'of the identities' },
  'cluster-networks': {
    value: 'CIDRS',
    fallback: '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7',
    help: 'where pods and services are; other addresses are dialled without asking',
  },
  'same-node': { value: 'HOW', fallback: 'fused', help: 'fused or mtls: between pods of this node' },
  'leaf-life': { value: 'TIME', fallback: '24h', help: 'of certificates, where the controller runs in this process' },
  'run-dir': { value: 'DIR', fallback: '/run/weft', help: 'sockets and state that end with the boot' },
  admin: {
    value: 'HOST:PORT',
    fallback: '127.0.0.1:4191',
    help: 'where /live, /ready and /metrics are served, to whoever asks',
  },
  metrics: {
    value: 'HOST:PORT',
    fallback: '',
    help: 'where /metrics is served by HTTPS, to who has a token that the API server lets get it; needs --controller',
  },
  'state-dir': { value: 'DIR', fallback: '/var/lib/weft', help: 'state that survives a reboot' },
  'pin-dir': { value: 'DIR', fallback: '/sys/fs/bpf/weft', help: 'where programs and maps are pinned' },
  'netns-dir': { value: 'DIR', fallback: '/run/netns', help: "where runtimes keep pods' network namespaces" },
  cgroup: { value: 'DIR', fallback: cgroup2, help: 'cgroup v2 folder at or below which all pods run' },
  'agent-cgroup': { value: 'DIR', fallback: agentCgroup, help: "cgroup v2 folder of the agent's own" },
  'kubelet-cgroup': { value: 'DIR', fallback: '', help: "the kubelet's cgroup v2 folder: it sends probes" },
  workers: { value: 'N', fallback: quarterOfCores, help: 'worker processes' },
  'worker-uid': { value: 'UID', fallback: '2102', help: 'user and group of the workers' },
  'cni-conf-dir': {
    value: 'DIR',
    fallback: '',
    help: "the runtime's network configurations; with it the agent keeps weft-cni chained in",
  },
  'cni-bin-dir': { value: 'DIR', fallback: '/opt/cni/bin', help: "the runtime's CNI plugins; weft-cni is put there" },
  pipes: { value: 'N', fallback: '32', help: 'pipes of one worker that may hold bytes in flight' },
  'pipe-bytes': { value: 'N', fallback: '1048576', help: 'size of one pipe' },
  'connect-timeout': { value: 'TIME', fallback: '1s', help: 'for connections out of a pod' },
  'peer-connect-timeout': { value: 'TIME', fallback: '10s', help: 'to another agent, which may be about to come back' },
  'app-connect-timeout': { value: 'TIME', fallback: '300ms', help: 'for connections to the app of a pod' },
  'idle-timeout': { value: 'TIME', fallback: '0', help: 'ends a connection on which nothing moves; 0 never does' },
  'drain-timeout': { value: 'TIME', fallback: '0', help: 'how long a leaving worker may finish; 0 without end' },
  'stop-timeout': { value: 'TIME', fallback: '25s', help: 'how long open connections hold up the end of an agent' },
  'proof-timeout': { value: 'TIME', fallback: '2s', help: 'for the connections that prove an enrolment' },
  'log-level': { value: 'LEVEL', fallback: 'info', help: 'debug, info, warn or error' },
  'log-connections': { fallback: 'false', help: 'log every connection that ends' },
} as const satisfies Record<string, Flag>;

type FlagName = keyof typeof flags;
const flagNames = Object.keys(flags) as FlagName[];

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws UsageError */
export function parseConfig(args: readonly string[], environment: Environment = process.env): AgentConfig {
  const given = readFlags(args);

  /** A value's text, read by `parse`, whose RangeError says what was expected. */
  const read = <Value>(name: FlagName, parse: (text: string) => Value): Value => {
    const variable = variableOf(name);
    const source = given[name] === undefined && environment[variable] !== undefined ? variable : `--${name}`;
    const text = given[name] ?? environment[variable] ?? fallbackOf(flags[name]);
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof RangeError) throw new UsageError(`${source}: ${error.message}`);
      throw error;
    }
  };

  const objects = objectsFrom(
    read('manifests', (text) => text),
    read('controller', (text) => text),
  );
  return Object.freeze({
    nodeName: read('node-name', nonEmpty),
    ownNamespace: read('own-namespace', nonEmpty),
    objects,
    controllerCa: read('controller-ca', (text) => (text === '' ? undefined : text)),
    tokenFile: read('token-file', (text) => (text === '' ? undefined : text)),
    trustDomain: read('trust-domain', nonEmpty),
    clusterNetworks: read('cluster-networks', (text) => text.split(',').map((part) => parseNetwork(part.trim()))),
    admin: read('admin', parseListenAddress),
    metrics: read('metrics', (text) => metricsFrom(text, objects)),
    leafLifeMs: read('leaf-life', parseDuration),
    runDir: read('run-dir', absolutePath),
    stateDir: read('state-dir', absolutePath),
    pinDir: read('pin-dir', nonEmpty),
    netnsDir: read('netns-dir', nonEmpty),
    cgroup: read('cgroup', nonEmpty),
    agentCgroup: read('agent-cgroup', nonEmpty),
    kubeletCgroup: read('kubelet-cgroup', (text) => (text === '' ? undefined : text)),
    workers: read('workers', integer(1, 64)), // WEFT_MAX_WORKERS of bpf/weft.h
    workerUid: read('worker-uid', integer(1, 2 ** 32 - 2)), // never root; the last one means "no change" to setuid
    cni: cniFrom(
      read('cni-conf-dir', (text) => text),
      read('cni-bin-dir', nonEmpty),
    ),
    proofTimeoutMs: read('proof-timeout', positiveDuration),
    stopTimeoutMs: read('stop-timeout', parseDuration),
    logLevel: read('log-level', oneOf('debug', 'info', 'warn', 'error')),
    relay: Object.freeze({
      outboundConnectTimeoutMs: read('connect-timeout', parseDuration),
      peerConnectTimeoutMs: read('peer-connect-timeout', parseDuration),
      inboundConnectTimeoutMs: read('app-connect-timeout', parseDuration),
      idleTimeoutMs: read('idle-timeout', parseDuration),
      drainTimeoutMs: read('drain-timeout', parseDuration),
      pipes: read('pipes', integer(1, 4096)),
      pipeBytes: read('pipe-bytes', integer(4096, 1 << 26)),
      identitySuffix: identitySuffix({
        controlPlaneNamespace: read('own-namespace', nonEmpty),
        trustDomain: read('trust-domain', nonEmpty),
      }),
      sameNodeMtls: read('same-node', oneOf('fused', 'mtls')) === 'mtls',
      logConnections: read('log-connections', oneOf('true', 'false')) === 'true',
    }),
  });
}

export function usage(): string {
  const lines = flagNames.map((name) => {
    const { value, fallback, help }: Flag = flags[name];
    const shown = typeof fallback === 'object' ? fallback.from : value === undefined ? '' : fallback;
    return `  ${`--${name} ${value ?? ''}`.padEnd(28)}${help}${shown === '' ? '' : ` (default ${shown})`}`;
  });
  const end =
    '--version says which it is. TIME is such as 500ms, 10s or 2m. Each flag may be an environment variable: --node-name is WEFT_NODE_NAME.';
  const uses = [
    'Usage: weft-agent --controller URL | --manifests DIR [flags]',
    '       weft-agent uninstall --controller URL | --manifests DIR [flags]',
    '',
    'uninstall takes everything of Weft from the node, says so, and waits to be ended; its flags are those of the agent.',
  ];
  return [...uses, '', ...lines, '', end, ''].join('\n');
}

/** @throws UsageError */
function objectsFrom(manifests: string, controller: string): AgentConfig['objects'] {
  if ((manifests === '') === (controller === '')) {
    throw new UsageError('give either --controller, or --manifests for a controller inside');
  }
  return controller === '' ? { manifests } : { controller };
}

/** @throws UsageError */
function metricsFrom(text: string, objects: AgentConfig['objects']): ListenAddress | undefined {
  if (text === '') return undefined;
  if ('manifests' in objects)
    throw new UsageError('--metrics needs --controller: without an API server nobody can say who may read them');
  return parseListenAddress(text);
}

function cniFrom(confDir: string, binDir: string): AgentConfig['cni'] {
  return confDir === '' ? undefined : { confDir, binDir };
}

/** Where the cgroup v2 tree is mounted. @throws UsageError */
export function findCgroup2(mounts: string): string {
  const [folder] = cgroup2Mounts(mounts);
  if (folder === undefined)
    throw new UsageError('--cgroup: no cgroup v2 tree is mounted; mount one, or name its folder');
  return folder;
}

/** @param mounts - /proc/mounts, which writes blanks in octal (fstab(5)) */
export function cgroup2Mounts(mounts: string): string[] {
  return mounts
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup2')
    .map(([, folder = '']) =>
      folder.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8))),
    );
}

function readFlags(args: readonly string[]): Partial<Record<FlagName, string>> {
  const options = Object.fromEntries(
    flagNames.map((name) => [name, { type: 'value' in flags[name] ? ('string' as const) : ('boolean' as const) }]),
  );
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

function variableOf(name: FlagName): string {
  return `WEFT_${name.toUpperCase().replaceAll('-', '_')}`;
}

function fallbackOf({ fallback }: Flag): string {
  return typeof fallback === 'object' ? fallback.read() : fallback;
}

function nonEmpty(text: string): string {
  if (text === '') throw new RangeError('it is empty');
  return text;
}

/** The container runtime starts weft-cni with it, in a folder of its own choice. */
function absolutePath(text: string): string {
  if (!isAbsolute(nonEmpty(text))) throw new RangeError(`"${text}" is not an absolute path`);
  return text;
}

function positiveDuration(text: string): number {
  const duration = parseDuration(text);
  if (duration === 0) throw new RangeError(`"${text}" leaves no time`);
  return duration;
}

function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (value >= minimum && value <= maximum) return value;
    throw new RangeError(`"${text}" is not a whole number from ${minimum} to ${maximum}`);
  };
}

function oneOf(...values: readonly string[]): (text: string) => string {
  return (text) => {
    if (values.includes(text)) return text;
    throw new RangeError(`"${text}" is none of ${values.join(', ')}`);
  };
}
