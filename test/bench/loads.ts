import type { CommandResult } from '../lab/command.ts';
import type { LabPod } from '../lab/pod.ts';

/** What a load has carried: requests, or gigabytes and gigabits. */
export interface Load {
  readonly amount: number;
  readonly perSecond: number;
}

interface HttpLoad {
  readonly address: string;
  readonly port: number;
  readonly seconds: number;
  readonly connections: number;
}

/** Where ports run out, the search for a free one is all that is measured. */
export async function makePortsPlenty(pod: LabPod): Promise<void> {
  await pod.run(['sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 60999', 'net.ipv4.tcp_tw_reuse=1']);
}

export function iperfServer(pod: LabPod, port: number): void {
  pod.spawn(['iperf3', '-s', '-p', String(port)]).stdout?.resume();
}

export function iperfCommand(address: string, port: number, seconds: number): string[] {
  return ['iperf3', '-c', address, '-p', String(port), '-t', String(seconds), '-J'];
}

/** In gigabytes and Gbit/s. */
export function readIperf({ stdout, stderr }: CommandResult): Load {
  const { error, end } = JSON.parse(stdout === '' ? '{}' : stdout) as {
    error?: string;
    end?: { sum_received: { bytes: number; bits_per_second: number } };
  };
  if (error !== undefined || end === undefined) throw new Error(`iperf3: ${error ?? stderr}`);
  return { amount: end.sum_received.bytes / 1e9, perSecond: end.sum_received.bits_per_second / 1e9 };
}

export function wrkCommand(load: HttpLoad & { readonly headers?: readonly string[] }): string[] {
  const options = ['-t', '1', '-c', String(load.connections), '-d', `${load.seconds}s`];
  const headers = (load.headers ?? []).flatMap((header) => ['-H', header]);
  return ['wrk', ...options, ...headers, urlOf(load)];
}

export function readWrk({ stdout, stderr }: CommandResult): Load {
  const amount = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  const faults = /Non-2xx.*|Socket errors.*/.exec(stdout)?.[0];
  if (!(amount > 0) || faults !== undefined) throw new Error(faults ?? stdout + stderr);
  return { amount, perSecond };
}

interface Http2Load extends HttpLoad {
  /** At a time on each connection. */
  readonly streams: number;
  readonly request?: readonly string[];
}

export function h2loadCommand(load: Http2Load): string[] {
  const options = ['-t', '1', '-c', String(load.connections), '-m', String(load.streams), '-D', String(load.seconds)];
  return ['h2load', ...options, ...(load.request ?? []), urlOf(load)];
}

/** @param bodyBytes of each response, at least: what fails in gRPC is a success of HTTP, with less to say */
export function readH2load({ stdout, stderr }: CommandResult, bodyBytes: number): Load {
  const [, done, succeeded, failed] = /(\d+) done, (\d+) succeeded, (\d+) failed/.exec(stdout) ?? [];
  const perSecond = Number(/, ([\d.]+) req\/s/.exec(stdout)?.[1]);
  const bodies = Number(/\((\d+)\) data/.exec(stdout)?.[1]);
  const isGood = Number(succeeded) > 0 && Number(failed) === 0 && bodies >= Number(done) * bodyBytes;
  if (!isGood) throw new Error(stdout + stderr);
  return { amount: Number(done), perSecond };
}

export function urlOf({ address, port }: Pick<HttpLoad, 'address' | 'port'>): string {
  return `http://${address}:${port}/`;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
