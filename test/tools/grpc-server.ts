/** A gRPC app. Argument: its port. Prints a line once it listens. */
import { Server, ServerCredentials, status } from '@grpc/grpc-js';

import { methods, same } from './grpc-service.ts';

const coded = {
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};
const definition = {
  unary: { ...methods.unary, ...coded },
  upload: { ...methods.upload, ...coded },
  download: { ...methods.download, ...coded },
  echo: { ...methods.echo, ...coded },
  silence: { ...methods.silence, ...coded },
};

let cancelled = 0;
const server = new Server({ 'grpc.max_receive_message_length': 8 << 20 });
server.addService(definition, {
  unary: (call: { request: Buffer }, respond: (error: object | null, value?: Buffer) => void) => {
    const text = call.request.subarray(0, 20).toString();
    if (text === 'fail') {
      respond({ code: status.FAILED_PRECONDITION, details: 'as asked' });
      return;
    }
    respond(null, text === 'cancelled' ? Buffer.from(String(cancelled)) : call.request);
  },
  upload: (call: AsyncIterable<Buffer>, respond: (error: object | null, value?: Buffer) => void) => {
    const sum = async (): Promise<void> => {
      let length = 0;
      for await (const message of call) length += message.length;
      respond(null, Buffer.from(String(length)));
    };
    sum().catch((error: unknown) => {
      respond({ code: status.INTERNAL, details: String(error) });
    });
  },
  download: (call: { request: Buffer; write(message: Buffer): void; end(): void }) => {
    for (let left = Number(call.request.toString()); left > 0; left--) call.write(Buffer.alloc(1000, 'd'));
    call.end();
  },
  echo: (call: NodeJS.ReadWriteStream) => {
    call.on('data', (message: Buffer) => {
      call.write(message);
    });
    call.on('end', () => {
      call.end();
    });
  },
  silence: (call: NodeJS.EventEmitter) => {
    call.on('cancelled', () => {
      cancelled++;
    });
  },
});
const port = process.argv[2] ?? '';
server.bindAsync(`0.0.0.0:${port}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  console.log(`listening on ${port}`);
});
