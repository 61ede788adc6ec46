/**
 * WebSockets over streams of HTTP/2 (RFC 8441): a server that echoes, as that of websocket.ts does, and a client that tries what they can do
 * and tells what came of it. Arguments: serve PORT | try URL | ask URL. Prints JSON, the server a line once it listens.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { connect, createServer } from 'node:http2';

import type { Frame } from './websocket-frames.ts';
import { FrameReader, encodeFrame, opcodes } from './websocket-frames.ts';

const [how = '', where = ''] = process.argv.slice(2);
const size = 1_000_000;

function serve(port: number): void {
  const server = createServer({ settings: { enableConnectProtocol: true } });
  const closed = Promise.withResolvers<number>();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200 }, { endStream: headers[':protocol'] !== 'websocket' });
    if (headers[':protocol'] === 'websocket') echo(stream, closed);
  });
  server.listen(port, '0.0.0.0', () => {
    console.log(`listening on ${port}`);
  });
}

function echo(stream: ServerHttp2Stream, closed: PromiseWithResolvers<number>): void {
  const reader = new FrameReader();
  let isClosing = false;
  const send = (opcode: number, payload: Buffer): void => {
    stream.write(encodeFrame(opcode, payload));
  };
  const take = ({ opcode, payload }: Frame): void => {
    const text = payload.length < 100 ? payload.toString() : '';
    if (opcode === opcodes.close) {
      closed.resolve(payload.readUInt16BE(0));
      if (!isClosing) send(opcode, payload);
      stream.end();
    } else if (opcode === opcodes.ping) send(opcodes.pong, payload);
    else if (opcode === opcodes.pong) return;
    else if (text === 'ping me') send(opcodes.ping, Buffer.from('from the server'));
    else if (text === 'what did I close with')
      closed.promise.then(
        (code) => {
          send(opcodes.text, Buffer.from(String(code)));
        },
        () => undefined,
      );
    else if (text === 'close me') {
      isClosing = true;
      send(opcodes.close, reasonOf(4001, 'as you wish'));
    } else send(opcode, payload);
  };
  stream.on('data', (bytes: Buffer) => {
    for (const frame of reader.read(bytes)) take(frame);
  });
}

function reasonOf(code: number, text: string): Buffer {
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16BE(code, 0);
  return Buffer.concat([prefix, Buffer.from(text)]);
}

/** One WebSocket of a client. */
class Socket {
  readonly #stream: ClientHttp2Stream;
  readonly #frames: AsyncGenerator<Frame>;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    this.#frames = framesOf(stream);
  }

  send(opcode: number, payload: Buffer | string): void {
    this.#stream.write(encodeFrame(opcode, Buffer.from(payload), randomBytes(4)));
  }

  async next(): Promise<Frame> {
    const result = await this.#frames.next();
    if (result.done === true) throw new Error('the WebSocket has ended');
    return result.value;
  }

  async answerTo(opcode: number, payload: Buffer | string): Promise<Buffer> {
    this.send(opcode, payload);
    return (await this.next()).payload;
  }

  /** After the last word of either side. */
  async end(): Promise<string> {
    this.#stream.end();
    const { done } = await this.#frames.next();
    return done === true ? 'end' : 'more';
  }
}

async function* framesOf(stream: ClientHttp2Stream): AsyncGenerator<Frame> {
  const reader = new FrameReader();
  for await (const bytes of stream) yield* reader.read(bytes as Buffer);
}

async function opened(session: ClientHttp2Session): Promise<{ stream: ClientHttp2Stream; status: number | undefined }> {
  const stream = session.request(
    { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', 'sec-websocket-version': '13' },
    { endStream: false },
  );
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  return { stream, status: headers[':status'] as number | undefined };
}

async function socketOf(session: ClientHttp2Session): Promise<Socket> {
  const { stream, status } = await opened(session);
  if (status !== 200) throw new Error(`refused with ${status}`);
  return new Socket(stream);
}

function describe({ opcode, payload }: Frame): unknown {
  return opcode === opcodes.close
    ? [payload.readUInt16BE(0), payload.subarray(2).toString()]
    : [opcode, payload.toString()];
}

async function tryAll(session: ClientHttp2Session): Promise<unknown> {
  const first = await socketOf(session);
  const text = await first.answerTo(opcodes.text, 'grüße');
  const large = Buffer.alloc(size, 'w');
  const binary = await first.answerTo(opcodes.binary, large);
  const pong = describe({ opcode: opcodes.pong, payload: await first.answerTo(opcodes.ping, 'from the client') });
  first.send(opcodes.text, 'ping me');
  const ping = describe(await first.next());
  first.send(opcodes.close, reasonOf(4000, 'enough'));
  const byClient = describe(await first.next());
  const afterClient = await first.end();

  const second = await socketOf(session);
  const heard = await second.answerTo(opcodes.text, 'what did I close with');
  second.send(opcodes.text, 'close me');
  const last = await second.next();
  second.send(opcodes.close, last.payload);
  return {
    text: text.toString(),
    binary: binary.equals(large),
    frames: [pong, ping],
    byClient: [byClient, afterClient],
    heard: heard.toString(),
    byServer: [describe(last), await second.end()],
  };
}

/** Whether a WebSocket is granted, and how a request fares on the same connection. */
async function ask(session: ClientHttp2Session): Promise<unknown> {
  const { stream, status } = await opened(session);
  stream.destroy();
  const request = session.request({ ':path': '/beside' });
  request.resume();
  const [headers] = (await once(request, 'response')) as [IncomingHttpHeaders];
  return { status, beside: headers[':status'] };
}

async function connected(): Promise<ClientHttp2Session> {
  const session = connect(where);
  // Only who has said that he takes it may be asked (RFC 8441, 3).
  await once(session, 'remoteSettings');
  if (session.remoteSettings.enableConnectProtocol !== true) throw new Error('extended CONNECT is not offered');
  return session;
}

if (how === 'serve') serve(Number(where));
else {
  const session = await connected();
  console.log(JSON.stringify(how === 'try' ? await tryAll(session) : await ask(session)));
  session.close();
}
