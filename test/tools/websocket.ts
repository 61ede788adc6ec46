/**
 * A WebSocket server that echoes, and a client that tries what WebSockets can do and tells what came of it.
 * Arguments: serve PORT | try URL | stay URL SECONDS. Prints JSON, the server a line once it listens.
 */
import type { RawData } from 'ws';
import { WebSocket, WebSocketServer } from 'ws';

const [how = '', where = '', seconds = '0'] = process.argv.slice(2);
const size = 1_000_000;

function serve(port: number): void {
  const server = new WebSocketServer({ port, host: '0.0.0.0' }, () => {
    console.log(`listening on ${port}`);
  });
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => {
      const text = isBinary ? '' : bufferOf(data).toString();
      if (text === 'ping me') socket.ping('from the server');
      else if (text === 'close me') socket.close(4001, 'as you wish');
      else if (text === 'what did I close with')
        lastClose.then(
          (code) => socket.send(String(code)),
          () => undefined,
        );
      else socket.send(data, { binary: isBinary });
    });
    socket.on('close', (code) => {
      closed.resolve(code);
    });
  });
}

const closed = Promise.withResolvers<number>();
const lastClose = closed.promise;

function bufferOf(data: RawData): Buffer {
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
}

async function opened(): Promise<WebSocket> {
  const socket = new WebSocket(where);
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return socket;
}

function answerTo(socket: WebSocket, data: string | Buffer): Promise<{ bytes: Buffer; isBinary: boolean }> {
  return new Promise((resolve, reject) => {
    socket.once('message', (answer, isBinary) => {
      resolve({ bytes: bufferOf(answer), isBinary });
    });
    socket.once('close', reject);
    socket.send(data);
  });
}

function told(socket: WebSocket, event: 'ping' | 'pong'): Promise<string> {
  return new Promise((resolve) => socket.once(event, (data) => resolve(data.toString())));
}

function closedWith(socket: WebSocket): Promise<[number, string]> {
  return new Promise((resolve) => socket.once('close', (code, reason) => resolve([code, reason.toString()])));
}

async function tryAll(): Promise<unknown> {
  const first = await opened();
  const text = await answerTo(first, 'grüße');
  const large = Buffer.alloc(size, 'w');
  const binary = await answerTo(first, large);
  const longText = await answerTo(first, 'ü'.repeat(size / 2));
  const pong = told(first, 'pong');
  first.ping('from the client');
  const ping = told(first, 'ping');
  first.send('ping me');
  const frames = [await pong, await ping];
  const ends = closedWith(first);
  first.close(4000, 'enough');
  const byClient = await ends;

  const second = await opened();
  const heard = await answerTo(second, 'what did I close with');
  const asked = closedWith(second);
  second.send('close me');
  return {
    text: [text.bytes.toString(), text.isBinary],
    binary: [binary.bytes.equals(large), binary.isBinary],
    longText: longText.bytes.length,
    frames,
    byClient,
    heard: heard.bytes.toString(),
    byServer: await asked,
  };
}

/** Says nothing for a while. */
async function stay(): Promise<unknown> {
  const socket = await opened();
  await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));
  const { bytes } = await answerTo(socket, 'still here');
  socket.terminate();
  return bytes.toString();
}

if (how === 'serve') serve(Number(where));
else console.log(JSON.stringify(how === 'try' ? await tryAll() : await stay()));
