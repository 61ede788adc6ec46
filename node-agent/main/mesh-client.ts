import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { WeftError } from '../../mesh/errors.ts';
import type { AgentConfig } from '../config.ts';
import type { AgentStatus } from '../metrics/agent-status.ts';
import type { MessageToWorker } from '../worker/messages.ts';
import { IdentityClient, createControllerTransport } from './directory/controller.ts';
import { DirectoryClient } from './directory/directory-client.ts';
import type { ControllerAccess } from './embedded-controller.ts';
import type { EnrolledPods } from './enrolled-pods.ts';
import { NodeIdentities } from './identity/node-identities.ts';
import type { Credentials } from './identity/credentials.ts';
import { MeshLink } from './mesh-link.ts';

export interface MeshClientOptions {
  readonly config: AgentConfig;
  readonly access: ControllerAccess;
  readonly pods: EnrolledPods;
  readonly tellWorkers: (message: MessageToWorker) => void;
  readonly onProblem: (problem: WeftError) => void;
}

const ticketKeyBytes = 80;
const ticketKeyLifeMs = 6 * 3_600_000;

/** What this node knows of the mesh, and how it proves to be part of it: the directory's client, certificates, ticket keys. */
export class MeshClient {
  readonly link: MeshLink;
  readonly #directory: DirectoryClient;
  readonly #identities: NodeIdentities;
  readonly #tellWorkers: (message: MessageToWorker) => void;
  #ticketKeys: Uint8Array[] = [randomBytes(ticketKeyBytes)];
  #running: Promise<void> | undefined;

  private constructor(options: MeshClientOptions, ca: string | undefined) {
    const { config, access, pods, tellWorkers, onProblem } = options;
    const serverName = `weft-controller.${config.ownNamespace}${config.relay.identitySuffix}`;
    const transport = createControllerTransport({
      url: access.url,
      ...(ca !== undefined && { tls: { ca, serverName } }),
    });
    const identityClient = new IdentityClient(transport);
    this.#tellWorkers = tellWorkers;
    this.#identities = new NodeIdentities({
      certifier: { certify: async (csr, signal) => identityClient.certify(await access.token(), csr, signal) },
      onCredentials: (credentials) => {
        tellWorkers(credentialsMessage(credentials));
      },
      onError: onProblem,
    });
    this.#directory = new DirectoryClient({
      node: config.nodeName,
      transport,
      token: access.token,
      cachePath: join(config.stateDir, 'directory.cache'),
      onWorkloads: (workloads) => {
        this.link.learnWorkloads(workloads);
      },
      onDestination: (address, port, destination) => {
        this.link.learn(address, port, destination);
      },
      onForgotten: (address, port) => {
        this.link.forget(address, port);
      },
      onProblem,
    });
    this.link = new MeshLink({
      nodeName: config.nodeName,
      pods,
      directory: this.#directory,
      wantIdentities: (identities) => {
        this.#identities.want(identities);
      },
      tellWorkers,
    });
  }

  /** Knows what it knew when it ran last. */
  static async create(options: MeshClientOptions): Promise<MeshClient> {
    const { controllerCa } = options.config;
    const client = new MeshClient(
      options,
      controllerCa === undefined ? undefined : await readFile(controllerCa, 'utf8'),
    );
    await client.#directory.restore();
    return client;
  }

  /** Pods that are captured already must be `joined` before, or the directory would call them unmeshed. */
  start(signal: AbortSignal): void {
    this.#running = this.#directory.run(signal);
    const rotation = setInterval(() => {
      this.#ticketKeys = [randomBytes(ticketKeyBytes), ...this.#ticketKeys.slice(0, 1)];
      this.#tellWorkers({ type: 'ticket-keys', keys: this.#ticketKeys });
    }, ticketKeyLifeMs);
    signal.addEventListener('abort', () => {
      clearInterval(rotation);
    });
  }

  /** Resolves once what is known is on disk. */
  async ended(): Promise<void> {
    await this.#running;
    await this.#identities.close();
  }

  get status(): Pick<AgentStatus, 'isDirectoryConnected' | 'knowsMesh' | 'identities'> {
    const { isConnected, knowsMesh } = this.#directory;
    return { isDirectoryConnected: isConnected, knowsMesh, identities: this.#identities.status };
  }

  /** What a worker has to be told before anything else. */
  greetings(): MessageToWorker[] {
    return [
      { type: 'ticket-keys', keys: this.#ticketKeys },
      ...this.#identities.credentials.map(credentialsMessage),
      ...this.link.greetings(),
    ];
  }
}

function credentialsMessage(credentials: Credentials): MessageToWorker {
  const { identity, certificates, privateKey, trustAnchors } = credentials;
  return { type: 'credentials', identity, certificates, privateKey, trustAnchors };
}
