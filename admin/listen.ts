import type { Server } from 'node:net';

/** Beside others of ours: a process that takes over listens before the old one has gone. Resolves to the port. */
export async function listen(server: Server, host: string, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('error', reject);
  server.listen({ host, port, reusePort: true }, () => resolve(undefined));
  try {
    await promise;
  } finally {
    server.off('error', reject);
  }
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}
