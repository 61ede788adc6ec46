import type {
  Engine,
  EngineOptions,
  EngineStatistics,
  HeaderEdits,
  ProbeRequest,
  SyntheticResponse,
} from '../../native/engine.d.ts';
import type { TestConnection, TestOutcome } from './test-connection.ts';
import { writeConnection, writeOutcome } from './test-connection.ts';

/** What the engine does, without sockets. */
export class FakeEngine implements Engine {
  connections = 0;
  tunnels = 0;
  readonly retired: number[] = [];
  accepting = true;
  closed = false;
  askedFor = '';
  refusesCredentials = false;
  readonly names: string[] = [];
  readonly credentials = new Set<number>();
  /** Each with the words of its decision. */
  readonly resumed: number[][] = [];
  /** By number. */
  readonly probes = new Map<number, ProbeRequest>();
  readonly revoked: number[] = [];
  /** What is known of the request that is shown. */
  request: { method?: string; path?: string; authority?: string; headers?: Readonly<Record<string, string>> } = {};
  readonly headerEdits = new Map<number, HeaderEdits>();
  readonly responses = new Map<number, SyntheticResponse>();
  readonly resumedRequests: number[] = [];
  readonly revokedUpstreams: number[] = [];
  /** Requests that have ended without anybody having been told yet. */
  readonly endedRequests = new Set<number>();
  #lastDefined = 0;
  readonly options: EngineOptions;

  constructor(engineOptions: EngineOptions) {
    this.options = engineOptions;
  }

  /** @returns the decision: action, connect timeout, idle timeout, destination port */
  connect(connection: TestConnection): number[] {
    this.connections++;
    writeConnection(this.options.record, connection);
    this.options.onConnection();
    return [...new Uint32Array(this.options.record, 96, 4)];
  }

  end(connection: TestConnection, outcome: TestOutcome): void {
    this.connections--;
    writeConnection(this.options.closes, connection);
    writeOutcome(this.options.closes, outcome);
    this.options.onCloses(1);
  }

  statistics(): EngineStatistics {
    return {
      connections: this.connections,
      accepted: 0,
      pipesInUse: 0,
      listeners: 0,
      socketsHeld: 0,
      tunnels: this.tunnels,
    };
  }
  intern(name: string): number {
    if (this.closed) throw new Error('the engine is closed');
    const known = this.names.indexOf(name);
    return known < 0 ? this.names.push(name) : known + 1;
  }
  nameOf(number: number): string {
    return this.names[number - 1] ?? '';
  }
  setCredentials(identity: number): void {
    if (this.refusesCredentials) throw new Error('the trust anchors are not certificates');
    this.credentials.add(identity);
  }
  forgetCredentials(identity: number): void {
    this.credentials.delete(identity);
  }
  setTicketKeys(): void {
    return;
  }
  serverName(): string {
    return this.askedFor;
  }
  resume(connection: number): boolean {
    this.resumed.push([connection, ...new Uint32Array(this.options.record, 96, 16)]);
    return true;
  }
  revoke(connections: readonly number[]): void {
    this.revoked.push(...connections);
  }
  requestMethod(): string {
    return this.request.method ?? 'GET';
  }
  requestPath(): string {
    return this.request.path ?? '/';
  }
  requestAuthority(): string {
    return this.request.authority ?? '';
  }
  requestHeader(_request: number, name: string): string | undefined {
    return this.request.headers?.[name];
  }
  defineHeaderEdits(edits: HeaderEdits): number {
    this.headerEdits.set(++this.#lastDefined, edits);
    return this.#lastDefined;
  }
  releaseHeaderEdits(edits: number): void {
    this.headerEdits.delete(edits);
  }
  defineResponse(response: SyntheticResponse): number {
    this.responses.set(++this.#lastDefined, response);
    return this.#lastDefined;
  }
  releaseResponse(response: number): void {
    this.responses.delete(response);
  }
  resumeRequest(exchange: number): boolean {
    this.resumedRequests.push(exchange);
    return !this.endedRequests.has(exchange);
  }
  revokeRequests(upstreamContext: number): void {
    this.revokedUpstreams.push(upstreamContext);
  }
  probe(probe: number, request: ProbeRequest): void {
    this.probes.set(probe, request);
  }
  retireTunnels(pod: number): void {
    this.retired.push(pod);
  }
  stopAccepting(): void {
    this.accepting = false;
  }
  close(): void {
    this.closed = true;
  }
}
