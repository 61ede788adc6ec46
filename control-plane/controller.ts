import { formatIdentityName } from '../mesh/identity-name.ts';
import type { MeshScope } from '../mesh/identity-name.ts';
import { agentIdentity } from '../mesh/agent-identity.ts';
import type { Readers } from '../admin/readers.ts';
import type { Network } from '../mesh/address.ts';
import type { ErrorCode } from '../mesh/errors.ts';
import { WeftError } from '../mesh/errors.ts';
import { Directory } from './directory/directory.ts';
import { ControlServer } from './directory/server.ts';
import type { Troubles } from './events/troubles.ts';
import type { Authenticator } from './identity/certificate-authority.ts';
import { CertificateAuthority } from './identity/certificate-authority.ts';
import type { Issuer } from './identity/issuer.ts';
import { Model } from './model.ts';
import type { Source } from './sources/source.ts';

export interface ControllerOptions {
  readonly source: Source;
  readonly mesh: MeshScope;
  readonly clusterNetworks: readonly Network[];
  readonly authenticator: Authenticator;
  /** Asked at every request, as it may be replaced. */
  readonly issuer: () => Issuer;
  readonly leafLifeMs: number;
  /** PEM; absent only where nobody but this process connects. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly troubles?: Troubles;
  /** Of metrics; absent where no API server knows them. */
  readonly readers?: Pick<Readers, 'review'>;
  readonly count?: (outcome: 'signed' | ErrorCode) => void;
  readonly onProblem: (problem: WeftError) => void;
}

/** Objects in, what agents need out: the model, the directory that tells of it, and the authority that certifies its workloads. */
export class Controller {
  readonly #source: Source;
  readonly #model: Model;
  readonly #directory: Directory;
  readonly #server: ControlServer;

  constructor(options: ControllerOptions) {
    const { source, mesh, authenticator, issuer, leafLifeMs, clusterNetworks, onProblem } = options;
    const model = new Model({
      ownNamespace: mesh.controlPlaneNamespace,
      identityOf: (account) => formatIdentityName({ ...account, ...mesh }) ?? '',
    });
    source.onDeltas((deltas) => {
      model.apply(deltas);
    });
    const authority = new CertificateAuthority({
      mesh,
      authenticator,
      issuer,
      lifeMs: leafLifeMs,
      ...(options.count && { count: options.count }),
      workloads: { identitiesOf: (node) => identitiesOf(model, node, mesh) },
    });
    this.#source = source;
    this.#model = model;
    this.#directory = new Directory({
      ...{ model, clusterNetworks, trust: issuer },
      isHeard: () => !source.problems().some(({ code }) => code === 'WEFT-E121'),
      ...(options.troubles && { troubles: options.troubles }),
    });
    this.#server = new ControlServer({
      directory: this.#directory,
      authenticator,
      certify: (request, signal) => authority.certify(request, signal),
      ...(options.readers && { readers: options.readers }),
      ...(options.tls && { tls: options.tls }),
      onError: onProblem,
    });
  }

  get streams(): number {
    return this.#directory.streams;
  }

  get model(): Model {
    return this.#model;
  }

  /** For connections from now on. */
  setTls(tls: { readonly key: string; readonly cert: string }): void {
    this.#server.setTls(tls);
  }

  /** Tells the agents. */
  issuerChanged(): void {
    this.#directory.trustChanged();
  }

  /** Resolves to the port, once everything that exists is known. */
  async start(port: number, host: string, signal: AbortSignal): Promise<number> {
    await this.#source.start(signal);
    return this.#server.listen(port, host);
  }

  async close(): Promise<void> {
    await this.#server.close();
  }
}

/**
 * Of the pods that are in the mesh, or are to be, as their agents need a certificate before they can be announced; and that of the agent
 * itself.
 */
function identitiesOf(model: Model, node: string, mesh: MeshScope): Set<string> {
  const running = model
    .workloadsOf(node)
    .filter(({ wanted, terminal, identity }) => wanted && !terminal && identity !== '');
  const own = agentIdentity(mesh);
  return new Set([...running.map(({ identity }) => identity), ...(own === undefined ? [] : [own])]);
}
