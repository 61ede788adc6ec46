import type { WeftError } from '../../mesh/errors.ts';
import type { Logger } from '../log.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import type { PodEvent } from './reconciler.ts';

export function logMeshProblem(log: Logger, problem: WeftError): void {
  log.error({ code: problem.code, error: explain(problem), hint: problem.hint }, 'trouble with the mesh');
}

export function logPodEvent(log: Logger, event: PodEvent): void {
  switch (event.type) {
    case 'enrolled':
      log.info(
        podFields(event.pod),
        event.found === 'running' ? 'running pod joined the mesh' : 'new pod joined the mesh',
      );
      break;
    case 'released':
      log.info({ ...podFields(event.pod), reason: event.reason }, 'pod left the mesh');
      break;
    case 'mended':
      log.warn(podFields(event.pod), 'capture of the pod was damaged and is mended');
      break;
    case 'not-meshable':
      log.error(
        { pod: event.pod, code: event.error.code, error: explain(event.error), hint: event.error.hint },
        'pod is not meshable',
      );
      break;
    case 'misconfigured':
      log.error(
        { pod: event.pod, code: event.error.code, error: explain(event.error), hint: event.error.hint },
        'pod is not in the mesh as its annotations say',
      );
  }
}

function podFields(pod: Pick<EnrolledPod, 'namespace' | 'name' | 'uid' | 'id'>): object {
  return { namespace: pod.namespace, pod: pod.name, uid: pod.uid, id: pod.id };
}

/** With its causes, outermost first. */
export function explain(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${explain(error.cause)}` : error.message;
}
