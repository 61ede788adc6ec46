/** On a connection of its own, or on one that is kept; a stream of gRPC is one call that goes on. */
export type KindOfTraffic =
  'http-new' | 'http-kept' | 'grpc-new' | 'grpc-kept' | 'grpc-stream' | 'tcp-new' | 'tcp-kept';

export interface Failure {
  /** When it began, or the connection that broke; milliseconds since the epoch. */
  readonly at: number;
  readonly lastedMs: number;
  readonly error: string;
}

/** By kind. Of what stays open every message is an attempt. */
export type TrafficResult = Readonly<
  Record<string, { readonly attempts: number; readonly failures: readonly Failure[] }>
>;
