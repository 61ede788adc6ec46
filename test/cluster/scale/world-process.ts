import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';

import type { World, WorldOptions } from './world.ts';

type Method = Exclude<keyof World, 'close'>;

interface Answer {
  readonly result?: unknown;
  readonly error?: string;
}

/** A World in a process of its own, as a process cannot change into another network namespace. One call at a time. */
export class WorldProcess {
  readonly #child: ChildProcess;

  constructor(options: WorldOptions, enter: (command: readonly string[]) => string[]) {
    const script = new URL('world-main.ts', import.meta.url).pathname;
    const [file = '', ...args] = enter([process.execPath, script, JSON.stringify(options)]);
    this.#child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  async call<Name extends Method>(
    name: Name,
    ...args: Parameters<World[Name]>
  ): Promise<Awaited<ReturnType<World[Name]>>> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const onMessage = ({ result, error }: Answer): void => {
      if (error === undefined) resolve(result);
      else reject(new Error(`${name}: ${error}`));
    };
    const onExit = (): void => reject(new Error(`${name}: the process has ended`));
    this.#child.once('message', onMessage);
    this.#child.once('exit', onExit);
    this.#child.send({ name, args });
    try {
      return (await promise) as Awaited<ReturnType<World[Name]>>;
    } finally {
      this.#child.off('message', onMessage);
      this.#child.off('exit', onExit);
    }
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}
