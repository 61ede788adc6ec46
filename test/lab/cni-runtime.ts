import { run } from './command.ts';

export interface CniPluginConfig {
  readonly type: string;
  readonly [key: string]: unknown;
}

export interface CniNetwork {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly CniPluginConfig[];
}

export interface CniContainer {
  readonly containerId: string;
  readonly netns: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly podUid: string;
}

export interface CniResult {
  readonly ips: readonly { readonly address: string }[];
}

/** What a plugin answered instead of a result. */
export class CniFailure extends Error {
  readonly code: number;
  /** How long the plugin took to say so. */
  readonly durationMs: number;

  constructor(plugin: string, code: number, message: string, durationMs: number) {
    super(`${plugin}: CNI error ${code}: ${message}`);
    this.code = code;
    this.durationMs = durationMs;
  }
}

/** Calls a chain of CNI plugins as a container runtime does (CNI specification, section 3), inside a node's network namespace. */
export class CniRuntime {
  readonly #network: CniNetwork;
  readonly #nodeNetns: string;
  readonly #pluginPath: string;

  constructor(network: CniNetwork, nodeNetns: string, pluginPath: string) {
    this.#network = network;
    this.#nodeNetns = nodeNetns;
    this.#pluginPath = pluginPath;
  }

  /** @throws CniFailure after having deleted what was made. */
  async add(container: CniContainer): Promise<CniResult> {
    let result: unknown;
    try {
      for (const plugin of this.#network.plugins)
        result = JSON.parse(await this.#call('ADD', plugin, container, result));
    } catch (error) {
      await this.del(container, result).catch(() => undefined);
      throw error;
    }
    return result as CniResult;
  }

  async del(container: CniContainer, result?: unknown): Promise<void> {
    for (const plugin of this.#network.plugins.toReversed()) await this.#call('DEL', plugin, container, result);
  }

  async #call(command: string, plugin: CniPluginConfig, container: CniContainer, prevResult: unknown): Promise<string> {
    const { name, cniVersion } = this.#network;
    const args = {
      K8S_POD_NAMESPACE: container.podNamespace,
      K8S_POD_NAME: container.podName,
      K8S_POD_INFRA_CONTAINER_ID: container.containerId,
      K8S_POD_UID: container.podUid,
    };
    const binary = plugin.type.includes('/') ? plugin.type : `${this.#pluginPath}/${plugin.type}`;
    const begin = performance.now();
    const { code, stdout, stderr } = await run(['nsenter', `--net=/run/netns/${this.#nodeNetns}`, '--', binary], {
      input: JSON.stringify({ ...plugin, name, cniVersion, prevResult }),
      env: {
        PATH: process.env['PATH'],
        CNI_COMMAND: command,
        CNI_CONTAINERID: container.containerId,
        CNI_NETNS: container.netns,
        CNI_IFNAME: 'eth0',
        CNI_PATH: this.#pluginPath,
        CNI_ARGS: ['IgnoreUnknown=1', ...Object.entries(args).map(([key, value]) => `${key}=${value}`)].join(';'),
      },
    });
    if (code === 0) return stdout;
    const failure = parseFailure(stdout);
    throw new CniFailure(
      plugin.type,
      failure?.code ?? -1,
      failure?.msg ?? `${stdout}${stderr}`,
      performance.now() - begin,
    );
  }
}

function parseFailure(text: string): { code: number; msg: string } | undefined {
  try {
    return JSON.parse(text) as { code: number; msg: string };
  } catch {
    return undefined;
  }
}
