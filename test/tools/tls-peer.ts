/**
 * A TLS 1.3 client that is no agent, and may lie. Usage: tls-peer.ts JSON; prints JSON: {protocol, peer, received (hex)} or {error, alert}.
 */
import { connect } from 'node:tls';

interface Wish {
  readonly host: string;
  readonly port: number;
  readonly servername: string;
  readonly protocols?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly ca: string;
  /** Hex, sent at once. */
  readonly send?: string;
}

const timeoutMs = 5000;
const quietMs = 500;

const { host, port, servername, protocols, cert, key, ca, send } = JSON.parse(process.argv[2] ?? '') as Wish;
const socket = connect({
  host,
  port,
  servername,
  ca,
  minVersion: 'TLSv1.3',
  ...(protocols && { ALPNProtocols: [...protocols] }),
  ...(cert !== undefined && key !== undefined && { cert, key }),
});
let received = Buffer.alloc(0);
let quiet: NodeJS.Timeout | undefined;

function finish(result: object): void {
  process.stdout.write(JSON.stringify(result), () => process.exit());
}

socket.on('secureConnect', () => {
  if (send !== undefined) socket.write(Buffer.from(send, 'hex'));
  waitForSilence();
});
socket.on('data', (chunk: Buffer) => {
  received = Buffer.concat([received, chunk]);
  waitForSilence();
});
// With TLS 1.3 a client learns only after the handshake that it was refused.
socket.on('error', (error: NodeJS.ErrnoException) => {
  finish({ error: error.code ?? error.message, alert: /alert number (\d+)/i.exec(error.message)?.[1] ?? null });
});
socket.on('close', () => {
  finish({ error: 'closed', received: received.toString('hex') });
});
setTimeout(() => {
  finish({ error: 'timeout' });
}, timeoutMs);

function waitForSilence(): void {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    finish({
      protocol: socket.alpnProtocol,
      peer: socket.getPeerCertificate().subjectaltname,
      received: received.toString('hex'),
    });
  }, quietMs);
}
