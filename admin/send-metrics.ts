import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import type { Expositions } from './exposition.ts';

/** Of zlib: metrics are so alike that more effort saves little and costs the thread pool three times the time. */
const gzipLevel = 1;
/** How long servers bear with a reader who does not read on. */
export const stallMs = 30_000;

/** The answer to GET or HEAD: in the format that is asked for, compressed where that is. */
export async function sendMetrics(
  { text: plain, openMetrics }: Expositions,
  { method, headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asked = headers.accept?.includes('application/openmetrics-text') === true ? openMetrics : plain;
  response.setHeader('content-type', asked.contentType);
  response.setHeader('vary', 'accept, accept-encoding');
  const isCompressed = takesGzip(headers['accept-encoding']);
  if (isCompressed) response.setHeader('content-encoding', 'gzip');
  if (method === 'HEAD') return void response.end();
  const text = Readable.from(asked.write());
  const sent = isCompressed ? pipeline(text, createGzip({ level: gzipLevel }), response) : pipeline(text, response);
  await sent.catch((error: unknown) => {
    if (!hasGone(error)) throw error;
  });
}

/** RFC 9110, 12.5.3: a weight of 0 forbids. */
function takesGzip(accepted = ''): boolean {
  return accepted.split(',').some((one) => /^\s*gzip\s*(?:$|;(?!\s*q=0(?:\.0*)?\s*$))/i.test(one));
}

/** The client does not wait for the end. */
function hasGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
}
