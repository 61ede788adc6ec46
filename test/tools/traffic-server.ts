/** What traffic.ts talks to. Arguments: its ports for HTTP/1.1, gRPC and TCP. Prints a line once it listens on all of them. */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';

import type { ServerDuplexStream, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { Server, ServerCredentials } from '@grpc/grpc-js';

import { methods, same } from './grpc-service.ts';

const [httpPort, grpcPort, tcpPort] = process.argv.slice(2).map(Number);

// Clients that keep their connections for longer than this server would must not meet its end of them.
const http = createHttpServer({ keepAliveTimeout: 0 }, (request, response) => {
  request.resume().once('end', () => {
    response.end('served\n');
  });
});

const tcp = createTcpServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});

const coded = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
const grpc = new Server();
grpc.addService(
  { unary: { ...methods.unary, ...coded }, echo: { ...methods.echo, ...coded } },
  {
    unary: (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>) => {
      respond(null, call.request);
    },
    echo: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', (message: Buffer) => call.write(message));
      call.on('end', () => call.end());
      call.on('error', () => undefined);
    },
  },
);

await Promise.all([
  once(http.listen(httpPort, '0.0.0.0'), 'listening'),
  once(tcp.listen(tcpPort, '0.0.0.0'), 'listening'),
]);
const { promise: bound, resolve, reject } = Promise.withResolvers<void>();
grpc.bindAsync(`0.0.0.0:${grpcPort}`, ServerCredentials.createInsecure(), (error) => {
  if (error === null) resolve();
  else reject(error);
});
await bound;
console.log(`listening on ${httpPort}, ${grpcPort} and ${tcpPort}`);
