import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { WeftError } from '../../mesh/errors.ts';
import type { Logger } from '../log.ts';
import type { ChainEntry, Network } from './network-file.ts';
import {
  chain,
  isChained,
  networkFileNames,
  parseNetwork,
  unchain,
  whyUnsuitable,
  wrappedName,
} from './network-file.ts';
import type { ExchangeFiles, SharedFile } from './shared-folder.ts';
import { SharedFolder } from './shared-folder.ts';

/** How often the folders are looked at. Looking costs a few stats; unlike inotify it misses nothing, and folders may come and go. */
const intervalMs = 500;
/** A file that cannot be read may still be being written; so long it is waited for. */
const writingMs = 1500;
const rivalryMs = 60_000;
const rivalryRepairs = 5;
/** Of an installation, whose disk writes hold up the process; the next look goes on. */
const installAttempts = 3;
const uninstallAttempts = 100;

export interface CniInstallerOptions {
  /** The plugin, as it was built. */
  readonly binary: string;
  readonly binDir: string;
  readonly confDir: string;
  readonly entry: ChainEntry;
  readonly exchange: ExchangeFiles;
  readonly log: Logger;
}

interface Candidate {
  readonly network: Network;
  readonly file: SharedFile;
}

/** Keeps the plugin in its folder and in the node's network, whoever else writes there. */
export class CniInstaller {
  readonly #options: CniInstallerOptions;
  readonly #configurations: SharedFolder;
  readonly #binaries: SharedFolder;
  /** State of both folders when all was well. */
  #wellAt: string | undefined;
  #chainedInto: string | undefined;
  #problem: WeftError | undefined = new WeftError('WEFT-E130', 'the network configuration has not been looked at yet');
  /** Files that cannot be read, as they are, and since when. */
  readonly #malformed = new Map<string, { readonly text: string; readonly since: number; isNamed: boolean }>();
  #repairs = 0;
  #recentRepairs: number[] = [];
  #rivalNamedAt = -Infinity;

  constructor(options: CniInstallerOptions) {
    this.#options = options;
    this.#configurations = new SharedFolder(options.confDir, options.exchange);
    this.#binaries = new SharedFolder(options.binDir, options.exchange);
  }

  /** Why pods do not start through the plugin; undefined where they do. */
  get problem(): WeftError | undefined {
    return this.#problem;
  }

  /** How often somebody else had taken out or changed what was installed. */
  get repairs(): number {
    return this.#repairs;
  }

