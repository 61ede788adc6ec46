import type { Address } from '../../mesh/address.ts';
import type { Engine } from '../../native/engine.d.ts';
import type { ConnectionRecord } from './connection-record.ts';
import type { InboundConnection } from './inbound.ts';
import { detections } from './inbound.ts';

/** The connection in the record, with what only the engine tells of it. */
export class ShownConnection implements InboundConnection {
  readonly #record: ConnectionRecord;
  readonly #engine: Pick<Engine, 'serverName'>;

  constructor(record: ConnectionRecord, engine: Pick<Engine, 'serverName'>) {
    this.#record = record;
    this.#engine = engine;
  }

  get id(): number {
    return this.#record.id;
  }
  get localAddress(): Address {
    return this.#record.localAddress;
  }
  get localPort(): number {
    return this.#record.localPort;
  }
  get remoteAddress(): Address {
    return this.#record.remoteAddress;
  }
  get remotePort(): number {
    return this.#record.remotePort;
  }
  get peerName(): number {
    return this.#record.peerName;
  }
  get detected(): number {
    return this.#record.detected;
  }
  get askedFor(): string {
    return this.#record.detected === detections.tls ? this.#engine.serverName() : '';
  }
}
