import type { Surroundings } from './surroundings.ts';

export interface TestSurroundings extends Surroundings {
  written(): { out: string; err: string };
}

export function testSurroundings(changed: {
  environment?: NodeJS.ProcessEnv;
  isTerminal?: boolean;
  signal?: AbortSignal;
}): TestSurroundings {
  const { environment = {}, isTerminal = false, signal = AbortSignal.timeout(30_000) } = changed;
  const texts = { out: '', err: '' };
  const output = (name: keyof typeof texts) => ({ isTerminal, write: (text: string) => void (texts[name] += text) });
  return { out: output('out'), err: output('err'), environment, signal, written: () => ({ ...texts }) };
}
