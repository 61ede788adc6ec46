import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

import { KubeConfig } from '@kubernetes/client-node';

import { apiAccessOf } from '../../control-plane/sources/kubernetes/api-config.ts';
import type { ApiAccess } from '../../control-plane/sources/kubernetes/api-access.ts';
import { WeftError } from '../../mesh/errors.ts';
import { messageOf } from '../../mesh/message-of.ts';

export interface KubeconfigChoice {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  /** Whom to act as, and in which group. */
  readonly as?: string | undefined;
  readonly asGroup?: string | undefined;
}

/** As kubectl finds it: the flag, else KUBECONFIG, else ~/.kube/config, else what a pod finds in its container. @throws WeftError E402 */
export function openKubeconfig(choice: KubeconfigChoice, environment = process.env): ApiAccess {
  try {
    const config = load(choice.kubeconfig, environment);
    if (choice.context !== undefined) useContext(config, choice.context);
    return actingAs(apiAccessOf(config), choice);
  } catch (error) {
    if (error instanceof WeftError) throw error;
    throw refused(messageOf(error), error);
  }
}

function load(file: string | undefined, environment: NodeJS.ProcessEnv): KubeConfig {
  if (file !== undefined) return fromFiles([file]);
  const listed = (environment['KUBECONFIG'] ?? '').split(delimiter).filter((name) => name !== '');
  if (listed.length > 0) {
    const present = listed.filter((name) => existsSync(name)); // kubectl leaves out those that are not there, too
    if (present.length === 0) throw refused(`none of the files of KUBECONFIG exists: ${listed.join(', ')}`);
    return fromFiles(present);
  }
  const usual = join(environment['HOME'] ?? homedir(), '.kube', 'config');
  if (existsSync(usual)) return fromFiles([usual]);
  if (environment['KUBERNETES_SERVICE_HOST'] === undefined)
    throw refused(`there is no kubeconfig: ${usual} is not there`);
  const config = new KubeConfig();
  config.loadFromCluster();
  return config;
}

/** The first to name something wins, as with kubectl. */
function fromFiles(files: readonly string[]): KubeConfig {
  const [first, ...others] = files.map((file) => {
    const config = new KubeConfig();
    try {
      config.loadFromFile(file);
    } catch (error) {
      throw refused(`${file} cannot be read: ${messageOf(error)}`, error);
    }
    return config;
  });
  if (first === undefined) throw refused('no file is named');
  for (const { clusters, users, contexts, currentContext } of others) {
    first.clusters = unite(first.clusters, clusters);
    first.users = unite(first.users, users);
    first.contexts = unite(first.contexts, contexts);
    if (!first.currentContext) first.setCurrentContext(currentContext);
  }
  return first;
}

function unite<Named extends { readonly name: string }>(earlier: Named[], later: Named[]): Named[] {
  return [...earlier, ...later.filter(({ name }) => !earlier.some((other) => other.name === name))];
}

function useContext(config: KubeConfig, context: string): void {
  if (config.getContextObject(context) === null) {
    const names = config.getContexts().map(({ name }) => name);
    throw refused(`there is no context "${context}"; there are: ${names.join(', ') || 'none'}`);
  }
  config.setCurrentContext(context);
}

function actingAs(access: ApiAccess, { as, asGroup }: KubeconfigChoice): ApiAccess {
  if (as === undefined) {
    if (asGroup !== undefined) throw refused('--as-group needs --as');
    return access;
  }
  const headers = { 'impersonate-user': as, ...(asGroup !== undefined && { 'impersonate-group': asGroup }) };
  return {
    url: access.url,
    credentials: async () => {
      const { headers: own, tls } = await access.credentials();
      return { headers: { ...own, ...headers }, tls };
    },
  };
}

function refused(message: string, cause?: unknown): WeftError {
  return new WeftError('WEFT-E402', message, { cause });
}
