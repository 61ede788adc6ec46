import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

const binary = process.env['WEFT_CNI_PLUGIN'] ?? new URL('../../build/weft-cni', import.meta.url).pathname;
const killAfterMs = 10_000;

export interface CniErrorAnswer {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
  /** What stdout says, which must be JSON then. */
  readonly error: CniErrorAnswer;
}

export type Variables = Readonly<Record<string, string | undefined>>;

/** Runs the plugin as a container runtime does; a variable that is undefined is not set. */
export async function runPlugin(variables: Variables, stdin: string | Uint8Array): Promise<Outcome> {
  const begun = performance.now();
  const child = spawn(binary, [], { env: variables, timeout: killAfterMs, killSignal: 'SIGKILL' });
  const output = [child.stdout, child.stderr].map(async (stream) => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  });
  child.stdin.on('error', () => undefined); // it need not read all of it
  child.stdin.end(stdin);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  });
  const tookMs = performance.now() - begun;
  const [stdout = '', stderr = ''] = await Promise.all(output);
  return {
    status,
    stdout,
    stderr,
    tookMs,
    get error() {
      return JSON.parse(stdout) as CniErrorAnswer;
    },
  };
}

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

export const verbs: readonly Verb[] = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'];

export const versions = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export const prevResult = {
  cniVersion: '1.1.0',
  interfaces: [{ name: 'veth1' }, { name: 'eth0', sandbox: '/run/netns/one' }],
  ips: [{ address: '10.0.0.7/24', gateway: '10.0.0.1', interface: 1 }],
  dns: {},
};

/** A folder of its own for each test, and calls whose configuration names the files in it. */
export class Runtime {
  readonly folder = mkdtempSync(join(tmpdir(), 'weft-cni-'));
  readonly socket = join(this.folder, 'cni.sock');
  readonly namespacesFile = join(this.folder, 'namespaces.json');

  constructor(t: TestContext) {
    t.after(() => {
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  variables(verb: Verb, podNamespace = 'shop'): Variables {
    return {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: 'abc_1.2-3',
      CNI_NETNS: '/run/netns/one',
      CNI_IFNAME: 'eth0',
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${podNamespace};K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u1`,
      CNI_PATH: '/opt/cni/bin',
    };
  }

  /** A value that is undefined takes the key out. */
  config(overrides: Readonly<Record<string, unknown>> = {}): string {
    const { socket, namespacesFile } = this;
    const base = { cniVersion: '1.1.0', name: 'k8s-pod-network', type: 'weft-cni', prevResult, socket, namespacesFile };
    return JSON.stringify({ ...base, 'cni.dev/valid-attachments': [], ...overrides });
  }

  call(verb: Verb, overrides: Readonly<Record<string, unknown>> = {}, podNamespace?: string): Promise<Outcome> {
    return runPlugin(this.variables(verb, podNamespace), this.config(overrides));
  }
}
