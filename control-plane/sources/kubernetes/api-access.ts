import type { SecureContextOptions } from 'node:tls';

/** What a request to the API server is authenticated with. Secrets are read anew, as they rotate. */
export interface ApiCredentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: ApiTls;
}

export interface ApiTls extends Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> {
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface ApiAccess {
  readonly url: URL;
  credentials(): Promise<ApiCredentials>;
}
