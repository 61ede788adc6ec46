import { setTimeout as delay } from 'node:timers/promises';

/** Until the time is over or the signal says so, whichever is first. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
