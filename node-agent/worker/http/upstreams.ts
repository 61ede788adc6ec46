import type { Endpoint } from '../destinations.ts';
import type { FusedPath } from '../fused-paths.ts';
import type { Protection } from '../connection-metrics.ts';

/** Where requests are forwarded to, and by which way. Only Upstreams changes it. */
export class Upstream {
  readonly endpoint: Endpoint;
  readonly protection: Protection;
  /** Of a fused way. */
  readonly path: FusedPath | undefined;
  /** By which the engine calls it while requests are under way there; else 0. */
  number = 0;
  requests = 0;

  constructor(endpoint: Endpoint, protection: Protection, path?: FusedPath) {
    this.endpoint = endpoint;
    this.protection = protection;
    this.path = path;
  }
}

/**
 * Upstreams with requests under way, by the numbers that the engine gives back with them. A number is lent for as long as there are any,
 * so the table is never larger than the requests are many.
 */
export class Upstreams {
  readonly #byNumber: (Upstream | undefined)[] = [undefined]; // 0 is nobody's
  readonly #free: number[] = [];
  readonly #byWay = {
    plaintextToOutside: new WeakMap<Endpoint, Upstream>(),
    mutualTls: new WeakMap<Endpoint, Upstream>(),
    sameNode: new WeakMap<Endpoint, Upstream>(),
  };
  readonly #byPath = new WeakMap<FusedPath, Upstream>();

  find(endpoint: Endpoint, protection: 'plaintextToOutside' | 'mutualTls' | 'sameNode'): Upstream {
    const byEndpoint = this.#byWay[protection];
    const known = byEndpoint.get(endpoint);
    if (known !== undefined) return known;
    const upstream = new Upstream(endpoint, protection);
    byEndpoint.set(endpoint, upstream);
    return upstream;
  }

  findFused(path: FusedPath, endpoint: Endpoint): Upstream {
    const known = this.#byPath.get(path);
    if (known?.endpoint === endpoint) return known;
    const upstream = new Upstream(endpoint, 'sameNode', path);
    this.#byPath.set(path, upstream);
    return upstream;
  }

  get(number: number): Upstream | undefined {
    return this.#byNumber[number];
  }

  /** A request goes there. @returns its number */
  opened(upstream: Upstream): number {
    if (upstream.requests++ === 0) {
      upstream.number = this.#free.pop() ?? this.#byNumber.length;
      this.#byNumber[upstream.number] = upstream;
    }
    upstream.path?.opened();
    return upstream.number;
  }

  /** A request that went there has ended, or goes elsewhere. */
  closed(upstream: Upstream): void {
    upstream.path?.closed();
    if (--upstream.requests > 0) return;
    this.#byNumber[upstream.number] = undefined;
    this.#free.push(upstream.number);
    upstream.number = 0;
  }

  /** Numbers of those with requests under way on the path: one for each set of endpoints that main told of meanwhile. */
  numbersOf(path: FusedPath): number[] {
    return this.#byNumber.flatMap((upstream) => (upstream?.path === path ? upstream.number : []));
  }
}
