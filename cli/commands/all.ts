import type { Command } from '../command.ts';
import { check } from './check.ts';
import { version } from './version.ts';

/** In the order of the help. */
export const commands: readonly Command[] = [check, version];
