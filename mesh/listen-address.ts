export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** HOST:PORT, IPv6 in brackets. @throws RangeError */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65535) throw new RangeError(`"${text}" is not HOST:PORT`);
  return { host, port: Number(port) };
}