  /** Until the signal; what is installed then stays. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.check();
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Looks once, and puts right what is not as it should be. */
  check(): void {
    let problem: WeftError | undefined;
    try {
      if (this.#signature() === this.#wellAt) return;
      this.#wellAt = undefined;
      this.#installBinary();
      problem = this.#installEntry();
      if (problem === undefined && this.#malformed.size === 0) this.#wellAt = this.#signature();
    } catch (error) {
      problem = new WeftError('WEFT-E132', `the CNI plugin could not be installed: ${String(error)}`, { cause: error });
    }
    if (problem !== undefined && problem.message !== this.#problem?.message) this.#report(problem);
    this.#problem = problem;
  }

  /** Takes everything out again: our entry first, as a runtime that cannot find a plugin starts no pod. @throws WeftError */
  uninstall(): void {
    const { entry, log, binary } = this.#options;
    try {
      for (const name of networkFileNames(this.#configurations.names())) {
        let left = uninstallAttempts;
        while (!this.#removeEntry(name)) {
          if (left === 0) throw new Error(`${name} is rewritten all the time`);
          left -= 1;
        }
      }
      const installed = this.#binaries.read(entry.type);
      if (installed !== undefined) this.#binaries.remove(entry.type, installed);
      for (const folder of [this.#configurations, this.#binaries]) folder.removeAbandoned();
      log.info({ folder: this.#configurations.path, binary }, 'the CNI plugin is uninstalled');
    } catch (error) {
      throw new WeftError('WEFT-E132', `the CNI plugin could not be uninstalled: ${String(error)}`, { cause: error });
    }
  }

  #signature(): string {
    const files = networkFileNames(this.#configurations.names());
    return this.#configurations.signature(files) + this.#binaries.signature([this.#options.entry.type]);
  }

  #installBinary(): void {
    const { binary, entry } = this.#options;
    const wanted = readFileSync(binary);
    const installed = this.#binaries.read(entry.type);
    if (installed?.content.equals(wanted) && installed.mode === 0o755) return;
    if (this.#chainedInto !== undefined) this.#countRepair(entry.type);
    this.#binaries.removeAbandoned();
    this.#binaries.put(entry.type, wanted, 0o755);
  }

  #installEntry(): WeftError | undefined {
    const { entry, log } = this.#options;
    for (let left = installAttempts; left >= 0; left -= 1) {
      const primary = this.#primary();
      if (primary === 'unsettled') return this.#problem;
      if (primary instanceof WeftError) return primary;
      if (primary === undefined) {
        return new WeftError('WEFT-E130', `${this.#configurations.path} has no network configuration yet`);
      }
      const { network } = primary;
      if (isChained(network, entry)) {
        this.#chainedInto = network.name;
        return undefined;
      }
      if (!this.#insert(primary)) continue; // it has changed meanwhile
      if (this.#chainedInto !== undefined) this.#countRepair(network.name);
      log.info({ file: network.name, folder: this.#configurations.path }, 'chained into the network of the node');
    }
    return new WeftError('WEFT-E133', 'the network configuration is rewritten all the time');
  }

  /** The file that the runtime goes by: the first in order that is good; where we cannot be chained into that one, why. */
  #primary(): Candidate | WeftError | 'unsettled' | undefined {
    const names = networkFileNames(this.#configurations.names());
    for (const name of this.#malformed.keys()) if (!names.includes(name)) this.#malformed.delete(name);
    for (const name of names) {
      const file = this.#configurations.read(name);
      if (file === undefined) continue;
      const text = file.content.toString();
      const network = parseNetwork(name, text);
      if (network instanceof WeftError) {
        if (!this.#isSettled(name, text)) return 'unsettled';
        this.#reportMalformed(name, network);
        continue;
      }
      const problem = whyUnsuitable(network, this.#options.entry.type);
      if (problem !== undefined) return this.#isSettled(name, text) ? problem : 'unsettled';
      this.#malformed.delete(name);
      return { network, file };
    }
    return undefined;
  }

  #isSettled(name: string, text: string): boolean {
    const now = performance.now();
    const known = this.#malformed.get(name);
    if (known?.text !== text) {
      this.#malformed.set(name, { text, since: now, isNamed: false });
      return false;
    }
    return now - known.since >= writingMs;
  }

  #reportMalformed(name: string, problem: WeftError): void {
    const known = this.#malformed.get(name);
    if (known === undefined || known.isNamed) return;
    known.isNamed = true;
    this.#report(problem);
  }

  #insert({ network, file }: Candidate): boolean {
    const { entry } = this.#options;
    const text = chain(network, entry);
    if (network.isList) return this.#configurations.replace(network.name, file, text);
    // The list stands before the file of one plugin goes, so the node is never without a network.
    return this.#putList(network.name, text, file.mode) && this.#configurations.remove(network.name, file);
  }

  /** As .conflist beside the file of one plugin; under a longer name where that is somebody else's. */
  #putList(origin: string, text: string, mode: number): boolean {
    const usual = origin.replace(/\.[^.]*$/, '.conflist');
    for (const name of [usual, `${origin}.conflist`]) {
      if (this.#configurations.create(name, text, mode)) return true;
      const file = this.#configurations.read(name);
      if (file === undefined) return false;
      const network = parseNetwork(name, file.content.toString());
      const isOurs = !(network instanceof WeftError) && wrappedName(network, this.#options.entry.type) === origin;
      if (isOurs) return this.#configurations.replace(name, file, text);
    }
    return false;
  }

  /** @returns false where the file has changed meanwhile */
  #removeEntry(name: string): boolean {
    const file = this.#configurations.read(name);
    if (file === undefined) return true;
    const network = parseNetwork(name, file.content.toString());
    const without = network instanceof WeftError ? undefined : unchain(network, this.#options.entry.type);
    if (without === undefined) return true;
    if (without.name === name) return this.#configurations.replace(name, file, without.text);
    this.#configurations.create(without.name, without.text, file.mode); // or its owner has written a newer one
    return this.#configurations.remove(name, file);
  }

  #countRepair(file: string): void {
    const now = performance.now();
    this.#repairs += 1;
    this.#recentRepairs = [...this.#recentRepairs.filter((at) => now - at < rivalryMs), now];
    if (this.#recentRepairs.length < rivalryRepairs || now - this.#rivalNamedAt < rivalryMs) return;
    this.#rivalNamedAt = now;
    this.#report(
      new WeftError('WEFT-E133', `${file} was changed ${this.#recentRepairs.length} times within a minute by others`),
    );
  }

  #report(problem: WeftError): void {
    this.#options.log.warn(
      { code: problem.code, error: problem.message, hint: problem.hint },
      'trouble with the CNI chain',
    );
  }
}
