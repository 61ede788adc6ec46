import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { agentIdentity } from '../../mesh/agent-identity.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Trouble } from '../../mesh/trouble.ts';
import type { AgentConfig } from '../config.ts';
import type { AgentStatus } from '../metrics/agent-status.ts';
import type { Logger } from '../log.ts';
import type { MessageToWorker } from '../worker/messages.ts';
import { AccessClient } from './directory/access-client.ts';
import { IdentityClient, createControllerTransport } from './directory/controller.ts';
import { DirectoryClient } from './directory/directory-client.ts';
import type { ControllerAccess } from './controller-access.ts';
import type { EnrolledPods } from './enrolled-pods.ts';
import type { Certifier } from './identity/node-identities.ts';
import { NodeIdentities } from './identity/node-identities.ts';
import type { Credentials } from './identity/credentials.ts';
import { SavedLeaves } from './identity/saved-leaves.ts';
import { MeshLink } from './mesh-link.ts';
import { PodWishes } from './pod-wishes.ts';

export interface MeshClientOptions {
  readonly config: AgentConfig;
  readonly access: ControllerAccess;
  readonly pods: EnrolledPods;
  /** Namespaces, as an earlier agent knew them. */
  readonly lastOptedIn: readonly string[];
  /** By uid: what pods of this node suffer from now. */
  readonly troubles: () => ReadonlyMap<string, Trouble>;
  readonly tellWorkers: (message: MessageToWorker) => void;
  /** Told of each certificate of the agent itself, which workers have no part in; absent where it needs none. */
  readonly onOwnCredentials?: (credentials: Credentials) => void;
  readonly log: Pick<Logger, 'info' | 'debug'>;
  readonly onProblem: (problem: WeftError) => void;
}

const ticketKeyBytes = 80;
const saveMs = 200;
const ticketKeyLifeMs = 6 * 3_600_000;

/** What this node knows of the mesh, and how it proves to be part of it: the directory's client, certificates, ticket keys. */
export class MeshClient {
  readonly link: MeshLink;
  readonly wishes: PodWishes;
  /** Whether somebody may read metrics. */
  readonly reviewReader: AccessClient['reviewReader'];
  readonly #directory: DirectoryClient;
  readonly #identities: NodeIdentities;
  /** The agent's. */
  readonly #own: NodeIdentities | undefined;
  readonly #ownIdentity: string | undefined;
  readonly #tellWorkers: (message: MessageToWorker) => void;
  readonly #savedLeaves: SavedLeaves;
  readonly #onProblem: (problem: WeftError) => void;
  #saveTimer: NodeJS.Timeout | undefined;
  #ticketKeys: Uint8Array[] = [randomBytes(ticketKeyBytes)];
  #running: Promise<void> | undefined;

  private constructor(options: MeshClientOptions) {
    const { config, access, pods, tellWorkers, log, onProblem } = options;
    const serverName = `weft-controller.${config.ownNamespace}${config.relay.identitySuffix}`;
    const transport = createControllerTransport({
      url: access.url,
      ...(config.controllerCa !== undefined && { tls: { ca: readAnew(config.controllerCa), serverName } }),
    });
    const identityClient = new IdentityClient(transport);
    const certifier: Certifier = {
      certify: async (csr, signal) => identityClient.certify(await access.token(), csr, signal),
    };
    this.reviewReader = new AccessClient(transport, access.token).reviewReader;
    this.#tellWorkers = tellWorkers;
    this.#onProblem = onProblem;
    this.#savedLeaves = new SavedLeaves(join(config.runDir, 'leaves.json'));
    this.#identities = new NodeIdentities({
      certifier,
      saved: this.#savedLeaves.load(),
      onCredentials: (credentials) => {
        this.#saveSoon();
        const { identity, notAfter } = credentials;
        log.debug({ identity, notAfter }, 'certificate in force');
        tellWorkers(credentialsMessage(credentials));
      },
      onRelease: (identity) => {
        this.#saveSoon();
        tellWorkers({ type: 'forget-credentials', identity });
      },
      onError: onProblem,
    });
    const { onOwnCredentials } = options;
    this.#ownIdentity = agentIdentity({
      controlPlaneNamespace: config.ownNamespace,
      trustDomain: config.trustDomain,
    });
    this.#own =
      onOwnCredentials && new NodeIdentities({ certifier, onCredentials: onOwnCredentials, onError: onProblem });
    this.#directory = new DirectoryClient({
      node: config.nodeName,
      transport,
      token: access.token,
      cachePath: join(config.stateDir, 'directory.cache'),
      troubles: options.troubles,
      onWorkloads: (workloads) => {
        this.link.learnWorkloads(workloads);
        this.wishes.changed();
      },
      onDestination: (address, port, destination) => {
        this.link.learn(address, port, destination);
      },
      onForgotten: (address, port) => {
        this.link.forget(address, port);
      },
      onTrustBundle: ({ anchors, issuer }) => {
        const anchorPrints = anchors.map(fingerprint);
        log.info({ anchors: anchorPrints, issuer: fingerprint(issuer) }, 'trust bundle');
        this.#identities.trust(anchors, issuer);
        this.#own?.trust(anchors, issuer);
      },
      onProblem,
    });
    this.wishes = new PodWishes(this.#directory, options.lastOptedIn);
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
    const client = new MeshClient(options);
    await client.#directory.restore();
    return client;
  }

  /** What an earlier agent captured must be `adopted` before, or the directory would call them unmeshed. */
  start(signal: AbortSignal): void {
    this.#running = this.#directory.run(signal);
    if (this.#ownIdentity !== undefined) this.#own?.want(new Set([this.#ownIdentity]));
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
    clearTimeout(this.#saveTimer);
    await Promise.all([this.#identities.close(), this.#own?.close()]);
    clearTimeout(this.#saveTimer); // closing released them all, but the next agent wants them
  }

  #saveSoon(): void {
    this.#saveTimer ??= setTimeout(() => {
      this.#saveTimer = undefined;
      try {
        this.#savedLeaves.save(this.#identities.credentials);
      } catch (cause) {
        this.#onProblem(
          new WeftError('WEFT-E224', `certificates cannot be kept for the next agent: ${String(cause)}`, { cause }),
        );
      }
    }, saveMs);
  }

  get status(): Pick<AgentStatus, 'isDirectoryConnected' | 'directoryError' | 'knowsMesh' | 'identities'> {
    const { isConnected, error: directoryError, knowsMesh } = this.#directory;
    return { isDirectoryConnected: isConnected, directoryError, knowsMesh, identities: this.#identities.status };
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

/** @throws at once where it cannot be read; later what it held before goes on, as it may be about to be replaced */
function readAnew(path: string): () => string {
  let last = readFileSync(path, 'utf8');
  return () => {
    try {
      last = readFileSync(path, 'utf8');
    } catch {
      return last;
    }
    return last;
  };
}

/** As operators find it: openssl x509 -fingerprint -sha256. */
function fingerprint(certificate: Uint8Array): string {
  return createHash('sha256').update(certificate).digest('hex').slice(0, 16);
}
