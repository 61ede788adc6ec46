import type { Command } from '../command.ts';
import { check } from './check.ts';
import { completion } from './completion.ts';
import { diagnostics } from './diagnostics.ts';
import { install } from './install.ts';
import { uninstall } from './uninstall.ts';
import { upgrade } from './upgrade.ts';
import { version } from './version.ts';

/** In the order of the help. */
export const commands: readonly Command[] = [
  check,
  ...diagnostics,
  install,
  upgrade,
  uninstall,
  version,
  completion(() => commands),
];
