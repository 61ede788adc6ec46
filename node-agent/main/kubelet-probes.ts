import { messageOf } from '../../mesh/message-of.ts';
import { sleep } from '../../mesh/sleep.ts';
import type { Capture } from '../../native/capture.d.ts';
import type { Logger } from '../log.ts';

const intervalMs = 1000;

/** Keeps the kubelet's probes known while it is started again, until the signal. */
export async function followKubelet(
  capture: Pick<Capture, 'followKubelet'>,
  log: Pick<Logger, 'info' | 'warn'>,
  signal: AbortSignal,
  everyMs = intervalMs,
): Promise<void> {
  let told: string | undefined;
  for (;;) {
    await sleep(everyMs, signal);
    if (signal.aborted) return;
    try {
      if (capture.followKubelet()) log.info({}, 'the kubelet has a new cgroup: what it dials from there is a probe');
      told = undefined;
    } catch (error) {
      const why = messageOf(error);
      if (why !== told)
        log.warn({ error }, "the kubelet's cgroup cannot be watched: its probes may pass for other clients");
      told = why;
    }
  }
}
