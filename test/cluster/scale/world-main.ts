import type { WorldOptions } from './world.ts';
import { World } from './world.ts';

/** The process of WorldProcess. It ends with whoever started it. */
const world = new World(JSON.parse(process.argv[2] ?? '') as WorldOptions);
const methods = [
  'startProxy',
  'createNodes',
  'createPods',
  'createServices',
  'connectAgents',
  'changeSlices',
  'withFault',
] as const;

process.on('disconnect', () => process.exit());
process.on('message', ({ name, args }: { name: string; args: never[] }) => {
  void answer(name, args).then((message) => process.send?.(message));
});

async function answer(name: string, args: never[]): Promise<object> {
  const method = methods.find((one) => one === name);
  if (method === undefined) return { error: 'there is no such method' };
  try {
    const call = world[method].bind(world) as (...args: never[]) => Promise<unknown>;
    return { result: await call(...args) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
