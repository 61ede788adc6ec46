import { version } from '../../mesh/version.ts';
import { UsageError, parseConfig, usage } from '../config.ts';
import { createLogger } from '../log.ts';
import { Agent } from './agent.ts';
import { uninstallNode } from './uninstall.ts';
import { loadNativeAddon } from './native.ts';

const args = process.argv.slice(2);
if (args.includes('--version')) {
  process.stdout.write(`weft-agent ${version}\n`);
  process.exit(0);
}
if (args.includes('--help')) {
  process.stdout.write(usage());
  process.exit(0);
}

const isUninstall = args[0] === 'uninstall';
try {
  const config = parseConfig(isUninstall ? args.slice(1) : args);
  const log = createLogger(config.logLevel, 'agent');
  const native = loadNativeAddon();
  native.forbidCoreDumps();
  if (isUninstall) {
    await uninstallNode(config, log, native);
    process.exit();
  }
  const agent = await Agent.start(config, log, native);
  process.on('SIGUSR2', () => {
    agent.retire();
    process.exit(0);
  });
  const stop = (): void => {
    agent.shutdown().then(
      () => process.exit(),
      (error: unknown) => {
        log.error({ error }, 'shutdown failed');
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`weft-agent: ${error.message}; see --help\n`);
    process.exit(2);
  }
  throw error;
}
