import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { run } from '../lab/command.ts';

const days = '365';
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export interface Subject {
  readonly name: string;
  readonly organization?: string;
  /** As openssl writes them: IP:…, DNS:… */
  readonly alternativeNames?: readonly string[];
}

/** One authority signs for everything in a cluster: kubeconfigs, kubelets, the API server. */
export class Certificates {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async create(): Promise<void> {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    // Debian's own configuration would make authorities of all of them.
    writeFileSync(join(this.folder, 'openssl.cnf'), '[req]\ndistinguished_name = name\n[name]\n');
    await this.#certificate('ca', '/CN=weft-cluster', [
      'basicConstraints=critical,CA:TRUE',
      'keyUsage=critical,keyCertSign,cRLSign,digitalSignature',
    ]);
    await this.#openssl(['genrsa', '-out', this.path('service-accounts.key'), '2048']);
  }

  async issue(file: string, subject: Subject): Promise<void> {
    const organization = subject.organization === undefined ? '' : `/O=${subject.organization}`;
    const names = subject.alternativeNames ?? [];
    const extensions = [
      'basicConstraints=critical,CA:FALSE',
      'extendedKeyUsage=serverAuth,clientAuth',
      ...(names.length === 0 ? [] : [`subjectAltName=${names.join(',')}`]),
    ];
    const authority = ['-CA', this.path('ca.crt'), '-CAkey', this.path('ca.key')];
    await this.#certificate(file, `${organization}/CN=${subject.name}`, extensions, authority);
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  async #certificate(file: string, subject: string, extensions: string[], authority: string[] = []): Promise<void> {
    const target = ['-keyout', this.path(`${file}.key`), '-out', this.path(`${file}.crt`)];
    const added = extensions.flatMap((extension) => ['-addext', extension]);
    const config = ['-config', this.path('openssl.cnf')];
    const request = ['req', '-x509', ...config, ...newKey, '-days', days, '-subj', subject];
    await this.#openssl([...request, ...added, ...authority, ...target]);
  }

  async #openssl(args: readonly string[]): Promise<void> {
    const { code, stderr } = await run(['openssl', ...args]);
    if (code !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr.trim()}`);
  }
}
