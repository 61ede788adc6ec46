import type { LabPod } from '../lab/pod.ts';
import { waitUntil } from './helpers.ts';

export interface Answer {
  readonly version: string;
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** All answers over one connection. */
export async function curl(from: LabPod, ...args: string[]): Promise<Answer[]> {
  const { stdout } = await from.run(['curl', '-s', '-i', '--max-time', '15', ...args]);
  return answersIn(stdout);
}

/** Of what curl prints with -i, for any number of responses. */
function answersIn(output: string): Answer[] {
  return output
    .split(/(?=^HTTP\/1\.[01] \d{3})/m)
    .filter((text) => text.startsWith('HTTP/'))
    .map((text) => {
      const [head = '', ...rest] = text.split('\r\n\r\n');
      const [line = '', ...fields] = head.split('\r\n');
      const [version = '', status = ''] = line.split(' ');
      const headers = Object.fromEntries(
        fields.map((field) => [
          field.slice(0, field.indexOf(':')).toLowerCase(),
          field.slice(field.indexOf(':') + 1).trim(),
        ]),
      );
      return { version, status: Number(status), headers, body: rest.join('\r\n\r\n') };
    });
}

/** The first request, which waits until agents know of the pod. */
export async function answered(client: LabPod, url: string): Promise<void> {
  const works = async (): Promise<boolean> => (await curl(client, url))[0]?.status === 200;
  await waitUntil(works, 15_000, `the first request to ${url}`);
}
