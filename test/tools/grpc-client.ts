/** Calls every method of the gRPC app. Arguments: its address and port. Prints what became of the calls, in JSON. */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';

import type { ServiceError } from '@grpc/grpc-js';
import { Client, credentials, Metadata } from '@grpc/grpc-js';

import { methods, same } from './grpc-service.ts';

const options = { 'grpc.max_receive_message_length': 8 << 20 };
const client = new Client(process.argv[2] ?? '', credentials.createInsecure(), options);

interface Result {
  readonly code: number;
  readonly details: string;
  readonly value: Buffer | undefined;
}

function unary(path: string, message: Buffer, deadlineMs = 10_000): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const deadline = Date.now() + deadlineMs;
  const callback = (error: ServiceError | null, value?: Buffer): void => {
    resolve({ code: error?.code ?? 0, details: error?.details ?? '', value });
  };
  client.makeUnaryRequest(path, same, same, message, new Metadata(), { deadline }, callback);
  return promise;
}

async function upload(count: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const call = client.makeClientStreamRequest(methods.upload.path, same, same, (error, value?: Buffer) => {
    if (error === null) resolve(Number(String(value)));
    else reject(error);
  });
  for (let i = 0; i < count; i++) {
    if (!call.write(Buffer.alloc(1000, 'u'))) await once(call, 'drain');
  }
  call.end();
  return promise;
}

async function download(count: number): Promise<number> {
  let length = 0;
  const call = client.makeServerStreamRequest(methods.download.path, same, same, Buffer.from(String(count)));
  for await (const message of call) length += (message as Buffer).length;
  return length;
}

/** Each message only after the answer to the one before. */
async function talk(count: number): Promise<number> {
  const call = client.makeBidiStreamRequest(methods.echo.path, same, same);
  let answers = 0;
  for (let i = 0; i < count; i++) {
    const answer = once(call, 'data');
    call.write(Buffer.from(`message ${i}`));
    const [message] = (await answer) as [Buffer];
    if (message.toString() === `message ${i}`) answers++;
  }
  const end = once(call, 'end');
  call.end();
  call.resume();
  await end;
  return answers;
}

async function cancel(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const silence = methods.silence.path;
  const call = client.makeUnaryRequest(silence, same, same, Buffer.from('x'), (error) => {
    resolve(error?.code ?? 0);
  });
  await setTimeout(300);
  call.cancel();
  return promise;
}

const large = Buffer.alloc(4 * 1024 * 1024 - 100, 'l');
const first = await unary(methods.unary.path, Buffer.from('hello'));
const result = {
  unary: [first.code, String(first.value)],
  failed: (await unary(methods.unary.path, Buffer.from('fail'))).code,
  large: (await unary(methods.unary.path, large)).value?.equals(large) === true,
  upload: await upload(2000),
  download: await download(2000),
  talk: await talk(100),
  deadline: (await unary(methods.silence.path, Buffer.from('x'), 500)).code,
  cancelled: await cancel(),
  seenByApp: 0,
};
for (let i = 0; i < 20 && result.seenByApp < 2; i++) {
  await setTimeout(50);
  result.seenByApp = Number(String((await unary(methods.unary.path, Buffer.from('cancelled'))).value));
}
console.log(JSON.stringify(result));
client.close();
