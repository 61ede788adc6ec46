import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { WebSocketServer } from 'ws';

import type { FakeApiServer } from '../../control-plane/sources/kubernetes/fake-api-server.ts';

export interface PortAnswer {
  readonly status: number;
  readonly text: string;
}

/** What is answered by HTTP; "refused" as if nothing listened there; "silent" never; or the word of the API server, who forwards nothing. */
export type PortBehaviour =
  ((path: string) => PortAnswer) | 'refused' | 'silent' | { readonly refusal: number; readonly message: string };

/** Ports of pods, which a fake API server forwards. */
export class TestPorts {
  readonly #behaviours = new Map<string, PortBehaviour>();
  readonly #sockets = new WebSocketServer({ noServer: true });

  constructor(server: FakeApiServer) {
    server.onUpgrade = (request, socket, head) => {
      this.#forward(request, socket, head);
    };
  }

  /** @param pod NAMESPACE/NAME */
  set(pod: string, port: number, behaviour: PortBehaviour): void {
    this.#behaviours.set(`${pod}:${port}`, behaviour);
  }

  #forward(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://fake');
    const [, namespace, pod] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/portforward$/.exec(pathname) ?? [];
    const port = Number(searchParams.get('ports'));
    const behaviour = this.#behaviours.get(`${namespace}/${pod}:${port}`);
    if (behaviour === undefined || typeof behaviour === 'object') {
      const { refusal: code, message } = behaviour ?? { refusal: 404, message: `pods "${pod}" not found` };
      const body = JSON.stringify({ kind: 'Status', code, message });
      socket.end(`HTTP/1.1 ${code} Refused\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (opened) => {
      const send = (channel: number, bytes: Buffer): void => opened.send(Buffer.concat([Buffer.of(channel), bytes]));
      const begin = Buffer.of(port & 0xff, port >> 8);
      send(0, begin);
      send(1, begin);
      if (behaviour === 'silent') return;
      if (behaviour === 'refused') {
        send(1, Buffer.from(`failed to connect to localhost:${port} inside namespace: connection refused\n`));
        opened.close();
        return;
      }
      let heard = '';
      opened.on('message', (message: Buffer) => {
        heard += message.subarray(1).toString();
        if (!heard.endsWith('\r\n\r\n')) return;
        const { status, text } = behaviour(/^GET (\S+) HTTP/.exec(heard)?.[1] ?? '');
        const answer = Buffer.from(`HTTP/1.1 ${status} As it is\r\nconnection: close\r\n\r\n${text}`);
        for (let at = 0; at < answer.length; at += 1000) send(0, answer.subarray(at, at + 1000));
        opened.close();
      });
    });
  }
}
