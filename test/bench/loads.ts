import type { LabPod } from '../lab/pod.ts';

/** Where ports run out, the search for a free one is all that is measured. */
export async function makePortsPlenty(pod: LabPod): Promise<void> {
  await pod.run(['sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 60999', 'net.ipv4.tcp_tw_reuse=1']);
}

export function iperfServer(pod: LabPod, port: number): void {
  pod.spawn(['iperf3', '-s', '-p', String(port)]).stdout?.resume();
}

export async function iperf(
  client: LabPod,
  address: string,
  port: number,
  seconds: number,
): Promise<{ bytes: number; bitsPerSecond: number }> {
  const { stdout } = await client.run(['iperf3', '-c', address, '-p', String(port), '-t', String(seconds), '-J']);
  const { error, end } = JSON.parse(stdout) as {
    error?: string;
    end: { sum_received: { bytes: number; bits_per_second: number } };
  };
  if (error !== undefined) throw new Error(`iperf3 to ${address}:${port}: ${error}`);
  return { bytes: end.sum_received.bytes, bitsPerSecond: end.sum_received.bits_per_second };
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
